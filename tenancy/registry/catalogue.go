package registry

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
)

//go:embed sql/catalogue.sql
var catalogueSQL string

// standing is how a table that holds rows of tenants is guarded.
type standing string

const (
	protected  standing = "protected" // a policy compares a column with the tenant of the transaction
	systemOnly standing = "system"    // row-level security without any policy for the app role
	open       standing = "open"      // a column tenant_id, and nothing that guards it
)

// table is what the catalogue knows about a table with rows of tenants.
type table struct {
	OID         int64
	Name        string // schema.table, for people and file names
	SQL         string // the same, quoted
	Partitioned bool
	Deletable   bool // by the role that asked
	Standing    standing
	Tenant      string // the tenant column
	Columns     []column
	Keys        []uniqueKey  // the primary key first
	ForeignKeys []foreignKey `json:"foreign_keys"`
}

type column struct {
	Name      string
	Type      string
	NotNull   bool `json:"not_null"`
	Generated bool
	Readable  bool // by the role that asked
	Numbered  bool // by a sequence of its own
}

type uniqueKey struct{ Columns []string }

type foreignKey struct {
	Name          string
	Target        int64
	Columns       []string
	TargetColumns []string `json:"target_columns"`
	Deferrable    bool
}

// catalogue reads the tables with rows of tenants, referenced tables before those that refer to them.
func catalogue(ctx context.Context, q tenancy.Querier) ([]*table, error) {
	texts, err := tenancy.All[string](ctx, q, catalogueSQL)
	if err != nil {
		return nil, fmt.Errorf("registry: catalogue: %w", err)
	}
	tables := make([]*table, len(texts))
	for i, text := range texts {
		tables[i] = &table{}
		if err := json.Unmarshal([]byte(text), tables[i]); err != nil {
			return nil, fmt.Errorf("registry: catalogue: %w", err)
		}
	}
	return inOrder(tables), nil
}

// inOrder sorts tables so that a table comes after those that its foreign keys name, as far as cycles allow.
// It keeps the order by name otherwise, so that it is the same everywhere.
func inOrder(tables []*table) []*table {
	byOID := map[int64]*table{}
	for _, t := range tables {
		byOID[t.OID] = t
	}
	var sorted []*table
	state := map[*table]int{} // 1: being visited, 2: done
	var visit func(t *table)
	visit = func(t *table) {
		if state[t] != 0 {
			return
		}
		state[t] = 1
		for _, f := range t.ForeignKeys {
			if target := byOID[f.Target]; target != nil {
				visit(target)
			}
		}
		state[t] = 2
		sorted = append(sorted, t)
	}
	for _, t := range tables {
		visit(t)
	}
	return sorted
}

// late returns the foreign keys of tables[i] that refer to itself or to a table after it: rows cannot be written, nor
// deleted, table by table while these columns are set.
func late(tables []*table, i int) []foreignKey {
	var keys []foreignKey
	for _, f := range tables[i].ForeignKeys {
		at := slices.IndexFunc(tables, func(t *table) bool { return t.OID == f.Target })
		if at >= i {
			keys = append(keys, f)
		}
	}
	return keys
}

// nullable returns the columns of f that may be null and are not the tenant column.
func (t *table) nullable(f foreignKey) []string {
	var names []string
	for _, name := range f.Columns {
		if c := t.column(name); c != nil && !c.NotNull && name != t.Tenant && !c.Generated {
			names = append(names, name)
		}
	}
	return names
}

func (t *table) column(name string) *column {
	i := slices.IndexFunc(t.Columns, func(c column) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &t.Columns[i]
}

// primary returns the columns of the primary key, or of a unique key without nulls, or nil.
func (t *table) primary() []string {
	for _, k := range t.Keys {
		nulls := slices.ContainsFunc(k.Columns, func(name string) bool { c := t.column(name); return c == nil || !c.NotNull })
		if !nulls {
			return k.Columns
		}
	}
	return nil
}

func (t *table) tenantType() string {
	if c := t.column(t.Tenant); c != nil {
		return c.Type
	}
	return "text"
}

// from names the table in SQL: a table that others inherit from shall not stand for their rows too.
func (t *table) from() string {
	if t.Partitioned {
		return t.SQL
	}
	return "only " + t.SQL
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func quoted(names []string) []string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = quote(name)
	}
	return list
}

func quoteAll(names []string) string { return strings.Join(quoted(names), ", ") }
