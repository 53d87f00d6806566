package record

import (
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// constraints finds the columns of constraints by name.
type constraints struct {
	table *rowop.Table
	mu    sync.Mutex // guards byName
	names map[string][]string
}

func newConstraints(t *rowop.Table) *constraints {
	c := &constraints{table: t, names: map[string][]string{}}
	for _, u := range t.Unique {
		c.names[u.Name] = u.Columns
	}
	return c
}

// learn takes the columns of constraints from the catalog.
func (c *constraints) learn(list []object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range list {
		if o.Kind != "column" {
			c.names[o.Name] = c.withoutTenant(slices.Clone(o.Columns))
		}
	}
}

// columns returns the columns of the constraint in an answer, or nil. Under row-level security PostgreSQL tells nothing but
// the name, so that no value of another tenant shows; what was not declared is read from the name, if PostgreSQL chose it.
func (c *constraints) columns(answer *pgconn.PgError) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer.TableName == c.table.Name {
		if names, ok := c.names[answer.ConstraintName]; ok {
			return slices.Clone(names)
		}
	}
	if names := fromDetail(answer.Detail); names != nil {
		return c.withoutTenant(names)
	}
	if answer.TableName != c.table.Name {
		return nil
	}
	return c.withoutTenant(c.fromName(answer.ConstraintName))
}

func (c *constraints) withoutTenant(names []string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return n == c.table.Tenant })
}

// fromDetail reads "Key (a, b)=(…) already exists.", and nothing behind the names.
func fromDetail(detail string) []string {
	rest, ok := strings.CutPrefix(detail, "Key (")
	if !ok {
		return nil
	}
	list, _, ok := strings.Cut(rest, ")=(")
	if !ok {
		return nil
	}
	names := strings.Split(list, ", ")
	for i, n := range names {
		names[i] = strings.Trim(n, `"`)
	}
	return names
}

// fromName takes a name like notes_tenant_id_email_key apart.
func (c *constraints) fromName(name string) []string {
	rest, ok := strings.CutPrefix(name, c.table.Name+"_")
	if !ok {
		return nil
	}
	for _, suffix := range []string{"_key", "_fkey", "_check", "_excl", "_idx"} {
		if middle, ok := strings.CutSuffix(rest, suffix); ok {
			return c.split(middle)
		}
	}
	return nil
}

// split finds the column names that text is made of, the longest first.
func (c *constraints) split(text string) []string {
	names := []string{}
	if c.table.Tenant != "" {
		names = append(names, c.table.Tenant)
	}
	for _, col := range c.table.Columns {
		names = append(names, col.Name)
	}
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	return split(text, names)
}

func split(text string, names []string) []string {
	for _, n := range names {
		if text == n {
			return []string{n}
		}
		if rest, ok := strings.CutPrefix(text, n+"_"); ok {
			if more := split(rest, names); more != nil {
				return append([]string{n}, more...)
			}
		}
	}
	return nil
}
