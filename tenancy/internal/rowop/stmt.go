package rowop

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Kind is the kind of a statement.
type Kind string

// The kinds.
const (
	Select Kind = "select"
	Count  Kind = "count"
	Exists Kind = "exists"
	Insert Kind = "insert"
	Update Kind = "update"
	Delete Kind = "delete"

	// Catalog asks PostgreSQL what the table is; Where is the whole text. The kit has no answer.
	Catalog Kind = "catalog"
)

// Stmt is a statement without its arguments. The table has the alias t in all texts. It is made by New and not changed.
type Stmt struct {
	Kind      Kind
	Table     *Table
	Columns   []*Column // Insert: what is written
	Values    []string  // Insert: an expression per column; empty means the next parameter, or its array's element if Bulk
	Bulk      bool      // Insert: the arguments are arrays, one row per element
	Conflict  *Conflict // Insert
	Set       string    // Update
	Where     string    // all but Insert; empty means all rows
	Order     []Order   // Select
	Limit     string    // Select: a parameter; empty means all
	Lock      string    // Select: "for update" and the like
	Returning []*Column // what comes back, the columns of a Select included
	Old       bool      // Update: the same columns as they were come back before them
	Now       bool      // Insert: the time of the transaction comes back instead, in one row

	sql string
}

// Conflict says what an Insert does with a row that exists.
type Conflict struct {
	Columns    []string // without the tenant
	AllTenants bool     // the constraint does not begin with the tenant
	Where      string   // of the partial index
	Set        string   // empty means to leave the row alone
}

// Order is one column of an order.
type Order struct {
	Column     *Column
	Desc       bool
	NullsFirst bool
	Cast       string // to the type of the order; empty means the column's
}

// Expr is what is ordered.
func (o Order) Expr() string {
	if o.Cast == "" {
		return "t." + Quote(o.Column.Name)
	}
	return "t." + Quote(o.Column.Name) + "::" + o.Cast
}

// Reads tells whether s writes and locks nothing.
func (s *Stmt) Reads() bool {
	switch s.Kind {
	case Select, Count, Exists, Catalog:
		return s.Lock == ""
	}
	return false
}

// New renders the text of s.
func New(s Stmt) *Stmt {
	var b strings.Builder
	switch s.Kind {
	case Catalog:
		b.WriteString(s.Where)
	case Insert:
		s.renderInsert(&b)
	case Update:
		b.WriteString("update " + s.Table.Ident() + " as t set " + s.Set)
		if s.Old {
			s.renderOld(&b)
		} else {
			s.renderWhere(&b)
		}
	case Delete:
		b.WriteString("delete from " + s.Table.Ident() + " as t")
		s.renderWhere(&b)
	case Count:
		b.WriteString("select count(*) from " + s.Table.Ident() + " as t")
		s.renderWhere(&b)
	case Exists:
		b.WriteString("select exists (select from " + s.Table.Ident() + " as t")
		s.renderWhere(&b)
		b.WriteString(")")
	default:
		b.WriteString("select " + names("t.", s.Returning) + " from " + s.Table.Ident() + " as t")
		s.renderWhere(&b)
		s.renderOrder(&b)
	}
	if s.Now {
		s.sql = "with i as (" + b.String() + ") select now()"
		return &s
	}
	if s.Kind != Select && len(s.Returning) > 0 {
		b.WriteString(" returning ")
		if s.Old {
			for i := range s.Returning {
				b.WriteString("old.old_" + strconv.Itoa(i+1) + ", ")
			}
		}
		b.WriteString(names("t.", s.Returning))
	}
	s.sql = b.String()
	return &s
}

func (s *Stmt) renderWhere(b *strings.Builder) {
	if s.Where != "" {
		b.WriteString(" where " + s.Where)
	}
}

// renderOld locks the rows and keeps what they were: RETURNING knows only what they are. The columns of old have names of
// their own, so that those of t need no prefix in Set.
func (s *Stmt) renderOld(b *strings.Builder) {
	columns := slices.Clone(s.Returning)
	if s.Table.Tenant != "" && s.Table.Column(s.Table.Tenant) == nil {
		columns = append(columns, &Column{Name: s.Table.Tenant})
	}
	var same, aliases []string
	for i, c := range columns {
		alias := "old_" + strconv.Itoa(i+1)
		aliases = append(aliases, alias)
		if c.Key || c.Name == s.Table.Tenant {
			same = append(same, "t."+Quote(c.Name)+" = old."+alias)
		}
	}
	b.WriteString(" from (select " + names("t.", columns) + " from " + s.Table.Ident() + " as t")
	s.renderWhere(b)
	b.WriteString(" for update) as old (" + strings.Join(aliases, ", ") + ") where " + strings.Join(same, " and "))
}

