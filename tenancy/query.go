package tenancy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// Querier is what One and All read from: a *DB or a *Tx.
type Querier interface {
	// Scan gives the rows of a query to read, for results that are no structs by name; it is otherwise like All. read may
	// be called again when the query is.
	Scan(ctx context.Context, read func(pgx.Rows) error, sql string, args ...any) error

	// OnRollback runs fn after the rollback of the savepoint or the unit that a statement would be part of now. It returns
	// false, and does nothing, if that is none: on a DB outside of a unit.
	OnRollback(ctx context.Context, fn func(context.Context)) bool

	query(ctx context.Context, sql string, args []any, scan func(pgx.Rows) error) error
}

var (
	_ Querier = (*DB)(nil)
	_ Querier = (*Tx)(nil)
)

// One returns the only row of a query, or ErrNotFound, or pgx.ErrTooManyRows.
//
// T is a struct whose exported fields match the columns by name (see pgx.RowToStructByName and its db tag), or the type
// of the only column. That may be a struct, too, if none of its fields has the column's name: a pgtype.Range, what a json
// document is decoded into.
//
// On a *DB, query and tenant travel in one round trip, in a transaction of their own, which is committed even if scanning
// fails; inside an open unit of that DB they are part of the unit. If the connection is lost before the answer, a
// read-only handle (TxOptions.ReadOnly) asks again; any other returns ErrCommitUnknown, since the query may have written.
func One[T any](ctx context.Context, q Querier, sql string, args ...any) (T, error) {
	var one T
	err := q.query(ctx, sql, args, scanOne(&one))
	return one, err
}

// All returns all rows of a query; no rows are an empty slice, not an error. It is otherwise like One.
func All[T any](ctx context.Context, q Querier, sql string, args ...any) ([]T, error) {
	var all []T
	err := q.query(ctx, sql, args, func(rows pgx.Rows) (err error) {
		all, err = pgx.CollectRows(rows, rowTo[T]())
		return err
	})
	return all, err
}

// Scan implements Querier.
func (db *DB) Scan(ctx context.Context, read func(pgx.Rows) error, sql string, args ...any) error {
	return db.query(ctx, sql, args, toTheEnd(read))
}

// Scan implements Querier.
func (tx *Tx) Scan(ctx context.Context, read func(pgx.Rows) error, sql string, args ...any) error {
	return tx.query(ctx, sql, args, toTheEnd(read))
}

func toTheEnd(read func(pgx.Rows) error) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		defer rows.Close()
		if err := read(rows); err != nil {
			return err
		}
		rows.Close()
		return rows.Err()
	}
}

func scanOne[T any](one *T) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*one, err = pgx.CollectExactlyOneRow(rows, rowTo[T]())
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		return err
	}
}

// rowTo takes structs with exported fields column by column, everything else (numbers, text, time.Time, types that scan
// themselves) as one column.
func rowTo[T any]() pgx.RowToFunc[T] {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[sql.Scanner]()) || !hasField(t, nil) {
		return pgx.RowTo[T]
	}
	return func(row pgx.CollectableRow) (T, error) {
		columns := row.FieldDescriptions()
		if len(columns) != 1 || hasField(t, &columns[0].Name) {
			return pgx.RowToStructByName[T](row)
		}
		one, err := pgx.RowTo[T](row)
		if err != nil {
			err = fmt.Errorf("tenancy: the only column, %q, is no field of %v and no value for it either; name it like a field, "+
				"or scan by Query: %w", columns[0].Name, t, err)
		}
		return one, err
	}
}

// hasField tells whether a struct has an exported field for the column, or for any if column is nil, by the rules of
// pgx.RowToStructByName.
func hasField(t reflect.Type, column *string) bool {
	for f := range t.Fields() {
		tag, tagged := f.Tag.Lookup("db")
		tag, _, _ = strings.Cut(tag, ",")
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			if hasField(f.Type, column) {
				return true
			}
		case !f.IsExported(), tag == "-":
		case column == nil, tagged && strings.EqualFold(tag, *column),
			!tagged && strings.EqualFold(strings.ReplaceAll(f.Name, "_", ""), strings.ReplaceAll(*column, "_", "")):
			return true
		}
	}
	return false
}

