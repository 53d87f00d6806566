package record

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// Table reads and writes the records T of one table. It is made by Define, has no state but caches, and is safe for
// concurrent use.
//
// The querier of its methods is a *tenancy.DB or a *tenancy.Tx. In a Where text the table has the alias t, and $1, $2, …
// are the arguments of the call.
type Table[T any] struct {
	*plan
}

// plan is what is known of a struct and its table.
type plan struct {
	table   *rowop.Table
	soft    bool
	audited bool
	fields  []*field
	columns []*rowop.Column
	key     []*field
	version *field // nil if there is none; also the next ones
	created *field
	updated *field
	deleted *field
	keys    [][]byte // of cursors
	known   *constraints
	scoped  statements // of units that have a tenant
	all     statements // of system units without one
}

// Define describes a table, "notes" or "app.notes", and the struct of its rows; it is a registration and does no I/O.
//
// A field is a column: its tag db:"name,option,…" names it, else its name in snake case does; db:"-" leaves it out, and
// embedded structs are part of the record. The options:
//
//	pk        part of the primary key; auto: made by this package (UUIDv7 text) or by the database (integers)
//	version   counts the writes; a record with version 0 has not been saved yet
//	created, updated, deleted   set by the database's clock
//	readonly  made by the database: read, never written; tags default:"…" and expr:"…" tell the in-memory kit its value
//	json      stored as jsonb; structs, maps and slices of structs are anyway
//	null      may be null although the field is no pointer: a nil slice is stored as null instead of empty
//	type=…    the type of the column, where it is not the usual one of the Go type: uuid, numeric or date for a string,
//	          inet for a netip.Addr, bigint for a sql.Null[int64]
//	search    listed by Describe as a field to search in
//
// Pointers are nullable columns. Describe also takes ref:"app.users", enum:"draft,sent" and label:"…".
//
// The tenant's column is not a field: the database sets it. Define panics on a struct that cannot be stored.
func Define[T any](table string, opts *Options) *Table[T] {
	if opts == nil {
		opts = &Options{}
	}
	p, err := newPlan(reflect.TypeFor[T](), table, opts)
	if err != nil {
		panic(fmt.Sprintf("record: Define[%s](%q): %v", reflect.TypeFor[T](), table, err))
	}
	return &Table[T]{p}
}

// WithCursorKeys returns the same table with other Options.CursorKeys, for tables that are package-level variables while
// keys come from the configuration. It panics without keys, or on one of less than 32 bytes.
func (t *Table[T]) WithCursorKeys(keys ...[]byte) *Table[T] {
	p := *t.plan
	p.keys = keys
	if err := checkCursorKeys(p.keys); err != nil || len(keys) == 0 {
		panic(fmt.Sprintf("record: WithCursorKeys: %v", err))
	}
	return &Table[T]{&p}
}

func newPlan(t reflect.Type, name string, opts *Options) (*plan, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("want a struct")
	}
	fields, err := fieldsOf(t, nil, "")
	if err != nil {
		return nil, err
	}
	schema, bare, ok := strings.Cut(name, ".")
	if !ok {
		schema, bare = "", name
	}
	if bare == "" || ok && schema == "" || strings.Contains(bare, ".") || strings.ContainsRune(name, 0) {
		return nil, fmt.Errorf("a table's name is name or schema.name")
	}
	p := &plan{
		table: &rowop.Table{Schema: schema, Name: bare, Tenant: opts.tenant()},
		soft:  opts.SoftDelete, audited: opts.Audited, fields: fields, keys: opts.CursorKeys,
	}
	if err := p.addFields(); err != nil {
		return nil, err
	}
	if err := p.addConstraints(opts); err != nil {
		return nil, err
	}
	if p.keys == nil {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		p.keys = [][]byte{key}
	}
	if err := checkCursorKeys(p.keys); err != nil {
		return nil, err
	}
	p.known = newConstraints(p.table)
	p.scoped, p.all = newStatements(p, true), newStatements(p, false)
	return p, nil
}