func (s *Stmt) renderOrder(b *strings.Builder) {
	for i, o := range s.Order {
		b.WriteString([]string{" order by ", ", "}[min(i, 1)] + o.Expr())
		if o.Desc {
			b.WriteString(" desc")
		}
		// Where nulls cannot occur, their place is left out, so that the default index serves.
		if o.Column.Nullable && o.NullsFirst != o.Desc {
			b.WriteString([]string{" nulls last", " nulls first"}[index(o.NullsFirst)])
		}
	}
	if s.Limit != "" {
		b.WriteString(" limit " + s.Limit)
	}
	if s.Lock != "" {
		b.WriteString(" " + s.Lock)
	}
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *Stmt) renderInsert(b *strings.Builder) {
	b.WriteString("insert into " + s.Table.Ident() + " as t (" + names("", s.Columns) + ")")
	if s.Bulk {
		s.renderUnnest(b)
	} else {
		n := 0
		for i, v := range s.Values {
			b.WriteString([]string{" values (", ", "}[min(i, 1)])
			if v == "" {
				n++
				v = "$" + strconv.Itoa(n)
			}
			b.WriteString(v)
		}
		b.WriteString(")")
	}
	if s.Conflict == nil {
		return
	}
	b.WriteString(" on conflict (")
	if s.Table.Tenant != "" && !s.Conflict.AllTenants {
		b.WriteString(Quote(s.Table.Tenant) + ", ")
	}
	for i, c := range s.Conflict.Columns {
		b.WriteString([]string{"", ", "}[min(i, 1)] + Quote(c))
	}
	b.WriteString(")")
	if s.Conflict.Where != "" {
		b.WriteString(" where " + s.Conflict.Where)
	}
	if s.Conflict.Set == "" {
		b.WriteString(" do nothing")
	} else {
		b.WriteString(" do update set " + s.Conflict.Set)
	}
}

// renderUnnest makes rows of arrays, in their order. Types that have no array of their own here, arrays among them, travel
// as text.
func (s *Stmt) renderUnnest(b *strings.Builder) {
	var arrays, columns, exprs []string // of the arrays
	for i, v := range s.Values {
		if v == "" {
			n := strconv.Itoa(len(arrays) + 1)
			c := s.Columns[i]
			v = "u.c" + n
			kind := c.SQL
			if !c.Native() {
				kind = "text"
				v += "::" + c.SQL
			}
			arrays = append(arrays, "$"+n+"::"+kind+"[]")
			columns = append(columns, "c"+n)
		}
		exprs = append(exprs, v)
	}
	b.WriteString(" select " + strings.Join(exprs, ", ") + " from unnest(" + strings.Join(arrays, ", ") +
		") with ordinality as u (" + strings.Join(columns, ", ") + ", n)")
	if len(s.Returning) > 0 {
		b.WriteString(" order by u.n")
	}
}

// Native tells whether arrays of the column's type are sent as such; others are sent as text.
func (c *Column) Native() bool {
	if c.Class == Opaque {
		return false
	}
	switch c.SQL {
	case "boolean", "bigint", "integer", "smallint", "double precision", "real", "text", "timestamptz", "bytea":
		return true
	}
	return false
}

func names(prefix string, columns []*Column) string {
	var b strings.Builder
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(prefix + Quote(c.Name))
	}
	return b.String()
}

// Op is a statement with its arguments.
type Op struct {
	*Stmt
	Args []any
}

var _ pgx.QueryRewriter = Op{}

// Label is what the query's text says to logs and errors; it is no SQL.
func (s *Stmt) Label() string { return "record: " + string(s.Kind) + " " + s.Table.String() }

// RewriteQuery implements pgx.QueryRewriter.
func (o Op) RewriteQuery(context.Context, *pgx.Conn, string, []any) (string, []any, error) {
	return o.sql, o.Args, nil
}

// SQL returns the text that PostgreSQL gets.
func (s *Stmt) SQL() string { return s.sql }
