package record

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// Save inserts a record whose version is 0, and updates any other where its version is still the one that was loaded.
// Else the error is tenancy.ErrStale, also if the record is gone or deleted: load it again to see. The record is then as it
// is in the database: id, version, times and all that the database makes are set; those are taken back if the savepoint or
// the unit around is rolled back, so that a unit can be run again.
//
// A record without a version is inserted when its primary key is the zero value, and updated without a check otherwise;
// then a row that is gone is tenancy.ErrNotFound.
//
// If *T has a method Validate() error, its error is returned before anything is sent. One round trip.
func (t *Table[T]) Save(ctx context.Context, q tenancy.Querier, r *T) error {
	if err := validate(r); err != nil {
		return err
	}
	return t.change(ctx, q, r, func(ctx context.Context, q tenancy.Querier) error {
		if v := reflect.ValueOf(r).Elem(); t.isNew(v) {
			return t.insert(ctx, q, r, v)
		}
		return t.update(ctx, q, r)
	})
}

func (t *Table[T]) insert(ctx context.Context, q tenancy.Querier, r *T, v reflect.Value) error {
	t.giveID(v)
	args, err := t.values(v, t.written())
	if err != nil {
		return err
	}
	s, tail := t.on(tenantOf(ctx, q))
	if err := t.write(ctx, q, rowop.Op{Stmt: s.insert, Args: append(args, tail...)}, r); err != nil {
		return err
	}
	return t.audit(q, "created", nil, r)
}

func (t *Table[T]) update(ctx context.Context, q tenancy.Querier, r *T) error {
	v := reflect.ValueOf(r).Elem()
	s, tail := t.on(t.owner(tenantOf(ctx, q), v))
	args, err := t.updateArgs(v, tail)
	if err != nil {
		return err
	}
	op := rowop.Op{Stmt: s.update, Args: args}
	if !t.audited {
		return t.write(ctx, q, op, r)
	}
	pairs, err := t.pairs(ctx, q, op)
	if err == nil && len(pairs) != 1 {
		err = t.missing()
	}
	if err != nil {
		return err
	}
	*r = pairs[0][1]
	return t.audit(q, "changed", &pairs[0][0], r)
}

// SaveLater is Save inside a unit of work without a round trip: it leaves with the next statement or with COMMIT. So it
// returns only errors of the record itself; tenancy.ErrStale and the rest come from what it travels with, and spoil the
// unit; see Explain for those. The version is counted up here; times and what the database makes are not read back.
// An insert gets its id at once, unless the database makes it. The record may be changed afterwards, but not the bytes of
// its byte slices before the unit ends.
func (t *Table[T]) SaveLater(tx *tenancy.Tx, r *T) error {
	if err := validate(r); err != nil {
		return err
	}
	v := reflect.ValueOf(r).Elem()
	before := *r
	if t.isNew(v) {
		s, tail := t.on(tx.ID())
		t.giveID(v)
		args, err := t.values(v, t.written())
		if err != nil {
			*r = before
			return err
		}
		op := rowop.Op{Stmt: s.add, Args: append(args, tail...)}
		tx.DeferExpect(1, t.table.String(), op.Label(), op)
		if err := t.audit(tx, "created", nil, r); err != nil {
			return err
		}
	} else {
		if t.audited {
			return t.noOldValues("SaveLater of a change")
		}
		s, tail := t.on(t.owner(tx.ID(), v))
		args, err := t.updateArgs(v, tail)
		if err != nil {
			return err
		}
		op := rowop.Op{Stmt: s.later, Args: args}
		tx.DeferExpect(1, t.table.String(), op.Label(), op)
	}
	if t.version != nil {
		version := t.version.in(v)
		version.SetInt(version.Int() + 1)
	}
	t.undoWith(context.Background(), tx, r, before)
	return nil
}

