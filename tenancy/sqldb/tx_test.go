package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/sqldb"
)

func TestTransaction(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.tenant("acme")
	tx, err := w.std.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.Exec(`insert into notes (body) values ('a')`) // no context: the transaction's tenant
	require.NoError(t, err)
	_, err = tx.ExecContext(w.tenant("globex"), `insert into notes (body) values ('b')`)
	require.ErrorIs(t, err, tenancy.ErrTenantMismatch)
	_, err = tx.QueryContext(tenancy.System(ctx, "look"), `select body from notes`)
	require.ErrorIs(t, err, tenancy.ErrTenantMismatch)
	rows, err := tx.QueryContext(ctx, `select body from notes`)
	require.Equal(t, []string{"a"}, collect(t, rows, err))
	require.Empty(t, w.bodies(ctx), "not committed yet")
	require.NoError(t, tx.Commit())
	require.ErrorIs(t, tx.Commit(), sql.ErrTxDone)
	require.Equal(t, []string{"a"}, w.bodies(ctx))

	tx, err = w.std.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, `delete from notes`)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())
	require.Equal(t, []string{"a"}, w.bodies(ctx))
}

func TestTransactionOptions(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.tenant("acme")
	for level, want := range map[sql.IsolationLevel]string{
		sql.LevelDefault: "read committed", sql.LevelReadUncommitted: "read uncommitted", sql.LevelReadCommitted: "read committed",
		sql.LevelRepeatableRead: "repeatable read", sql.LevelSnapshot: "repeatable read", sql.LevelSerializable: "serializable",
	} {
		tx, err := w.std.BeginTx(ctx, &sql.TxOptions{Isolation: level})
		require.NoError(t, err)
		var got string
		require.NoError(t, tx.QueryRow(`show transaction_isolation`).Scan(&got))
		require.Equal(t, want, got)
		require.NoError(t, tx.Commit())
	}
	_, err := w.std.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelLinearizable})
	require.ErrorContains(t, err, "Linearizable")

	tx, err := w.std.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	_, err = tx.Exec(`insert into notes (body) values ('a')`)
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "25006", pgErr.Code)
	require.Error(t, tx.Commit())

	strict := sqldb.Open(w.db, &sqldb.Options{Tx: tenancy.TxOptions{Isolation: "serializable", ReadOnly: true}})
	var level, ro string
	require.NoError(t, strict.QueryRowContext(ctx, `select current_setting('transaction_isolation'), current_setting('transaction_read_only')`).Scan(&level, &ro))
	require.Equal(t, []string{"serializable", "on"}, []string{level, ro})
}

// TestRestrictedTenant: statements of a transaction say what units say of a tenant that is being moved.
func TestRestrictedTenant(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations, fstest.MapFS{"1.sql": {Data: []byte(notesSQL)}})
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System, Place: func(context.Context, string) (tenancy.Placement, error) {
		return tenancy.Placement{}, nil
	}})
	require.NoError(t, err)
	std := sqldb.Open(db, nil)
	t.Cleanup(func() { require.NoError(t, std.Close()) })
	acme := tenancy.WithID(t.Context(), "acme")
	const insert = `insert into notes (body) values ('a') returning id`
	for access, want := range map[tenancy.Access]error{tenancy.ReadOnly: tenancy.ErrReadOnly, tenancy.NoAccess: tenancy.ErrMoved} {
		require.NoError(t, db.Restrict(acme, access))
		for name, write := range map[string]func(tx *sql.Tx) error{
			"Exec":     func(tx *sql.Tx) error { _, err := tx.ExecContext(acme, insert); return err },
			"QueryRow": func(tx *sql.Tx) error { return tx.QueryRowContext(acme, insert).Scan(new(int64)) },
			"Query": func(tx *sql.Tx) error {
				rows, err := tx.QueryContext(acme, insert)
				if err != nil {
					return err
				}
				defer rows.Close()
				rows.Next()
				return rows.Err()
			},
		} {
			tx, err := std.BeginTx(acme, nil)
			require.NoError(t, err)
			err = write(tx)
			require.NoError(t, tx.Rollback())
			require.ErrorIs(t, err, want, name)
		}
	}
}

// TestFailedStatementRefusesCommit: as with PostgreSQL itself, but Commit says so.
func TestFailedStatementRefusesCommit(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.tenant("acme")
	tx, err := w.std.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.Exec(`insert into notes (body) values ('a')`)
	require.NoError(t, err)
	_, err = tx.Exec(`insert into notes (body) values ('a')`)
	require.Error(t, err)
	require.ErrorContains(t, tx.Commit(), "rolled back because a statement failed")
	require.Empty(t, w.bodies(ctx))
}

