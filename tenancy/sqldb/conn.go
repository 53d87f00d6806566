package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
)

// conn is what database/sql takes for a connection. It holds none between statements, so there is nothing in it that
// one tenant could leave behind for the next. database/sql calls it from one goroutine at a time.
type conn struct {
	*connector
	tx *tx // nil outside of a transaction
}

var (
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
)

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, named []driver.NamedValue) (driver.Result, error) {
	args, err := arguments(named)
	if err != nil {
		return nil, err
	}
	sp, err := inspect(query)
	if err != nil {
		return nil, err
	}
	if c.tx == nil {
		if sp != nil {
			return nil, fmt.Errorf("%w: a savepoint needs a transaction", ErrRefused)
		}
		tag, err := c.plain.Exec(ctx, query, args...)
		return result(tag.RowsAffected()), err
	}
	if sp != nil {
		return result(0), c.tx.savepoint(ctx, sp)
	}
	tag, err := c.tx.Exec(ctx, query, args...)
	return result(tag.RowsAffected()), err
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, named []driver.NamedValue) (driver.Rows, error) {
	args, err := arguments(named)
	if err != nil {
		return nil, err
	}
	switch sp, err := inspect(query); {
	case err != nil:
		return nil, err
	case sp != nil:
		return nil, fmt.Errorf("%w: a savepoint has no rows; use ExecContext", ErrRefused)
	}
	var from interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	} = c.plain
	if c.tx != nil {
		from = c.tx
	}
	r, err := from.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return newRows(r)
}

// PrepareContext implements driver.ConnPrepareContext. It does no I/O: pgx prepares statements by itself and keeps them per
// connection, of which this one has none.
func (c *conn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	if _, err := inspect(query); err != nil {
		return nil, err
	}
	return &stmt{conn: c, query: query}, nil
}

// Prepare implements driver.Conn.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// Begin implements driver.Conn; without a context there is no tenant.
func (c *conn) Begin() (driver.Tx, error) { return nil, tenancy.ErrNoTenant }

// Close implements driver.Conn.
func (c *conn) Close() error { return c.abandon() }

// Ping implements driver.Pinger.
func (c *conn) Ping(ctx context.Context) error { return c.db.Check(ctx) }

// ResetSession implements driver.SessionResetter.
func (c *conn) ResetSession(context.Context) error {
	if c.tx == nil {
		return nil
	}
	_ = c.abandon()
	return driver.ErrBadConn // database/sql has ended all transactions, so this is not reached
}

// IsValid implements driver.Validator.
func (c *conn) IsValid() bool { return c.tx == nil }

func (c *conn) abandon() error {
	if c.tx == nil {
		return nil
	}
	return c.tx.Rollback()
}

// CheckNamedValue implements driver.NamedValueChecker: pgx takes all Go types, Valuers included.
func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if _, ok := v.Value.(sql.Out); ok {
		return errors.New("sqldb: PostgreSQL has no output parameters; select the values instead of using sql.Out")
	}
	return nil
}

// arguments returns what pgx takes: positions, or names written as @name.
func arguments(named []driver.NamedValue) ([]any, error) {
	if len(named) == 0 {
		return nil, nil
	}
	args, byName := make([]any, len(named)), pgx.StrictNamedArgs{}
	for i, v := range named {
		args[i] = v.Value
		if v.Name != "" {
			byName[v.Name] = v.Value
		}
	}
	switch len(byName) {
	case 0:
		return args, nil
	case len(named):
		return []any{byName}, nil
	}
	return nil, errors.New("sqldb: arguments are all named (written @name) or all by position (written $1), and a name comes once")
}

// result is the number of rows of an Exec.
type result int64

// RowsAffected implements driver.Result.
func (r result) RowsAffected() (int64, error) { return int64(r), nil }

// LastInsertId implements driver.Result.
func (result) LastInsertId() (int64, error) {
	return 0, errors.New("sqldb: PostgreSQL has no LastInsertId; use INSERT … RETURNING id with QueryRowContext")
}

// stmt is a text: what a prepared statement saves, pgx's cache saves.
type stmt struct {
	conn  *conn
	query string
}

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}

// Close implements driver.Stmt.
func (*stmt) Close() error { return nil }

// NumInput implements driver.Stmt: not known before the statement runs.
func (*stmt) NumInput() int { return -1 }

// Exec implements driver.Stmt; without a context there is no tenant.
func (*stmt) Exec([]driver.Value) (driver.Result, error) { return nil, tenancy.ErrNoTenant }

// Query implements driver.Stmt; without a context there is no tenant.
func (*stmt) Query([]driver.Value) (driver.Rows, error) { return nil, tenancy.ErrNoTenant }