func (tx *Tx) query(ctx context.Context, sql string, args []any, scan func(pgx.Rows) error) error {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	err = scan(rows) // and close them
	return verdict(err, rows.Err())
}

func (db *DB) query(ctx context.Context, sql string, args []any, scan func(pgx.Rows) error) error {
	who, err := identityOf(ctx)
	if err != nil {
		return err
	}
	if tx := db.core.open(ctx); tx != nil {
		if who != tx.who || db.elsewhere(tx) {
			return ErrTenantMismatch
		}
		return tx.query(ctx, sql, args, scan)
	}
	if direct(args) {
		return errDirect
	}
	if db.opts.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, db.opts.Timeout)
		defer cancel()
	}
	return db.run(ctx, who, func(t Target) (bool, error) { return db.queryOnce(ctx, t, sql, args, scan) })
}

func (db *DB) queryOnce(ctx context.Context, t Target, sql string, args []any, scan func(pgx.Rows) error) (again bool, err error) {
	session, br, again, err := db.sendOnce(ctx, t, sql, args)
	if session == nil {
		return again, err
	}
	defer session.Release(context.WithoutCancel(ctx))
	if err == nil {
		rows, _ := br.Query() // its error is the error of rows
		err = scan(rows)
		err = verdict(err, br.Close())
	}
	return db.settle(ctx, t, session, err, repeatable(sql, args))
}

// repeatable tells whether a statement is one of this library's own that write nothing, so that it may run again without
// the answer to the first time.
func repeatable(sql string, args []any) bool {
	if len(args) == 1 {
		if op, ok := args[0].(rowop.Op); ok {
			return op.Stmt.Reads()
		}
	}
	return sql == sqltext.Resolve || sql == sqltext.Memberships || sql == sqltext.Config
}

// sendOnce sends a statement with everything around it. Whoever gets a session, with an error or without, settles and
// releases it; without one, again asks for another attempt.
func (db *DB) sendOnce(ctx context.Context, t Target, sql string, args []any) (session Session, br pgx.BatchResults, again bool, err error) {
	if err := managed(sql); err != nil {
		return nil, nil, false, err
	}
	begin := db.opts.begin(t, 0)
	if begin.Actor, err = actorText(ctx); err != nil {
		return nil, nil, false, err
	}
	session, err = db.core.driver.Acquire(ctx, t)
	if err != nil {
		return nil, nil, ctx.Err() == nil && (t.Replica || db.opts.retryable(err)), fmt.Errorf("tenancy: acquire: %w", err)
	}
	br, err = session.Send(ctx, &Batch{
		Begin:     begin,
		Queries:   []*pgx.QueuedQuery{{SQL: sql, Arguments: args}},
		Commit:    true,
		CommitLSN: db.opts.lsnOf(t),
	})
	return session, br, false, err
}

// settle turns the end of a single statement, which reads only or may have written, into what its caller may rely on; again
// asks for another attempt.
func (db *DB) settle(ctx context.Context, t Target, session Session, err error, reads bool) (again bool, _ error) {
	if at, ok := errors.AsType[*StepError](err); ok {
		err = at.Err
	}
	refusal := db.opts.restricted(session, err)
	switch {
	case err == nil:
		return false, nil
	case refusal != nil:
		return false, refusal
	case doubtful(session, err) && !reads && !db.opts.readOnly():
		db.opts.setLSN(maxLSN)
		return false, fmt.Errorf("%w: %w", ErrCommitUnknown, err)
	case session.Lost() && !refused(err), db.opts.retryable(err), t.Replica && behind(err):
		db.opts.distrust(session, err)
		return ctx.Err() == nil, err
	}
	return false, err
}

// verdict prefers what the server said: about the statement, else about COMMIT, without which nothing of the statement
// counts, whatever its rows looked like.
func verdict(stmt, closed error) error {
	var answer *pgconn.PgError
	if stmt == nil || !errors.As(stmt, &answer) && errors.As(closed, &answer) {
		return closed
	}
	return stmt
}
