package record

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// FindOrSave loads the record that has the same values as r in the columns of a unique constraint or, if there is none,
// inserts r; created tells which. Two callers at once get the same record. r is then as it is in the database.
// One round trip if it exists, two if it does not.
func (t *Table[T]) FindOrSave(ctx context.Context, q tenancy.Querier, r *T, columns ...string) (created bool, err error) {
	if err := validate(r); err != nil {
		return false, err
	}
	conflict, err := t.conflict(columns)
	if err != nil {
		return false, err
	}
	conflict.Set = ""
	err = t.change(ctx, q, r, func(ctx context.Context, q tenancy.Querier) error {
		created, err = t.findOrSave(ctx, q, r, conflict)
		return err
	})
	return created && err == nil, err
}

func (t *Table[T]) findOrSave(ctx context.Context, q tenancy.Querier, r *T, conflict *rowop.Conflict) (bool, error) {
	v := reflect.ValueOf(r).Elem()
	where, args, err := t.same(v, conflict)
	if err != nil {
		return false, err
	}
	_, tail := t.on(tenantOf(ctx, q))
	stmt := t.stmt(t.insertion(tail != nil, conflict))
	for range 3 { // a record may come and go meanwhile
		list, err := t.find(ctx, q, where, args)
		if err == nil && len(list) == 0 {
			t.giveID(v)
			var values []any
			if values, err = t.values(v, t.written()); err == nil {
				list, err = t.list(ctx, q, rowop.Op{Stmt: stmt, Args: append(values, tail...)})
			}
			if err == nil && len(list) == 1 {
				*r = list[0]
				return true, t.audit(q, "created", nil, r)
			}
		}
		if err != nil {
			return false, err
		}
		if len(list) == 1 {
			*r = list[0]
			return false, nil
		}
	}
	// A softly deleted record, or one that this transaction's snapshot does not show.
	return false, fmt.Errorf("%w: %s (%s)", ErrConflict, t.table, strings.Join(conflict.Columns, ", "))
}

func (t *Table[T]) find(ctx context.Context, q tenancy.Querier, where string, args []any) ([]T, error) {
	op, err := t.selection(rowop.Select, tenantOf(ctx, q), Query{Where: where, Args: args, Limit: 1})
	if err != nil {
		return nil, err
	}
	return t.list(ctx, q, op)
}

// same is the condition of the records with the values of v in the columns of a conflict.
func (p *plan) same(v reflect.Value, conflict *rowop.Conflict) (string, []any, error) {
	var parts []string
	var args []any
	for _, name := range conflict.Columns {
		for _, f := range p.fields {
			if f.Name != name {
				continue
			}
			value, err := f.Encode(f.in(v))
			if err == nil && value == nil {
				err = fmt.Errorf("null is not unique")
			}
			if err != nil {
				return "", nil, fmt.Errorf("record: column %s of %s: %w", name, p.table, err)
			}
			args = append(args, value)
			parts = append(parts, "t."+rowop.Quote(name)+" = $"+strconv.Itoa(len(args)))
		}
	}
	if conflict.Where != "" {
		parts = append(parts, conflict.Where)
	}
	return strings.Join(parts, " and "), args, nil
}
