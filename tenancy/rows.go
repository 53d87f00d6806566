package tenancy

import (
	"cmp"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// unitRows are rows of a unit; closing them frees the unit for the next statement. The unit may end in another goroutine
// while they are read: then they end too, before the connection goes to somebody else.
type unitRows struct {
	pgx.Rows
	tx     *Tx
	br     pgx.BatchResults // nil when the rows came without a batch
	part   bool             // of a batch, which frees the unit by itself
	closed bool
	err    error
}

// reading registers rows, so that a unit that ends with rows open can still be rolled back. The caller has entered.
func (tx *Tx) reading(r *unitRows, err error) (pgx.Rows, error) {
	defer tx.use.Unlock()
	tx.setRows(r)
	if err != nil {
		r.end()
		return r, cmp.Or(r.err, err)
	}
	return r, nil
}

// Close implements pgx.Rows.
func (r *unitRows) Close() {
	r.tx.use.Lock()
	defer r.tx.use.Unlock()
	r.end()
}

// end closes the rows. The caller holds use.
func (r *unitRows) end() {
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
	r.err = r.tx.note(r.err)
	if !r.part {
		r.tx.setRows(nil)
		r.tx.busy.Store(false)
	}
}

// abandon ends rows that were left open when the unit ended. The caller holds use.
func (r *unitRows) abandon() {
	if !r.closed {
		r.end()
		r.err = ErrTxDone
	}
}

// Next implements pgx.Rows.
func (r *unitRows) Next() bool {
	r.tx.use.Lock()
	defer r.tx.use.Unlock()
	if r.closed || r.Rows.Next() {
		return !r.closed
	}
	r.end()
	return false
}

// Scan implements pgx.Rows. As in pgx, a failed Scan ends the rows.
func (r *unitRows) Scan(dest ...any) error {
	if len(dest) == 1 {
		if s, ok := dest[0].(pgx.RowScanner); ok { // it calls Scan again
			return s.ScanRow(r)
		}
	}
	r.tx.use.Lock()
	defer r.tx.use.Unlock()
	if r.closed {
		return cmp.Or(r.err, errRowsClosed)
	}
	err := r.Rows.Scan(dest...)
	if err != nil {
		r.end()
	}
	return err
}

// Values implements pgx.Rows.
func (r *unitRows) Values() ([]any, error) {
	r.tx.use.Lock()
	defer r.tx.use.Unlock()
	if r.closed {
		return nil, cmp.Or(r.err, errRowsClosed)
	}
	return r.Rows.Values()
}

var errRowsClosed = errors.New("tenancy: rows are closed")

// Err implements pgx.Rows.
func (r *unitRows) Err() error {
	r.tx.use.Lock()
	defer r.tx.use.Unlock()
	if r.err != nil {
		return r.err
	}
	return r.tx.told(r.Rows.Err())
}

// Conn implements pgx.Rows.
func (r *unitRows) Conn() *pgx.Conn { return r.Rows.Conn() }

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
	results pgx.BatchResults
	tx      *Tx
	closed  bool
	err     error
}

// Exec implements pgx.BatchResults.
func (b *unitBatch) Exec() (pgconn.CommandTag, error) {
	b.tx.use.Lock()
	defer b.tx.use.Unlock()
	if b.closed {
		return pgconn.CommandTag{}, cmp.Or(b.err, errRowsClosed)
	}
	tag, err := b.results.Exec()
	return tag, b.tx.told(err)
}

// Query implements pgx.BatchResults.
func (b *unitBatch) Query() (pgx.Rows, error) {
	b.tx.use.Lock()
	defer b.tx.use.Unlock()
	if b.closed {
		err := cmp.Or(b.err, errRowsClosed)
		return failedRows{err}, err
	}
	rows, err := b.results.Query()
	return &unitRows{Rows: rows, tx: b.tx, part: true}, b.tx.told(err)
}

// QueryRow implements pgx.BatchResults.
func (b *unitBatch) QueryRow() pgx.Row {
	rows, _ := b.Query() // its error is the error of rows
	return unitRow{rows}
}

// Close frees the unit for the next statement.
func (b *unitBatch) Close() error {
	b.tx.use.Lock()
	defer b.tx.use.Unlock()
	return b.end()
}

// end closes the results. The caller holds use.
func (b *unitBatch) end() error {
	if b.closed {
		return b.err
	}
	b.closed = true
	b.err = b.tx.note(b.results.Close())
	b.tx.setRows(nil)
	b.tx.busy.Store(false)
	return b.err
}

// abandon ends results that were left open when the unit ended. The caller holds use.
func (b *unitBatch) abandon() {
	if !b.closed {
		_ = b.end()
		b.err = ErrTxDone
	}
}

// Tx returns nil: the transaction is the unit's.
func (b *unitBatch) Tx() pgx.Tx { return nil }