// Delete removes a record, or marks it as deleted under Options.SoftDelete, where its version is still the one that was
// loaded; else the error is tenancy.ErrStale. One round trip.
func (t *Table[T]) Delete(ctx context.Context, q tenancy.Querier, r *T) error {
	s, tail := t.on(t.owner(tenantOf(ctx, q), reflect.ValueOf(r).Elem()))
	return t.byVersion(ctx, q, s.remove, "deleted", r, tail)
}

// Erase removes a record for good, also one that was deleted softly. It is otherwise like Delete.
func (t *Table[T]) Erase(ctx context.Context, q tenancy.Querier, r *T) error {
	s, tail := t.on(t.owner(tenantOf(ctx, q), reflect.ValueOf(r).Elem()))
	return t.byVersion(ctx, q, s.erase, "erased", r, tail)
}

// Restore undoes a soft Delete. It is otherwise like Delete, and panics without Options.SoftDelete.
func (t *Table[T]) Restore(ctx context.Context, q tenancy.Querier, r *T) error {
	if !t.soft {
		panic("record: Restore needs Options.SoftDelete for " + t.table.String())
	}
	s, tail := t.on(t.owner(tenantOf(ctx, q), reflect.ValueOf(r).Elem()))
	return t.byVersion(ctx, q, s.restore, "restored", r, tail)
}

func (t *Table[T]) byVersion(ctx context.Context, q tenancy.Querier, s *rowop.Stmt, action string, r *T, tail []any) error {
	args, err := t.identity(reflect.ValueOf(r).Elem())
	if err != nil {
		return err
	}
	return t.change(ctx, q, r, func(ctx context.Context, q tenancy.Querier) error {
		before := *r
		if err := t.write(ctx, q, rowop.Op{Stmt: s, Args: append(args, tail...)}, r); err != nil {
			return err
		}
		if s.Kind == rowop.Delete {
			return t.audit(q, action, r, nil)
		}
		// Nothing but the mark has changed since this version.
		old := *r
		mark := func(r *T) reflect.Value { return t.deleted.in(reflect.ValueOf(r).Elem()) }
		mark(&old).Set(mark(&before))
		return t.audit(q, action, &old, r)
	})
}

// change runs a write of one record, which is as before if it fails.
func (t *Table[T]) change(ctx context.Context, q tenancy.Querier, r *T, write func(context.Context, tenancy.Querier) error) error {
	before := *r
	err := t.unit(ctx, q, func(ctx context.Context, q tenancy.Querier) error {
		*r = before // a unit may run more than once
		return write(ctx, q)
	})
	if err != nil {
		*r = before
		return err
	}
	t.undoWith(ctx, q, r, before)
	return nil
}

// undoWith makes the rollback of a unit take back what saving a record made of it: else a unit that is run again would take
// a record that was not saved for one that was.
func (t *Table[T]) undoWith(ctx context.Context, q tenancy.Querier, r *T, before T) {
	q.OnRollback(ctx, func(context.Context) { t.revert(r, &before) })
}

// revert takes back what this package and the database make. A record that was saved twice is reverted to the oldest state.
func (t *Table[T]) revert(r, before *T) {
	to, from := reflect.ValueOf(r).Elem(), reflect.ValueOf(before).Elem()
	if t.version != nil && t.version.in(to).Int() <= t.version.in(from).Int() || t.version == nil && !t.isNew(from) {
		return
	}
	for _, f := range t.fields {
		if f.role != plain || f.auto {
			f.in(to).Set(f.in(from))
		}
	}
}

// write runs a statement that must answer with one record, and reads it into r.
func (t *Table[T]) write(ctx context.Context, q tenancy.Querier, op rowop.Op, r *T) error {
	fresh, err := t.one(ctx, q, op)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return t.missing()
	case errors.Is(err, pgx.ErrTooManyRows):
		return fmt.Errorf("record: several tenants have this key in %s; name one by tenancy.WithID, or read the column %s into a field: %w",
			t.table, t.table.Tenant, err)
	case err != nil:
		return err
	}
	*r = fresh
	return nil
}

