package record

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// The bounds of one statement of a bulk write; more rows travel in several, in one unit of work.
const (
	chunkRows  = 10_000
	chunkBytes = 8 << 20
)

// InsertAll inserts records that have not been saved, in their order, by arrays: PostgreSQL refuses COPY on tables with
// row-level security. All are inserted or none. What the database makes is read back: keys, versions, times and readonly
// columns; what a trigger or the type of a column changes in others is not. Validate is called for all before anything is
// sent. One round trip per 10,000 records or 8 MiB, and one to commit several; none for no records.
func (t *Table[T]) InsertAll(ctx context.Context, q tenancy.Querier, list []T) error {
	for i := range list {
		if t.version != nil && !t.version.in(reflect.ValueOf(&list[i]).Elem()).IsZero() {
			return fmt.Errorf("record: InsertAll: record %d has been saved before", i)
		}
	}
	return t.bulk(ctx, q, list, nil)
}

// Upsert inserts a record or, if one exists with the same values in the conflict columns, overwrites that, whatever its
// version: the last one wins. The columns are those of a unique constraint, or of the primary key, without the tenant.
// What the database makes is read back, as by InsertAll. One round trip.
//
// A soft-deleted record that the constraint covers is brought back.
func (t *Table[T]) Upsert(ctx context.Context, q tenancy.Querier, r *T, conflictColumns ...string) error {
	list, before := []T{*r}, *r
	if err := t.UpsertAll(ctx, q, list, conflictColumns...); err != nil {
		return err
	}
	*r = list[0]
	t.undoWith(ctx, q, r, before)
	return nil
}

// UpsertAll is Upsert for many records, with the round trips of InsertAll. Two of them for the same row are an error of
// PostgreSQL (21000).
func (t *Table[T]) UpsertAll(ctx context.Context, q tenancy.Querier, list []T, conflictColumns ...string) error {
	if t.audited {
		return t.noOldValues("Upsert")
	}
	conflict, err := t.conflict(conflictColumns)
	if err != nil {
		return err
	}
	return t.bulk(ctx, q, list, conflict)
}

// conflict overwrites all that is written but the key and the columns of the conflict.
func (p *plan) conflict(columns []string) (*rowop.Conflict, error) {
	if len(columns) == 0 {
		return nil, errors.New("record: Upsert needs the columns of a unique constraint")
	}
	c := &rowop.Conflict{Columns: columns}
	same := map[string]bool{}
	for _, name := range columns {
		if p.table.Column(name) == nil {
			return nil, fmt.Errorf("record: Upsert names an unknown column %q", name)
		}
		same[name] = true
	}
	for _, u := range p.table.Unique {
		if strings.Join(u.Columns, ",") == strings.Join(columns, ",") {
			c.Where, c.AllTenants = u.Where, u.AllTenants
		}
	}
	var sets []string
	for _, f := range p.changed() {
		if !same[f.Name] {
			sets = append(sets, rowop.Quote(f.Name)+" = excluded."+rowop.Quote(f.Name))
		}
	}
	c.Set = strings.Join(sets, ", ") + p.touch("t.")
	if p.soft {
		c.Set += ", " + rowop.Quote(p.deleted.Name) + " = null"
	}
	c.Set = strings.TrimPrefix(c.Set, ", ")
	if c.Set == "" {
		c.Set = rowop.Quote(columns[0]) + " = excluded." + rowop.Quote(columns[0])
	}
	return c, nil
}

// bulk writes records in chunks. They are changed only if all were written.
func (t *Table[T]) bulk(ctx context.Context, q tenancy.Querier, list []T, conflict *rowop.Conflict) error {
	if len(list) == 0 {
		return nil
	}
	for i := range list {
		if err := validate(&list[i]); err != nil {
			return fmt.Errorf("record: record %d: %w", i, err)
		}
	}
	fresh := slices.Clone(list)
	rows := make([]reflect.Value, len(list))
	for i := range fresh {
		rows[i] = reflect.ValueOf(&fresh[i]).Elem()
	}
	if f := t.key[0]; f.auto && !f.Auto {
		ids := idsAt(time.Now())
		for _, v := range rows {
			if id := f.in(v); id.IsZero() {
				id.SetString(ids.next())
			}
		}
	}
	_, tail := t.on(tenantOf(ctx, q))
	chunks, err := t.chunks(rows, tail)
	if err != nil {
		return err
	}
	w := &bulkWrite[T]{Table: t, rows: rows, made: t.made(conflict)}
	s := t.insertion(tail != nil, conflict)
	s.Bulk, s.Returning = true, columnsOf(w.made)
	if s.Now = w.onlyTimes(conflict); s.Now {
		s.Returning = nil
	}
	w.stmt = rowop.New(s)
	run := func(ctx context.Context, q tenancy.Querier) error { return w.run(ctx, q, chunks, fresh) }
	if db, ok := q.(*tenancy.DB); ok && (len(chunks) > 1 || t.audited) {
		err = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { return run(ctx, tx) })
	} else {
		err = run(ctx, q)
	}
	if err != nil {
		return err
	}
	var before []T
	if q.OnRollback(ctx, func(context.Context) {
		for i := range before {
			t.revert(&list[i], &before[i])
		}
	}) {
		before = slices.Clone(list)
	}
	copy(list, fresh)
	return nil
}

