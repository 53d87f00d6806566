package record

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// The bounds of one statement of a bulk write; more rows travel in several, in one unit of work.
const (
	chunkRows  = 10_000
	chunkBytes = 8 << 20
)

// InsertAll inserts records that have not been saved, in their order, by arrays: PostgreSQL refuses COPY on tables with
// row-level security. All are inserted or none. They are then as they are in the database. Validate is called for all
// before anything is sent. One round trip per 10,000 records or 8 MiB, and one to commit several; none for no records.
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
// The record is then as it is in the database. One round trip.
//
// A soft-deleted record that the constraint covers is brought back.
func (t *Table[T]) Upsert(ctx context.Context, q tenancy.Querier, r *T, conflictColumns ...string) error {
	list := []T{*r}
	if err := t.UpsertAll(ctx, q, list, conflictColumns...); err != nil {
		return err
	}
	*r = list[0]
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

// bulk writes records in chunks.
func (t *Table[T]) bulk(ctx context.Context, q tenancy.Querier, list []T, conflict *rowop.Conflict) error {
	if len(list) == 0 {
		return nil
	}
	made := make([]int, 0, len(list)) // whose id was made here
	for i := range list {
		if err := validate(&list[i]); err != nil {
			return fmt.Errorf("record: record %d: %w", i, err)
		}
	}
	ids := idsAt(time.Now())
	for i := range list {
		if t.giveIDFrom(reflect.ValueOf(&list[i]).Elem(), ids) {
			made = append(made, i)
		}
	}
	fresh, err := t.bulkRows(ctx, q, list, conflict)
	if err != nil {
		for _, i := range made {
			t.key[0].in(reflect.ValueOf(&list[i]).Elem()).SetZero()
		}
		return err
	}
	copy(list, fresh)
	return nil
}

func (t *Table[T]) bulkRows(ctx context.Context, q tenancy.Querier, list []T, conflict *rowop.Conflict) ([]T, error) {
	s := t.insertion(conflict)
	s.Bulk = true
	stmt := t.stmt(s)
	chunks, err := t.chunks(list)
	if err != nil {
		return nil, err
	}
	write := func(ctx context.Context, q tenancy.Querier) ([]T, error) {
		fresh := make([]T, 0, len(list))
		for _, args := range chunks {
			rows, err := t.list(ctx, q, rowop.Op{Stmt: stmt, Args: args})
			if err != nil {
				return nil, err
			}
			fresh = append(fresh, rows...)
		}
		if len(fresh) != len(list) {
			return nil, fmt.Errorf("record: %d records written, %d rows came back", len(list), len(fresh))
		}
		for i := range fresh {
			if err := t.audit(q, "created", nil, &fresh[i]); err != nil {
				return nil, err
			}
		}
		return fresh, nil
	}
	db, ok := q.(*tenancy.DB)
	if !ok || len(chunks) == 1 && !t.audited {
		return write(ctx, q)
	}
	var fresh []T
	err = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) (err error) {
		fresh, err = write(ctx, tx)
		return err
	})
	return fresh, err
}

// chunks makes the arrays of the statements.
func (t *Table[T]) chunks(list []T) ([][]any, error) {
	fields := t.written()
	var chunks [][]any
	columns := make([][]any, len(fields))
	size, rows := 0, 0
	flush := func() error {
		args := make([]any, len(fields))
		for i, f := range fields {
			var err error
			if args[i], err = f.Collect(columns[i]); err != nil {
				return fmt.Errorf("record: column %s of %s: %w", f.Name, t.table, err)
			}
			columns[i] = nil
		}
		chunks = append(chunks, args)
		size, rows = 0, 0
		return nil
	}
	for i := range list {
		values, err := t.values(reflect.ValueOf(&list[i]).Elem(), fields)
		if err != nil {
			return nil, err
		}
		for j, v := range values {
			columns[j] = append(columns[j], v)
			size += sizeOf(v)
		}
		if rows++; rows == chunkRows || size >= chunkBytes {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if rows > 0 {
		return chunks, flush()
	}
	return chunks, nil
}

// sizeOf is about what a value takes on the wire.
func sizeOf(v any) int {
	switch v := v.(type) {
	case string:
		return len(v) + 4
	case []byte:
		return len(v) + 4
	case []string:
		n := 4
		for _, s := range v {
			n += len(s) + 4
		}
		return n
	}
	return 12
}
