package guard

import (
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// Table names a table for the generators. Names may be qualified ("app.notes") and are quoted, so any text is safe in them;
// a dot separates, so it cannot be part of a name.
type Table struct {
	Name         string // required
	TenantColumn string // empty means "tenant_id"
	TenantType   string // of that column: "text", "uuid", "bigint"; empty means "text"
}

// Search describes a full-text search function.
type Search struct {
	Name   string // of the function; without a schema it is made in public; required
	Table  Table  // what it searches and whose rows it returns
	Vector string // the column of type tsvector, which has a GIN index; required
	Config string // of the words searched for, as the column's; empty means "simple"
	Most   int    // rows returned at most, and by default; zero or negative means 100
}

var (
	//go:embed policy.sql
	policySQL string
	//go:embed search.sql
	searchSQL string
)

// Policy returns the statements of tenancy.protect for a table, without its partitions, for those who want to read them in their
// migrations or change them there. Run by the owner of the table; a second run changes nothing.
func Policy(t Table) (string, error) {
	names, err := t.names()
	if err != nil {
		return "", err
	}
	return strings.NewReplacer(names...).Replace(policySQL), nil
}

// SearchFunc returns the statements that create the function name(query text, most integer) returning rows of the table,
// best first. Words are searched for as in web search engines.
//
// Under row-level security PostgreSQL uses no GIN index, because the operator @@ is not leakproof. The function runs as
// tenancy_system, whom the policies let through, and looks at rows of tenancy.tenant_id() only; without a tenant it fails
// like everything else. It is a SECURITY DEFINER function on purpose: declare it in Options.Allow under T12.
//
// Run it as a role that may grant tenancy_system: one with CREATEROLE, from PostgreSQL 16 on the one that made the role.
func SearchFunc(s Search) (string, error) {
	names, err := s.Table.names()
	if err != nil {
		return "", err
	}
	if !strings.Contains(s.Name, ".") {
		s.Name = "public." + s.Name
	}
	name, err1 := quote(s.Name)
	vector, err2 := quote(s.Vector)
	if s.Config == "" {
		s.Config = "simple"
	}
	config, err3 := quote(s.Config)
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", err
	}
	if s.Most <= 0 {
		s.Most = 100
	}
	schema, _, _ := strings.Cut(s.Name, ".")
	names = append(names, "{name}", name, "{schema}", pgx.Identifier{schema}.Sanitize(), "{vector}", vector,
		"{config}", "'"+strings.ReplaceAll(config, "'", "''")+"'", "{most}", strconv.Itoa(s.Most))
	return strings.NewReplacer(names...).Replace(searchSQL), nil
}

// names are the replacements for a table in a template.
func (t Table) names() ([]string, error) {
	if t.TenantColumn == "" {
		t.TenantColumn = "tenant_id"
	}
	if t.TenantType == "" {
		t.TenantType = "text"
	}
	table, err1 := quote(t.Name)
	column, err2 := quote(t.TenantColumn)
	kind, err3 := quote(t.TenantType)
	if t.TenantType == "text" || t.TenantType == "uuid" || t.TenantType == "bigint" || t.TenantType == "integer" {
		kind = t.TenantType // keywords of SQL among them do not stand quotes
	}
	return []string{"{table}", table, "{tenant}", column, "{type}", kind}, errors.Join(err1, err2, err3)
}

// quote quotes a name of at most two parts. Its parts keep clear of the quotes around a function's body.
func quote(name string) (string, error) {
	parts := strings.Split(name, ".")
	for _, p := range parts {
		if len(parts) > 2 || p == "" || len(p) > 63 || !utf8.ValidString(p) || strings.ContainsAny(p, "\x00$") {
			return "", fmt.Errorf("tenancy/guard: %q is no name: one or two parts of 1 to 63 bytes without NUL and $", name)
		}
	}
	return pgx.Identifier(parts).Sanitize(), nil
}
