package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// rollbackTimeout bounds ROLLBACK, for which database/sql has no context.
const rollbackTimeout = 5 * time.Second

// tx is a unit of work that database/sql ends.
type tx struct {
	pgx.Tx // the innermost open one: the unit or a savepoint
	conn   *conn
	ctx    context.Context // of BeginTx, as in pgx/stdlib: Commit of database/sql has none
	unit   pgx.Tx
	open   []namedSavepoint
}

// namedSavepoint is an open savepoint that SQL text made.
type namedSavepoint struct {
	name string
	tx   pgx.Tx
}

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	o := c.connector.tx
	switch level := sql.IsolationLevel(opts.Isolation); level {
	case sql.LevelDefault:
	case sql.LevelReadUncommitted:
		o.Isolation = pgx.ReadUncommitted
	case sql.LevelReadCommitted:
		o.Isolation = pgx.ReadCommitted
	case sql.LevelRepeatableRead, sql.LevelSnapshot:
		o.Isolation = pgx.RepeatableRead
	case sql.LevelSerializable:
		o.Isolation = pgx.Serializable
	default:
		return nil, fmt.Errorf("sqldb: PostgreSQL has no isolation level %v", level)
	}
	o.ReadOnly = o.ReadOnly || opts.ReadOnly
	unit, err := c.db.With(&o).Begin(ctx)
	if err != nil {
		return nil, err
	}
	c.tx = &tx{Tx: unit, conn: c, ctx: ctx, unit: unit}
	return c.tx, nil
}

// Commit implements driver.Tx.
func (t *tx) Commit() error {
	t.conn.tx = nil
	for len(t.open) > 0 { // PostgreSQL commits open savepoints too
		if err := t.release(t.ctx, len(t.open)-1); err != nil {
			return errors.Join(err, t.Rollback())
		}
	}
	return t.unit.Commit(t.ctx)
}

// Rollback implements driver.Tx. It works after the context of BeginTx has ended too.
func (t *tx) Rollback() error {
	t.conn.tx = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), rollbackTimeout)
	defer cancel()
	return t.unit.Rollback(ctx)
}

// savepoint does what the text of a statement asks for, on the unit's own lazy savepoints: PostgreSQL would understand the
// text, but the unit would go on refusing statements after a failed one.
func (t *tx) savepoint(ctx context.Context, s *savepoint) error {
	if s.op == opSave {
		return t.push(ctx, s.name)
	}
	at := len(t.open) - 1
	for at >= 0 && t.open[at].name != s.name {
		at--
	}
	if at < 0 {
		return fmt.Errorf("sqldb: this transaction has no savepoint %q", s.name)
	}
	if s.op == opRelease {
		for i := len(t.open) - 1; i >= at; i-- {
			if err := t.release(ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
	err := t.open[at].tx.Rollback(ctx)
	t.pop(at)
	if err != nil {
		return err
	}
	return t.push(ctx, s.name) // it stays open after ROLLBACK TO
}

func (t *tx) push(ctx context.Context, name string) error {
	inner, err := t.Begin(ctx)
	if err != nil {
		return err
	}
	t.open = append(t.open, namedSavepoint{name, inner})
	t.Tx = inner
	return nil
}

func (t *tx) release(ctx context.Context, at int) error {
	err := t.open[at].tx.Commit(ctx)
	t.pop(at)
	return err
}

func (t *tx) pop(at int) {
	t.open = t.open[:at]
	if t.Tx = t.unit; at > 0 {
		t.Tx = t.open[at-1].tx
	}
}
