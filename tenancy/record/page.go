package record

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// Page is a part of an ordered list, with the cursors of the parts next to it.
type Page[T any] struct {
	// Items are in the order of the query, also on the way back.
	Items []T `json:"items"`

	// Next is Query.After for the page behind this one, and Prev is Query.Before for the one in front of it. Empty means that
	// there was none when the page was read.
	Next string `json:"next,omitempty"`
	Prev string `json:"prev,omitempty"`
}

// Page returns a page of a query by keyset: it costs the same at any depth, and records that are inserted or deleted
// meanwhile neither repeat nor hide others. The primary key is added to the order, so that it is a total one; under
// tenancy.System without a tenant the tenant's column too, for which it must be a field of the record. A numeric column in a
// float field is ordered by the float, which no index on the column serves; keep it in a string. One round trip.
//
// A cursor is sealed with Options.CursorKeys: a client can neither read nor change it. It is good for the tenant, the table,
// the order, the condition and its arguments with their types, of which none may change from page to page (write now() -
// interval '1 day' and not an argument that moves); any other is ErrCursor. An argument that holds a function or a channel
// is ErrArgument. A value of the order that is longer than some 5 KB is an error: it has no room in a cursor.
func (t *Table[T]) Page(ctx context.Context, q tenancy.Querier, query Query) (Page[T], error) {
	tenant := tenantOf(ctx, q)
	k, err := t.keyset(tenant, query)
	if err != nil {
		return Page[T]{}, err
	}
	op, err := t.pageOp(tenant, query, k)
	if err != nil {
		return Page[T]{}, err
	}
	list, err := t.list(ctx, q, op)
	if err != nil {
		return Page[T]{}, err
	}
	more := len(list) > k.limit
	list = list[:min(len(list), k.limit)]
	if k.back {
		slices.Reverse(list)
	}
	page := Page[T]{Items: list}
	behind, before := more, k.from != nil
	if k.back {
		behind, before = true, more
	}
	if len(list) == 0 {
		// There is nothing from here on; the way back includes the row that the cursor names.
		if k.from != nil {
			at := position{k.from.Values, !k.from.At}
			page.Next = ""
			page.Prev, err = k.sealer.seal(at)
			if k.back {
				page.Next, page.Prev = page.Prev, ""
			}
		}
		return page, err
	}
	if behind {
		page.Next, err = k.cursor(t.plan, reflect.ValueOf(&list[len(list)-1]).Elem())
	}
	if before && err == nil {
		page.Prev, err = k.cursor(t.plan, reflect.ValueOf(&list[0]).Elem())
	}
	return page, err
}

// keyset is a page's query, read.
type keyset struct {
	order  []rowop.Order // total
	limit  int
	from   *position // nil for the first page
	back   bool      // the page before from
	sealer *sealer
}

func (p *plan) keyset(tenant string, q Query) (*keyset, error) {
	k := &keyset{limit: q.Limit, back: q.Before != ""}
	switch {
	case q.Limit < 0 || q.Limit == math.MaxInt: // a page reads one row more
		return nil, errors.New("record: Query.Limit is negative or too large")
	case q.Limit == 0:
		k.limit = 50
	}
	if q.After != "" && q.Before != "" {
		return nil, errors.New("record: Query has both After and Before")
	}
	err := checkText(q.Where, q.Args)
	if err != nil {
		return nil, err
	}
	if k.order, err = p.totalOrder(q.Order, tenant == ""); err != nil {
		return nil, err
	}
	if k.sealer, err = p.sealer(tenant, q, k.order); err != nil {
		return nil, err
	}
	if cursor := q.After + q.Before; cursor != "" {
		from, err := k.sealer.open(cursor, len(k.order))
		if err != nil {
			return nil, err
		}
		k.from = &from
	}
	return k, nil
}

