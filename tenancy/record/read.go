package record

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// Find returns the record with a primary key, or tenancy.ErrNotFound. A table whose key has several columns takes FindBy.
// One round trip.
func (t *Table[T]) Find(ctx context.Context, q tenancy.Querier, id any) (T, error) {
	if len(t.key) != 1 {
		var none T
		return none, fmt.Errorf("record: Find needs a key of one column, %s has %d; use FindBy", t.table, len(t.key))
	}
	s, tail := t.on(tenantOf(ctx, q))
	return t.one(ctx, q, rowop.Op{Stmt: s.find, Args: append([]any{id}, tail...)})
}

// FindBy returns the only record for which a condition holds, tenancy.ErrNotFound or pgx.ErrTooManyRows. One round trip.
func (t *Table[T]) FindBy(ctx context.Context, q tenancy.Querier, where string, args ...any) (T, error) {
	op, err := t.selection(rowop.Select, tenantOf(ctx, q), Query{Where: where, Args: args, Limit: 2})
	if err != nil {
		var none T
		return none, err
	}
	return t.one(ctx, q, op)
}

// FindMany returns the records with the primary keys of ids, a slice, in that order. Ids without a record are left out, so
// one round trip replaces a Find in a loop.
func (t *Table[T]) FindMany(ctx context.Context, q tenancy.Querier, ids any) ([]T, error) {
	v := reflect.ValueOf(ids)
	if len(t.key) != 1 || v.Kind() != reflect.Slice {
		return nil, fmt.Errorf("record: FindMany needs a slice of keys of one column")
	}
	if v.Len() == 0 {
		return []T{}, nil
	}
	s, tail := t.on(tenantOf(ctx, q))
	list, err := t.list(ctx, q, rowop.Op{Stmt: s.many, Args: append([]any{ids}, tail...)})
	if err != nil {
		return nil, err
	}
	found := make(map[any][]int, len(list)) // several tenants may have a key
	for i := range list {
		id := keyOf(t.key[0].in(reflect.ValueOf(&list[i]).Elem()))
		found[id] = append(found[id], i)
	}
	sorted := make([]T, 0, len(list))
	for i := range v.Len() {
		id := keyOf(v.Index(i))
		for _, at := range found[id] {
			sorted = append(sorted, list[at])
		}
		delete(found, id)
	}
	return sorted, nil
}

// keyOf makes keys of different Go types comparable.
func keyOf(v reflect.Value) any {
	switch {
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return int64(v.Uint())
	case v.Kind() == reflect.String:
		return v.String()
	}
	return fmt.Sprint(v.Interface())
}

// First returns the first record of a query, or tenancy.ErrNotFound. One round trip.
func (t *Table[T]) First(ctx context.Context, q tenancy.Querier, query Query) (T, error) {
	query.Limit = 1
	op, err := t.selection(rowop.Select, tenantOf(ctx, q), query)
	if err != nil {
		var none T
		return none, err
	}
	return t.one(ctx, q, op)
}

// List returns the records of a query; none are an empty slice, not an error. One round trip.
func (t *Table[T]) List(ctx context.Context, q tenancy.Querier, query Query) ([]T, error) {
	op, err := t.selection(rowop.Select, tenantOf(ctx, q), query)
	if err != nil {
		return nil, err
	}
	return t.list(ctx, q, op)
}

// Count returns how many records a query selects, whatever its order and limit. One round trip.
func (t *Table[T]) Count(ctx context.Context, q tenancy.Querier, query Query) (int64, error) {
	query.Order, query.Limit, query.Lock = "", 0, NoLock
	op, err := t.selection(rowop.Count, tenantOf(ctx, q), query)
	if err != nil {
		return 0, err
	}
	n, err := tenancy.One[int64](ctx, q, op.Label(), op)
	return n, t.explain(err)
}

// Exists tells whether a query selects any record. One round trip.
func (t *Table[T]) Exists(ctx context.Context, q tenancy.Querier, query Query) (bool, error) {
	query.Order, query.Limit, query.Lock = "", 0, NoLock
	op, err := t.selection(rowop.Exists, tenantOf(ctx, q), query)
	if err != nil {
		return false, err
	}
	ok, err := tenancy.One[bool](ctx, q, op.Label(), op)
	return ok, t.explain(err)
}

// one returns the only row of an operation.
func (t *Table[T]) one(ctx context.Context, q tenancy.Querier, op rowop.Op) (T, error) {
	list, err := t.list(ctx, q, op)
	var one T
	switch {
	case err != nil:
		return one, err
	case len(list) == 0:
		return one, tenancy.ErrNotFound
	case len(list) > 1:
		return one, pgx.ErrTooManyRows
	}
	return list[0], nil
}

// list returns the rows of an operation, which answers with whole records.
func (t *Table[T]) list(ctx context.Context, q tenancy.Querier, op rowop.Op) ([]T, error) {
	var list []T
	err := q.Scan(ctx, func(rows pgx.Rows) error {
		list = []T{}
		targets := make([]any, len(t.fields))
		for rows.Next() {
			list = append(list, *new(T))
			if err := t.scan(rows, targets, &list[len(list)-1]); err != nil {
				return err
			}
		}
		return nil
	}, op.Label(), op)
	if err != nil {
		return nil, t.explain(err)
	}
	return list, nil
}

// scan reads a row into the records that it consists of. targets is reused.
func (t *Table[T]) scan(rows pgx.Rows, targets []any, into ...*T) error {
	for i, r := range into {
		v := reflect.ValueOf(r).Elem()
		for j, f := range t.fields {
			targets[i*len(t.fields)+j] = f.in(v).Addr().Interface()
		}
	}
	if err := rows.Scan(targets...); err != nil {
		return err
	}
	for i, target := range targets {
		if t.fields[i%len(t.fields)].hasTime() {
			inUTC(target)
		}
	}
	return nil
}

// inUTC turns what pgx reads in the process's zone.
func inUTC(target any) {
	switch at := target.(type) {
	case *time.Time:
		*at = at.UTC()
	case **time.Time:
		if *at != nil {
			**at = (*at).UTC()
		}
	case *[]time.Time:
		for i, t := range *at {
			(*at)[i] = t.UTC()
		}
	}
}

func (f *field) hasTime() bool {
	return f.Class == rowop.Time || f.Class == rowop.Array && f.Elem == rowop.Time
}
