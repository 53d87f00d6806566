package tenancy

import (
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// pgRows are rows of which a failing Scan stays the caller's affair. In pgx it ends the whole batch, so that what the
// server says afterwards, about COMMIT for one, is never heard.
type pgRows struct {
	pgx.Rows
	err   error // of Scan
	types []reflect.Type
	plans []pgtype.ScanPlan // of the last row, which is like the next one
}

// Next implements pgx.Rows.
func (r *pgRows) Next() bool { return r.err == nil && r.Rows.Next() }

// Scan implements pgx.Rows. As in pgx, a failed Scan ends the rows.
func (r *pgRows) Scan(dest ...any) error {
	err := r.scan(dest)
	if err != nil {
		r.err = err
		r.Rows.Close()
	}
	return err
}

func (r *pgRows) scan(dest []any) error {
	if len(dest) == 1 {
		if s, ok := dest[0].(pgx.RowScanner); ok {
			return s.ScanRow(r)
		}
	}
	fields, values := r.Rows.FieldDescriptions(), r.Rows.RawValues()
	if len(fields) != len(values) || len(fields) != len(dest) {
		return fmt.Errorf("tenancy: %d destinations for %d columns", len(dest), len(fields))
	}
	if r.plans == nil {
		r.plans, r.types = make([]pgtype.ScanPlan, len(dest)), make([]reflect.Type, len(dest))
	}
	for i, d := range dest {
		if d == nil {
			continue
		}
		if t := reflect.TypeOf(d); r.types[i] != t {
			r.types[i], r.plans[i] = t, r.Rows.TypeMap().PlanScan(fields[i].DataTypeOID, fields[i].Format, d)
		}
		if err := r.plans[i].Scan(values[i], d); err != nil {
			return pgx.ScanArgError{ColumnIndex: i, FieldName: fields[i].Name, Err: err}
		}
	}
	return nil
}

// Err implements pgx.Rows. What the server says comes before what Scan says.
func (r *pgRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

// pgBatch makes pgRows of pgx's rows.
type pgBatch struct{ pgx.BatchResults }

// Query implements pgx.BatchResults.
func (b pgBatch) Query() (pgx.Rows, error) {
	rows, err := b.BatchResults.Query()
	return &pgRows{Rows: rows}, err
}

// QueryRow implements pgx.BatchResults.
func (b pgBatch) QueryRow() pgx.Row {
	rows, _ := b.Query() // its error is the error of rows
	return unitRow{rows}
}

// pgResults are the results of Batch.Queries; Close reads the answers to the events and to COMMIT.
type pgResults struct {
	pgBatch
	unread []*pgx.QueuedQuery
	tail   int
	commit bool
	lsn    *LSN
	closed bool
	err    error
}

func (r *pgResults) next() {
	if len(r.unread) > 0 {
		r.unread = r.unread[1:]
	}
}

// Exec implements pgx.BatchResults.
func (r *pgResults) Exec() (tag pgconn.CommandTag, err error) { r.next(); return r.pgBatch.Exec() }

// Query implements pgx.BatchResults.
func (r *pgResults) Query() (pgx.Rows, error) { r.next(); return r.pgBatch.Query() }

// QueryRow implements pgx.BatchResults.
func (r *pgResults) QueryRow() pgx.Row { r.next(); return r.pgBatch.QueryRow() }

// Close implements pgx.BatchResults.
func (r *pgResults) Close() error {
	if r.closed {
		return r.err
	}
	r.closed = true
	answered := r.drain()
	if answered && r.lsn != nil {
		*r.lsn = r.position()
	}
	closed := r.pgBatch.Close()
	if r.err == nil && !(r.commit && answered) {
		r.err = closed // after an answered COMMIT, what happens to the connection changes nothing
	}
	return r.err
}

// drain reads what the caller has not, and tells whether everything was answered.
func (r *pgResults) drain() bool {
	for len(r.unread) > 0 {
		q := r.unread[0]
		r.next()
		if q.Fn != nil {
			r.err = q.Fn(r.pgBatch)
		} else {
			_, r.err = r.pgBatch.Exec()
		}
		if r.err != nil {
			return false
		}
	}
	for i := range r.tail {
		tag, err := r.pgBatch.Exec()
		if err == nil && r.commit && i == r.tail-1 && tag.String() != "COMMIT" {
			err = pgx.ErrTxCommitRollback
		}
		if err != nil {
			r.err = err
			return false
		}
	}
	return true
}

// position reads where the log is after COMMIT. Nothing that fails here can undo that.
func (r *pgResults) position() LSN {
	var text string
	if err := r.pgBatch.QueryRow().Scan(&text); err != nil {
		return maxLSN
	}
	at, err := ParseLSN(text)
	if err != nil {
		return maxLSN
	}
	return at
}

// noResults are the results of a batch without statements.
type noResults struct{}

func (noResults) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, errNoResult }
func (noResults) Query() (pgx.Rows, error)         { return failedRows{errNoResult}, errNoResult }
func (noResults) QueryRow() pgx.Row                { return unitRow{failedRows{errNoResult}} }
func (noResults) Close() error                     { return nil }
func (noResults) Tx() pgx.Tx                       { return nil }