// totalOrder ends the order with the primary key, in the direction of the column before it, so that one index serves. A key
// may exist once in each tenant, so an order of all of them ends with the tenant.
func (p *plan) totalOrder(text string, all bool) ([]rowop.Order, error) {
	order, err := p.parseOrder(text)
	if err != nil {
		return nil, err
	}
	for i, o := range order {
		switch kind, _, _ := strings.Cut(o.Column.SQL, "("); {
		case o.Column.Class == rowop.JSON, o.Column.Class == rowop.Array:
			return nil, fmt.Errorf("record: a page cannot be ordered by %s, which is %s", o.Column.Name, o.Column.SQL)
		case o.Column.Class == rowop.Float && (kind == "numeric" || kind == "decimal"):
			order[i].Cast = "float8" // the field, and so the cursor, has less digits than the column
		}
	}
	last := p.key
	if all && p.table.Tenant != "" && !p.table.Unique[0].AllTenants {
		home := p.home()
		if home == nil {
			return nil, fmt.Errorf("record: a page over all tenants is ordered by the tenant too: read the column %s of %s into a field", p.table.Tenant, p.table)
		}
		last = append(slices.Clip(last), home)
	}
	for _, f := range last {
		if !slices.ContainsFunc(order, func(o rowop.Order) bool { return o.Column == f.Column }) {
			desc := len(order) > 0 && order[len(order)-1].Desc
			order = append(order, rowop.Order{Column: f.Column, Desc: desc, NullsFirst: desc})
		}
	}
	return order, nil
}

// cursor names the place of a record.
func (k *keyset) cursor(p *plan, v reflect.Value) (string, error) {
	at := position{Values: make([]*string, len(k.order))}
	for i, o := range k.order {
		f := p.fields[slices.Index(p.columns, o.Column)]
		value, err := f.Encode(f.in(v))
		if err == nil {
			at.Values[i], err = cursorText(value)
		}
		if err != nil {
			return "", fmt.Errorf("record: cursor of column %s: %w", f.Name, err)
		}
	}
	return k.sealer.seal(at)
}

// pageOp reads one row more than the page has, to know whether there is another page.
func (p *plan) pageOp(tenant string, q Query, k *keyset) (rowop.Op, error) {
	lock, err := q.Lock.clause()
	if err != nil {
		return rowop.Op{}, err
	}
	where, args := p.scope(tenant, q.Where, q.Args, q.WithDeleted)
	order := slices.Clone(k.order)
	if k.back {
		for i := range order {
			order[i].Desc, order[i].NullsFirst = !order[i].Desc, !order[i].NullsFirst
		}
	}
	if k.from != nil {
		var behind string
		if behind, args, err = after(order, k.from, args); err != nil {
			return rowop.Op{}, ErrCursor
		}
		where = strings.TrimPrefix(where+" and "+behind, " and ")
	}
	args = append(args, k.limit+1)
	s := rowop.Stmt{
		Kind: rowop.Select, Table: p.table, Where: where, Order: order, Lock: lock, Returning: p.columns,
		Limit: "$" + strconv.Itoa(len(args)),
	}
	return rowop.Op{Stmt: rowop.New(s), Args: args}, nil
}

// after is the condition of the rows behind a position. Where all columns go one way and none is null it is a comparison of
// rows, which an index answers by itself.
func after(order []rowop.Order, at *position, args []any) (string, []any, error) {
	names, params := make([]string, len(order)), make([]string, len(order))
	simple := true
	for i, o := range order {
		v, err := cursorValue(o.Column, at.Values[i])
		if err != nil {
			return "", nil, err
		}
		names[i] = o.Expr()
		if v != nil {
			args = append(args, v)
			params[i] = "$" + strconv.Itoa(len(args))
		}
		simple = simple && !o.Column.Nullable && v != nil && o.Desc == order[0].Desc
	}
	sign := func(o rowop.Order) string {
		if o.Desc {
			return " < "
		}
		return " > "
	}
	if simple {
		op := sign(order[0])
		if at.At {
			op = strings.TrimRight(op, " ") + "= "
		}
		return "(" + strings.Join(names, ", ") + ")" + op + "(" + strings.Join(params, ", ") + ")", args, nil
	}
	var choices []string
	same := ""
	for i, o := range order {
		further := names[i] + sign(o) + params[i]
		equal := names[i] + " = " + params[i]
		switch {
		case params[i] == "" && o.NullsFirst:
			further = names[i] + " is not null"
		case params[i] == "":
			further = "" // nothing is behind the nulls
		case o.Column.Nullable && !o.NullsFirst:
			further = "(" + further + " or " + names[i] + " is null)"
		}
		if params[i] == "" {
			equal = names[i] + " is null"
		}
		if further != "" {
			choices = append(choices, same+further)
		}
		same += equal + " and "
	}
	if at.At {
		choices = append(choices, strings.TrimSuffix(same, " and "))
	}
	if len(choices) == 0 {
		return "false", args, nil
	}
	where := "(" + strings.Join(choices, " or ") + ")"
	if params[0] != "" && !order[0].Column.Nullable { // for the index, which cannot use an or
		where = names[0] + strings.TrimRight(sign(order[0]), " ") + "= " + params[0] + " and " + where
	}
	return where, args, nil
}