// TestSavepointsAsText: what gorm and bun send for nested transactions.
func TestSavepointsAsText(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.tenant("acme")
	tx, err := w.std.BeginTx(ctx, nil)
	require.NoError(t, err)
	do := func(query string) error { _, err := tx.ExecContext(ctx, query); return err }
	put := func(body string) error { return do(`insert into notes (body) values ('` + body + `')`) }
	require.NoError(t, put("a"))
	require.NoError(t, do(`SAVEPOINT sp1`))
	require.NoError(t, put("b"))
	require.NoError(t, do(`savepoint "Sp;2"`))
	require.Error(t, put("a"))
	require.Error(t, put("x"), "the savepoint is spoilt")
	require.NoError(t, do(`ROLLBACK TO SAVEPOINT "Sp;2"`))
	require.NoError(t, put("c"))
	require.Error(t, put("c"))
	require.NoError(t, do(`rollback work to "Sp;2";`), "it is still open")
	require.NoError(t, put("d"))
	require.NoError(t, do(`release SP1`), "and what is inside of it")
	require.ErrorContains(t, do(`rollback to sp1`), "no savepoint")
	require.NoError(t, do(`savepoint sp1`))
	require.NoError(t, put("e"))
	require.NoError(t, do(`rollback to sp1`))
	require.NoError(t, tx.Commit(), "with a savepoint open")
	require.Equal(t, []string{"a", "b", "d"}, w.bodies(ctx))
}

// TestJoinsTheOpenUnit: statements whose context is inside a unit are part of it, a transaction there is a savepoint.
func TestJoinsTheOpenUnit(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.tenant("acme")
	refused := errors.New("refused")
	unit := func(result error) error {
		return w.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			_, err := w.std.ExecContext(ctx, `insert into notes (body) values ('a')`)
			require.NoError(t, err)
			rows, err := w.std.QueryContext(ctx, `select body from notes`)
			require.Equal(t, []string{"a"}, collect(t, rows, err))

			inner, err := w.std.BeginTx(ctx, nil)
			require.NoError(t, err)
			_, err = inner.ExecContext(ctx, `insert into notes (body) values ('a')`)
			require.Error(t, err)
			require.NoError(t, inner.Rollback())
			inner, err = w.std.BeginTx(ctx, nil)
			require.NoError(t, err)
			_, err = inner.ExecContext(ctx, `insert into notes (body) values ('b')`)
			require.NoError(t, err)
			require.NoError(t, inner.Commit())

			_, err = w.std.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
			require.ErrorContains(t, err, "isolation")
			_, err = w.std.ExecContext(tenancy.WithID(ctx, "globex"), `select 1`)
			require.ErrorIs(t, err, tenancy.ErrTenantMismatch)
			_, err = w.std.BeginTx(tenancy.WithID(ctx, "globex"), nil)
			require.ErrorIs(t, err, tenancy.ErrTenantMismatch)
			require.EqualValues(t, 1, w.pg.App.Stat().AcquiredConns())
			return result
		})
	}
	require.ErrorIs(t, unit(refused), refused)
	require.Empty(t, w.bodies(ctx))
	require.NoError(t, unit(nil))
	require.Equal(t, []string{"a", "b"}, w.bodies(ctx))
}

// TestTransactionOutlivesItsContext: database/sql rolls back when the context of BeginTx ends, whatever the code does.
func TestTransactionOutlivesItsContext(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx, cancel := context.WithCancel(w.tenant("acme"))
	tx, err := w.std.BeginTx(ctx, nil) // never ended: leaked
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, `insert into notes (body) values ('a')`)
	require.NoError(t, err)
	cancel()
	require.Eventually(t, func() bool { return w.pg.App.Stat().AcquiredConns() == 0 }, eventually, tick)
	require.Error(t, tx.Commit())
	require.Empty(t, w.bodies(w.tenant("acme")))
}

// TestRowsBeforeTheNextStatement: a transaction does one thing at a time, as with pgx.
func TestRowsBeforeTheNextStatement(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.tenant("acme")
	tx, err := w.std.BeginTx(ctx, nil)
	require.NoError(t, err)
	rows, err := tx.QueryContext(ctx, `select generate_series(1, 3)`)
	require.NoError(t, err)
	require.True(t, rows.Next())
	_, err = tx.ExecContext(ctx, `select 1`)
	require.ErrorIs(t, err, tenancy.ErrTxBusy)
	require.NoError(t, rows.Close())
	_, err = tx.ExecContext(ctx, `insert into notes (body) values ('a')`)
	require.NoError(t, err)
	rows, err = tx.QueryContext(ctx, `select generate_series(1, 3)`)
	require.NoError(t, err)
	require.True(t, rows.Next())
	require.NoError(t, tx.Commit(), "database/sql closes the rows first")
	require.NoError(t, rows.Close())
	require.Equal(t, []string{"a"}, w.bodies(ctx))
}
