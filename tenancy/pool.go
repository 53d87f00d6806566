package tenancy

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// This file gives a DB the methods of a *pgxpool.Pool, so that code written for one (sqlc, pgx.BeginFunc, sqldb) takes a
// DB as it is and is tenant-safe.

// Exec runs one statement in a unit of its own, in one round trip; inside an open unit of that DB it is part of the unit.
// Several statements in one text cost three. Retries and errors are those of One.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	if direct(args) || len(args) == 0 && several(sql) {
		err = db.Do(ctx, func(ctx context.Context, tx *Tx) (err error) {
			tag, err = tx.Exec(ctx, sql, args...)
			return err
		})
		return tag, err
	}
	err = db.query(ctx, sql, args, func(rows pgx.Rows) error {
		rows.Close()
		tag = rows.CommandTag()
		return rows.Err()
	})
	return tag, err
}

// Query runs one statement in a unit of its own, in one round trip, and returns its rows as they arrive; inside an open
// unit of that DB it is part of the unit. The connection is held until the rows are closed or read to the end; then, not
// before, Err knows whether the unit was committed. Retries end with the first row. Use All where the rows fit in memory.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	who, err := identityOf(ctx)
	if err != nil {
		return failedRows{err}, err
	}
	if tx := db.core.open(ctx); tx != nil {
		if who != tx.who || db.elsewhere(tx) {
			return failedRows{ErrTenantMismatch}, ErrTenantMismatch
		}
		return tx.Query(ctx, sql, args...)
	}
	if direct(args) {
		return failedRows{errDirect}, errDirect
	}
	cancel := context.CancelFunc(func() {})
	if db.opts.Timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, db.opts.Timeout)
	}
	var rows *streamedRows
	err = db.run(ctx, who, func(t Target) (again bool, err error) {
		rows, again, err = db.stream(ctx, t, sql, args)
		return again, err
	})
	if err != nil {
		cancel()
		return failedRows{err}, err
	}
	if rows.cancel = cancel; rows.closed {
		cancel()
	}
	return rows, nil
}

// QueryRow is Query for one row. Its errors come from Scan.
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, _ := db.Query(ctx, sql, args...) // its error is the error of rows
	return unitRow{rows}
}

// Begin opens a unit that its caller ends with Commit or Rollback, for code that cannot be a function given to Do.
// It is as lazy as Do and isolates like Do, but nothing runs it again, it goes to the primary, ctx does not carry it, and a
// forgotten one keeps its connection. Inside an open unit of that DB it is a savepoint.
func (db *DB) Begin(ctx context.Context) (pgx.Tx, error) {
	who, err := identityOf(ctx)
	if err != nil {
		return nil, err
	}
	if tx := db.core.open(ctx); tx != nil {
		if db.elsewhere(tx) {
			return nil, ErrTenantMismatch
		}
		if db.opts.Isolation != "" && db.opts.Isolation != tx.opts.Isolation {
			return nil, errIsolation
		}
		return tx.Begin(ctx)
	}
	db.core.noteSystem(ctx, who)
	place, err := db.placement(ctx, who)
	if err != nil {
		return nil, err
	}
	unit, err := db.newTx(ctx, who, Target{Tenant: who.tenant, System: who.system, Place: place})
	if err != nil {
		return nil, err
	}
	tx := &manualTx{Tx: unit}
	if tx.opts.Eager {
		if err := tx.flush(ctx); err != nil {
			tx.finish(ctx, rolledBack)
			return nil, err
		}
	}
	return tx, nil
}

// manualTx is a unit that is ended by hand.
type manualTx struct {
	*Tx
	ended atomic.Bool
}

// Commit commits the unit.
func (m *manualTx) Commit(ctx context.Context) error {
	if !m.ended.CompareAndSwap(false, true) {
		return pgx.ErrTxClosed
	}
	result, err := m.commit(withTx(ctx, m.Tx))
	if refusal := m.restricted(err); refusal != nil {
		err = refusal
	}
	m.finish(ctx, result)
	return err
}

// Rollback rolls the unit back.
func (m *manualTx) Rollback(ctx context.Context) error {
	if !m.ended.CompareAndSwap(false, true) {
		return pgx.ErrTxClosed
	}
	result, err := m.undone(nil)
	m.finish(ctx, result)
	return err
}

var errDirect = errors.New("tenancy: query options need a unit of work; use DB.Read")

// stream sends the statement and reads up to its first row: until then it may be run again.
func (db *DB) stream(ctx context.Context, t Target, sql string, args []any) (*streamedRows, bool, error) {
	session, br, again, err := db.sendOnce(ctx, t, sql, args)
	if session == nil {
		return nil, again, err
	}
	if err != nil {
		again, err := db.settle(ctx, t, session, err, false)
		session.Release(context.WithoutCancel(ctx))
		return nil, again, err
	}
	rows, _ := br.Query() // its error is the error of rows
	r := &streamedRows{Rows: rows, db: db, ctx: ctx, target: t, session: session, br: br, cancel: func() {}}
	r.peeked = rows.Next()
	if rows.Err() == nil {
		r.fields = slices.Clone(rows.FieldDescriptions()) // the connection will reuse them
	}
	if !r.peeked {
		if again := r.end(); r.err != nil {
			return nil, again, r.err
		}
	}
	return r, false, nil
}

// streamedRows are the rows of a statement that is its own unit; closing them ends the unit.
type streamedRows struct {
	pgx.Rows
	db      *DB
	ctx     context.Context // of the statement, as pgx's own rows keep it
	target  Target
	session Session
	br      pgx.BatchResults
	cancel  context.CancelFunc
	fields  []pgconn.FieldDescription
	peeked  bool // the first row has been read and not been asked for
	closed  bool
	err     error
}

// end reads the answer to COMMIT and gives the connection back.
func (r *streamedRows) end() (again bool) {
	if r.closed {
		return false
	}
	r.closed = true
	r.Rows.Close()
	again, r.err = r.db.settle(r.ctx, r.target, r.session, verdict(r.Rows.Err(), r.br.Close()), false)
	r.session.Release(context.WithoutCancel(r.ctx))
	r.cancel()
	return again
}

// Close implements pgx.Rows.
func (r *streamedRows) Close() { r.end() }

// Next implements pgx.Rows.
func (r *streamedRows) Next() bool {
	if r.closed {
		return false
	}
	if r.peeked || r.Rows.Next() {
		r.peeked = false
		return true
	}
	r.end()
	return false
}

// Scan implements pgx.Rows. As in pgx, a failed Scan ends the rows.
func (r *streamedRows) Scan(dest ...any) error {
	err := r.Rows.Scan(dest...)
	if err != nil {
		r.end()
	}
	return err
}

// Err implements pgx.Rows.
func (r *streamedRows) Err() error {
	if r.closed {
		return r.err
	}
	return r.Rows.Err()
}

// FieldDescriptions implements pgx.Rows.
func (r *streamedRows) FieldDescriptions() []pgconn.FieldDescription { return r.fields }

// Conn returns nil: the connection belongs to the unit.
func (r *streamedRows) Conn() *pgx.Conn { return nil }