// missing is what it means that a statement did not meet its record.
func (t *Table[T]) missing() error {
	if t.version != nil {
		return fmt.Errorf("%w: %s", tenancy.ErrStale, t.table)
	}
	return tenancy.ErrNotFound
}

// isNew tells whether a record has to be inserted.
func (t *Table[T]) isNew(v reflect.Value) bool {
	if t.version != nil {
		return t.version.in(v).IsZero()
	}
	for _, f := range t.key {
		if f.in(v).IsZero() {
			return true
		}
	}
	return false
}

// giveID makes the id of a record that has none.
func (t *Table[T]) giveID(v reflect.Value) {
	if f := t.key[0]; f.auto && !f.Auto && f.in(v).IsZero() {
		f.in(v).SetString(idsAt(time.Now()).next())
	}
}

// values encodes fields.
func (t *Table[T]) values(v reflect.Value, fields []*field) ([]any, error) {
	args := make([]any, len(fields), len(fields)+3)
	for i, f := range fields {
		var err error
		if args[i], err = f.Encode(f.in(v)); err != nil {
			return nil, fmt.Errorf("record: column %s of %s: %w", f.Name, t.table, err)
		}
	}
	return args, nil
}

// identity are the values of the key and the version.
func (t *Table[T]) identity(v reflect.Value) ([]any, error) {
	fields := t.key[:len(t.key):len(t.key)]
	if t.version != nil {
		fields = append(fields, t.version)
	}
	return t.values(v, fields)
}

func (t *Table[T]) updateArgs(v reflect.Value, tail []any) ([]any, error) {
	args, err := t.values(v, t.changed())
	if err != nil {
		return nil, err
	}
	id, err := t.identity(v)
	return append(append(args, id...), tail...), err
}

// Update changes all records for which a condition holds in one statement, by expressions that the database computes, so
// that no update is lost: Update(ctx, q, "used = used + $1", "name = $2 and used + $1 <= allowed", 1, "seats"). It counts
// their versions up and returns how many there were. An empty condition means all. One round trip.
func (t *Table[T]) Update(ctx context.Context, q tenancy.Querier, set, where string, args ...any) (int64, error) {
	if err := errors.Join(checkText(set, args), checkText(where, args)); err != nil {
		return 0, err
	}
	where, args = t.scope(tenantOf(ctx, q), where, args, false)
	s := rowop.Stmt{Kind: rowop.Update, Table: t.table, Set: set + t.touch("t."), Where: where}
	return t.affect(ctx, q, "changed", s, args)
}

// DeleteBy deletes all records for which a condition holds, as Delete does, whatever their version, and returns how many
// there were. The condition must not be empty: true means all. One round trip.
func (t *Table[T]) DeleteBy(ctx context.Context, q tenancy.Querier, where string, args ...any) (int64, error) {
	if where == "" {
		return 0, errors.New("record: DeleteBy without a condition; true deletes all")
	}
	if err := checkText(where, args); err != nil {
		return 0, err
	}
	where, args = t.scope(tenantOf(ctx, q), where, args, false)
	s := rowop.Stmt{Kind: rowop.Delete, Table: t.table, Where: where}
	if t.soft {
		s.Kind, s.Set = rowop.Update, rowop.Quote(t.deleted.Name)+" = now()"+t.touch("t.")
	}
	return t.affect(ctx, q, "deleted", s, args)
}

// affect runs a statement and returns the number of rows. Unless it is audited, nothing else comes back.
func (t *Table[T]) affect(ctx context.Context, q tenancy.Querier, action string, s rowop.Stmt, args []any) (n int64, err error) {
	if t.audited {
		return t.affectAudited(ctx, q, action, s, args)
	}
	op := rowop.Op{Stmt: rowop.New(s), Args: args}
	err = q.Scan(ctx, func(rows pgx.Rows) error {
		rows.Close()
		n = rows.CommandTag().RowsAffected()
		return nil
	}, op.Label(), op)
	return n, t.explain(err)
}

func validate(r any) error {
	if v, ok := r.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}