// bulkWrite is a write of many records.
type bulkWrite[T any] struct {
	*Table[T]
	stmt *rowop.Stmt
	rows []reflect.Value
	made []*field // what the database makes
}

// made are the fields that an insert does not know by itself; after a conflict the row's own key counts.
func (p *plan) made(conflict *rowop.Conflict) []*field {
	var list []*field
	for _, f := range p.fields {
		if f.role != plain || f.Key && conflict != nil {
			list = append(list, f)
		}
	}
	return list
}

func columnsOf(fields []*field) []*rowop.Column {
	var list []*rowop.Column
	for _, f := range fields {
		list = append(list, f.Column)
	}
	return list
}

// onlyTimes tells whether one answer is enough for all rows.
func (w *bulkWrite[T]) onlyTimes(conflict *rowop.Conflict) bool {
	return conflict == nil && !slices.ContainsFunc(w.made, func(f *field) bool { return f.role == readOnly })
}

func (w *bulkWrite[T]) run(ctx context.Context, q tenancy.Querier, chunks []chunk, fresh []T) error {
	for _, c := range chunks {
		if err := w.send(ctx, q, c); err != nil {
			return w.explain(err)
		}
	}
	for i := range fresh {
		for _, f := range w.fields {
			if f.role == plain {
				f.Normal(f.in(w.rows[i]))
			}
		}
		if err := w.audit(q, "created", nil, &fresh[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *bulkWrite[T]) send(ctx context.Context, q tenancy.Querier, c chunk) error {
	op := rowop.Op{Stmt: w.stmt, Args: c.args}
	return q.Scan(ctx, func(rows pgx.Rows) error {
		if w.stmt.Now {
			return w.stamp(rows, w.rows[c.from:c.to])
		}
		targets := make([]any, len(w.made))
		at := c.from
		for ; rows.Next(); at++ {
			if at == c.to {
				break
			}
			for i, f := range w.made {
				targets[i] = f.in(w.rows[at]).Addr().Interface()
			}
			if err := rows.Scan(targets...); err != nil {
				return err
			}
			for i, f := range w.made {
				if f.hasTime() {
					inUTC(targets[i])
				}
			}
		}
		if err := rows.Err(); err != nil || at == c.to && len(w.made) > 0 {
			return err
		}
		if len(w.made) == 0 {
			return nil // nothing to read
		}
		return fmt.Errorf("record: %d records written, %d rows came back", c.to-c.from, at-c.from)
	}, op.Label(), op)
}

// stamp sets what all new rows of a statement have in common.
func (w *bulkWrite[T]) stamp(rows pgx.Rows, list []reflect.Value) error {
	now, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[time.Time])
	if err != nil {
		return err
	}
	now = now.UTC()
	for _, v := range list {
		for _, f := range w.made {
			switch f.role {
			case versionOf:
				f.in(v).SetInt(1)
			case createdAt, updatedAt:
				f.in(v).Set(reflect.ValueOf(now))
			case deletedAt:
				f.in(v).SetZero()
			}
		}
	}
	return nil
}

// chunk is one statement's part of a bulk write.
type chunk struct {
	from, to int
	args     []any
}

// chunks makes the arrays of all columns and cuts them.
func (t *Table[T]) chunks(rows []reflect.Value, tail []any) ([]chunk, error) {
	fields := t.written()
	arrays := make([]reflect.Value, len(fields))
	sizes := make([]int, len(rows))
	for i, f := range fields {
		list, err := f.Collect(len(rows), func(at int) reflect.Value { return f.in(rows[at]) }, sizes)
		if err != nil {
			return nil, fmt.Errorf("record: column %s of %s: %w", f.Name, t.table, err)
		}
		arrays[i] = reflect.ValueOf(list)
	}
	var chunks []chunk
	from, size := 0, 0
	for at := range rows {
		size += sizes[at]
		if at+1 < len(rows) && at+1-from < chunkRows && size < chunkBytes {
			continue
		}
		c := chunk{from: from, to: at + 1}
		for _, a := range arrays {
			c.args = append(c.args, a.Slice(from, at+1).Interface())
		}
		c.args = append(c.args, tail...)
		chunks = append(chunks, c)
		from, size = at+1, 0
	}
	return chunks, nil
}