func (p *plan) addFields() error {
	seen := map[string]bool{}
	for _, f := range p.fields {
		if seen[f.Name] {
			return fmt.Errorf("two fields for the column %s", f.Name)
		}
		seen[f.Name] = true
		if f.Name == p.table.Tenant && f.role != readOnly {
			return fmt.Errorf("the tenant's column is set by the database: tag it readonly or leave it out")
		}
		if f.role == plain && f.Name == "deleted_at" && p.soft {
			f.role = deletedAt
			if err := f.check(); err != nil {
				return err
			}
		}
		p.columns = append(p.columns, f.Column)
		if f.Key {
			p.key = append(p.key, f)
		}
		for r, at := range map[role]**field{versionOf: &p.version, createdAt: &p.created, updatedAt: &p.updated, deletedAt: &p.deleted} {
			if f.role == r {
				if *at != nil {
					return fmt.Errorf("%s and %s have the same role", (*at).Name, f.Name)
				}
				*at = f
			}
		}
	}
	switch {
	case len(p.key) == 0:
		return fmt.Errorf("no field is tagged pk")
	case p.soft && p.deleted == nil:
		return fmt.Errorf("Options.SoftDelete needs a field DeletedAt *time.Time")
	}
	p.table.Columns = p.columns
	return nil
}

func (p *plan) addConstraints(opts *Options) error {
	var key []string
	for _, f := range p.key {
		key = append(key, f.Name)
	}
	p.table.Unique = []rowop.Unique{{Name: p.table.Name + "_pkey", Columns: key}}
	for _, u := range opts.Unique {
		for _, c := range u.Columns {
			if p.table.Column(c) == nil {
				return fmt.Errorf("Options.Unique names the unknown column %s", c)
			}
		}
		name := u.Name
		if name == "" {
			columns := u.Columns
			if p.table.Tenant != "" && !u.AllTenants {
				columns = append([]string{p.table.Tenant}, columns...)
			}
			name = p.table.Name + "_" + strings.Join(columns, "_") + "_key"
		}
		if u.AllTenants && slices.Equal(u.Columns, key) { // the primary key itself does not begin with the tenant
			p.table.Unique[0].AllTenants = true
			if u.Name != "" {
				p.table.Unique[0].Name = u.Name
			}
			continue
		}
		p.table.Unique = append(p.table.Unique, rowop.Unique{Name: name, Columns: u.Columns, Where: u.Where, AllTenants: u.AllTenants})
	}
	for _, name := range slices.Sorted(maps.Keys(opts.Checks)) {
		p.table.Checks = append(p.table.Checks, rowop.Check{Name: name, Expr: opts.Checks[name]})
	}
	return nil
}

// tenantOf returns the tenant that q acts for. Without one, q fails by itself or is the system's.
func tenantOf(ctx context.Context, q tenancy.Querier) string {
	if tx, ok := q.(interface{ ID() string }); ok {
		return tx.ID()
	}
	id, _ := tenancy.IDFrom(ctx)
	return id
}

// scope ends a condition: with the tenant, whose explicit predicate tells the planner what the policy does not, and
// without the rows that were deleted. args are those of where, which may be empty.
func (p *plan) scope(tenant, where string, args []any, deleted bool) (string, []any) {
	args = slices.Clip(args)
	var parts []string
	if tenant != "" && p.table.Tenant != "" {
		args = append(args, tenant)
		parts = append(parts, "t."+rowop.Quote(p.table.Tenant)+" = $"+strconv.Itoa(len(args)))
	}
	if where != "" {
		parts = append(parts, "("+where+")")
	}
	if p.soft && !deleted {
		parts = append(parts, "t."+rowop.Quote(p.deleted.Name)+" is null")
	}
	return strings.Join(parts, " and "), args
}
