package tenancy

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// unitRows are rows of a unit; closing them frees the unit for the next statement.
type unitRows struct {
	pgx.Rows
	tx     *Tx
	br     pgx.BatchResults // nil when the rows came without a batch
	closed bool
	err    error
}

// reading registers rows, so that a unit that ends with rows open can still be rolled back.
func (tx *Tx) reading(r *unitRows, err error) (pgx.Rows, error) {
	tx.setRows(closer{r})
	if err != nil {
		r.Close()
		return r, err
	}
	return r, nil
}

// Close implements pgx.Rows.
func (r *unitRows) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.Rows.Close()
	r.err = r.Rows.Err()
	if r.br != nil {
		if err := r.br.Close(); r.err == nil {
			r.err = err
		}
	}
	r.tx.setRows(nil)
	_ = r.tx.note(r.err)
	r.tx.busy.Store(false)
}

// Next implements pgx.Rows.
func (r *unitRows) Next() bool {
	if r.closed || r.Rows.Next() {
		return !r.closed
	}
	r.Close()
	return false
}

// Scan implements pgx.Rows. As in pgx, a failed Scan ends the rows.
func (r *unitRows) Scan(dest ...any) error {
	err := r.Rows.Scan(dest...)
	if err != nil {
		r.Close()
	}
	return err
}

// Err implements pgx.Rows.
func (r *unitRows) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.Rows.Err()
}

// Conn implements pgx.Rows.
func (r *unitRows) Conn() *pgx.Conn { return r.Rows.Conn() }

type closer struct{ r *unitRows }

// Close closes the rows.
func (c closer) Close() error {
	c.r.Close()
	return c.r.err
}

// failedRows are the rows of a statement that was not sent.
type failedRows struct{ err error }

func (failedRows) Close()                                       {}
func (r failedRows) Err() error                                 { return r.err }
func (failedRows) CommandTag() pgconn.CommandTag                { return pgconn.CommandTag{} }
func (failedRows) FieldDescriptions() []pgconn.FieldDescription { return nil }
func (failedRows) Next() bool                                   { return false }
func (r failedRows) Scan(...any) error                          { return r.err }
func (r failedRows) Values() ([]any, error)                     { return nil, r.err }
func (failedRows) RawValues() [][]byte                          { return nil }
func (failedRows) Conn() *pgx.Conn                              { return nil }
func (failedRows) TypeMap() *pgtype.Map                         { return nil }

// unitRow is the result of QueryRow.
type unitRow struct{ rows pgx.Rows }

// Scan implements pgx.Row.
func (r unitRow) Scan(dest ...any) error {
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// unitBatch are the results of SendBatch.
type unitBatch struct {
	pgx.BatchResults
	tx     *Tx
	closed bool
	err    error
}

// Close frees the unit for the next statement.
func (b *unitBatch) Close() error {
	if b.closed {
		return b.err
	}
	b.closed = true
	b.err = b.BatchResults.Close()
	b.tx.setRows(nil)
	_ = b.tx.note(b.err)
	b.tx.busy.Store(false)
	return b.err
}

// Tx returns nil: the transaction is the unit's.
func (b *unitBatch) Tx() pgx.Tx { return nil }
