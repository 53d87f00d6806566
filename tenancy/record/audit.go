package record

import (
	"context"
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// unit runs fn on q or, if its writes are audited and q is a DB, in a unit of work: an entry needs one. So does a write for
// all tenants, in a unit or a savepoint of its own: what met rows of several tenants has to be undone.
func (p *plan) unit(ctx context.Context, q tenancy.Querier, fn func(context.Context, tenancy.Querier) error) error {
	all := p.table.Tenant != "" && tenantOf(ctx, q) == ""
	switch on := q.(type) {
	case *tenancy.DB:
		if p.audited || all {
			return on.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { return fn(ctx, tx) })
		}
	case *tenancy.Tx:
		if all {
			return pgx.BeginFunc(ctx, on, func(pgx.Tx) error { return fn(ctx, q) })
		}
	}
	return fn(ctx, q)
}

// audit writes an entry about a record, if they are audited. nil stands for a record that does not exist.
func (t *Table[T]) audit(q tenancy.Querier, action string, before, after *T) error {
	if !t.audited {
		return nil
	}
	tx, ok := q.(*tenancy.Tx)
	if !ok {
		return fmt.Errorf("record: %s is audited: write in a unit of work", t.table)
	}
	entry := tenancy.Audit{Action: t.table.Name + "." + action}
	for _, r := range []*T{before, after} {
		if r != nil {
			entry.Subject = t.subject(reflect.ValueOf(r).Elem())
		}
	}
	if before != nil {
		entry.Before = t.state(reflect.ValueOf(before).Elem())
	}
	if after != nil {
		entry.After = t.state(reflect.ValueOf(after).Elem())
	}
	tx.Audit(entry)
	return nil
}

// subject names a record: notes/0190….
func (p *plan) subject(v reflect.Value) string {
	s := p.table.Name
	for _, f := range p.key {
		s += fmt.Sprint("/", f.in(v).Interface())
	}
	return s
}

// state are the fields that an entry compares, by column.
func (p *plan) state(v reflect.Value) map[string]any {
	state := map[string]any{}
	for _, f := range p.fields {
		if !f.secret && (f.role == plain || f.role == readOnly || f.role == deletedAt) {
			state[f.Name] = f.in(v).Interface()
		}
	}
	return state
}

// pairs runs an update that returns its records as they were and as they are.
func (t *Table[T]) pairs(ctx context.Context, q tenancy.Querier, op rowop.Op) ([][2]T, error) {
	var list [][2]T
	err := q.Scan(ctx, func(rows pgx.Rows) error {
		list = nil
		targets := make([]any, 2*len(t.fields))
		for rows.Next() {
			list = append(list, [2]T{})
			pair := &list[len(list)-1]
			if err := t.scan(rows, targets, &pair[0], &pair[1]); err != nil {
				return err
			}
		}
		return nil
	}, op.Label(), op)
	return list, t.explain(err)
}

// affectAudited is affect with an entry per row.
func (t *Table[T]) affectAudited(ctx context.Context, q tenancy.Querier, action string, s rowop.Stmt, args []any) (n int64, err error) {
	s.Returning, s.Old = t.columns, s.Kind == rowop.Update
	op := rowop.Op{Stmt: rowop.New(s), Args: args}
	err = t.unit(ctx, q, func(ctx context.Context, q tenancy.Querier) error {
		if !s.Old {
			list, err := t.list(ctx, q, op)
			n = int64(len(list))
			for i := range list {
				if err == nil {
					err = t.audit(q, action, &list[i], nil)
				}
			}
			return err
		}
		list, err := t.pairs(ctx, q, op)
		n = int64(len(list))
		for i := range list {
			if err == nil {
				err = t.audit(q, action, &list[i][0], &list[i][1])
			}
		}
		return err
	})
	if err != nil {
		n = 0
	}
	return n, err
}

func (p *plan) noOldValues(what string) error {
	return fmt.Errorf("record: %s is audited, and %s does not know the old values; use Save", p.table, what)
}
