package record

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// statements are those of one row, made once. Their last argument is the tenant if they are scoped.
type statements struct {
	find    *rowop.Stmt // key
	many    *rowop.Stmt // array of keys
	insert  *rowop.Stmt // what is written
	add     *rowop.Stmt // the same without an answer
	update  *rowop.Stmt // what is written and no key, key, version
	later   *rowop.Stmt // the same without an answer
	remove  *rowop.Stmt // key, version
	erase   *rowop.Stmt // key, version
	restore *rowop.Stmt // key, version
}

// newStatements renders them. All of a row comes back from a write, since defaults, generated columns and triggers may
// have changed any of it.
func newStatements(p *plan, scoped bool) statements {
	tenant := ""
	if scoped {
		tenant = "set" // only its place matters here
	}
	where := func(first int, version, deleted bool) string {
		var parts []string
		args := make([]any, first)
		for _, f := range p.key {
			args = append(args, nil)
			parts = append(parts, "t."+rowop.Quote(f.Name)+" = $"+strconv.Itoa(len(args)))
		}
		if version && p.version != nil {
			args = append(args, nil)
			parts = append(parts, "t."+rowop.Quote(p.version.Name)+" = $"+strconv.Itoa(len(args)))
		}
		text, _ := p.scope(tenant, strings.Join(parts, " and "), args, deleted)
		return text
	}
	set, n := p.assignments()
	s := statements{
		find:   p.stmt(rowop.Stmt{Kind: rowop.Select, Where: where(0, false, false)}),
		insert: p.stmt(p.insertion(scoped, nil)),
		update: p.stmt(rowop.Stmt{Kind: rowop.Update, Set: set, Where: where(n, true, false), Old: p.audited}),
		add:    rowop.New(p.insertion(scoped, nil)),
		later:  rowop.New(rowop.Stmt{Table: p.table, Kind: rowop.Update, Set: set, Where: where(n, true, false)}),
		erase:  p.stmt(rowop.Stmt{Kind: rowop.Delete, Where: where(0, true, true)}),
	}
	if len(p.key) == 1 {
		text, _ := p.scope(tenant, "t."+rowop.Quote(p.key[0].Name)+" = any($1)", make([]any, 1), false)
		s.many = p.stmt(rowop.Stmt{Kind: rowop.Select, Where: text})
	}
	s.remove = s.erase
	if p.soft {
		deleted := rowop.Quote(p.deleted.Name)
		s.remove = p.stmt(rowop.Stmt{Kind: rowop.Update, Set: deleted + " = now()" + p.touch("t."), Where: where(0, true, false)})
		s.restore = p.stmt(rowop.Stmt{
			Kind: rowop.Update, Set: deleted + " = null" + p.touch("t."),
			Where: where(0, true, true) + " and t." + deleted + " is not null",
		})
	}
	return s
}

// stmt renders a statement of the table that answers with whole records.
func (p *plan) stmt(s rowop.Stmt) *rowop.Stmt {
	s.Table, s.Returning = p.table, p.columns
	return rowop.New(s)
}

// written are the fields whose values come from the record, at an insert.
func (p *plan) written() []*field {
	var list []*field
	for _, f := range p.fields {
		if f.role == plain {
			list = append(list, f)
		}
	}
	return list
}

// changed are those at an update: keys stay.
func (p *plan) changed() []*field {
	var list []*field
	for _, f := range p.written() {
		if !f.Key {
			list = append(list, f)
		}
	}
	return list
}

// insertion inserts what is written and what the database sets. A tenant that is known is the last parameter: the default
// of its column would be computed for each row.
func (p *plan) insertion(scoped bool, conflict *rowop.Conflict) rowop.Stmt {
	s := rowop.Stmt{Table: p.table, Kind: rowop.Insert, Conflict: conflict}
	n := 0
	for _, f := range p.fields {
		value := ""
		switch f.role {
		case versionOf:
			value = "1"
		case createdAt, updatedAt:
			value = "now()"
		case readOnly, deletedAt:
			continue
		default:
			n++
		}
		s.Columns, s.Values = append(s.Columns, f.Column), append(s.Values, value)
	}
	if scoped && p.table.Tenant != "" {
		c := p.table.Column(p.table.Tenant)
		if c == nil {
			c = &rowop.Column{Name: p.table.Tenant, SQL: "text", Class: rowop.Text}
		}
		s.Columns, s.Values = append(s.Columns, c), append(s.Values, "$"+strconv.Itoa(n+1)+"::"+c.SQL)
	}
	return s
}

// assignments are those of an update, whose first n parameters they take.
func (p *plan) assignments() (set string, n int) {
	var b strings.Builder
	for i, f := range p.changed() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(rowop.Quote(f.Name) + " = $" + strconv.Itoa(i+1))
		n++
	}
	set = strings.TrimPrefix(b.String()+p.touch("t."), ", ")
	if set == "" { // a row that is nothing but its key
		key := rowop.Quote(p.key[0].Name)
		set = key + " = t." + key
	}
	return set, n
}

// on returns the statements for a tenant and their last arguments.
func (p *plan) on(tenant string) (*statements, []any) {
	if tenant == "" || p.table.Tenant == "" {
		return &p.all, nil
	}
	return &p.scoped, []any{tenant}
}

// owner is the tenant of a record that is written for tenant or, if that is none, for all: then the record may know.
func (p *plan) owner(tenant string, v reflect.Value) string {
	if f := p.home(); f != nil && tenant == "" && f.in(v).Kind() == reflect.String {
		return f.in(v).String()
	}
	return tenant
}

// home is the field of the tenant's column, or nil.
func (p *plan) home() *field {
	i := slices.Index(p.columns, p.table.Column(p.table.Tenant))
	if i < 0 {
		return nil
	}
	return p.fields[i]
}

// touch counts the version up and stamps the row.
func (p *plan) touch(prefix string) string {
	s := ""
	if p.version != nil {
		name := rowop.Quote(p.version.Name)
		s += ", " + name + " = " + prefix + name + " + 1"
	}
	if p.updated != nil {
		s += ", " + rowop.Quote(p.updated.Name) + " = now()"
	}
	return s
}
