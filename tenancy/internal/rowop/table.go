package rowop

import (
	"reflect"
	"slices"
	"strings"
)

// Class is how values of a column are computed with.
type Class int

// The classes. Opaque values are passed on as they are; they can be compared for equality only.
const (
	Opaque Class = iota
	Bool
	Int
	Float
	Text
	Time
	Bytes
	JSON
	Array
)

// Column is a column that a struct knows.
type Column struct {
	Name     string
	SQL      string // type in PostgreSQL, e.g. bigint
	Class    Class
	Elem     Class        // of an Array
	Type     reflect.Type // of the field
	Nullable bool
	Key      bool   // part of the primary key
	Auto     bool   // an integer key that the database makes
	Default  string // expression for a column that is not written
	Expr     string // expression of a generated column
}

// Unique is a unique constraint or index. Without AllTenants it begins with the tenant.
type Unique struct {
	Name       string
	Columns    []string
	Where      string // of a partial index
	AllTenants bool
}

// Check is a check constraint.
type Check struct{ Name, Expr string }

// Table is a table that a struct knows.
type Table struct {
	Schema, Name string // Schema may be empty
	Tenant       string // the tenant's column; empty for a table of no tenant
	Columns      []*Column
	Unique       []Unique // the primary key first
	Checks       []Check
}

// String returns the name as the program wrote it.
func (t *Table) String() string {
	if t.Schema == "" {
		return t.Name
	}
	return t.Schema + "." + t.Name
}

// Ident returns the quoted name.
func (t *Table) Ident() string {
	if t.Schema == "" {
		return Quote(t.Name)
	}
	return Quote(t.Schema) + "." + Quote(t.Name)
}

// Column returns a column by name, or nil.
func (t *Table) Column(name string) *Column {
	i := slices.IndexFunc(t.Columns, func(c *Column) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return t.Columns[i]
}

// Keys returns the columns of the primary key.
func (t *Table) Keys() []*Column {
	var keys []*Column
	for _, c := range t.Columns {
		if c.Key {
			keys = append(keys, c)
		}
	}
	return keys
}

// Quote quotes an identifier.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
