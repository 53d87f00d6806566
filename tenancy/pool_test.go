package tenancy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
)

// dbtx is what sqlc generates code for; pgx.BeginFunc needs Begin.
type dbtx interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
	Query(context.Context, string, ...any) (pgx.Rows, error)
	QueryRow(context.Context, string, ...any) pgx.Row
	Begin(context.Context) (pgx.Tx, error)
}

func TestDBIsLikeAPool(t *testing.T) {
	t.Parallel()
	tdb, pg := open(t)
	var db dbtx = tdb
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	tag, err := db.Exec(acme, `insert into notes (body) values ($1), ($2)`, "a", "b")
	require.NoError(t, err)
	require.EqualValues(t, 2, tag.RowsAffected())
	_, err = db.Exec(acme, `insert into notes (body) values ('c'); insert into notes (body) values ('d')`)
	require.NoError(t, err)
	bodies := func(ctx context.Context) []string {
		rows, err := db.Query(ctx, `select body from notes order by body`)
		require.NoError(t, err)
		require.Equal(t, "body", rows.FieldDescriptions()[0].Name)
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return list
	}
	require.Equal(t, []string{"a", "b", "c", "d"}, bodies(acme))
	require.Empty(t, bodies(globex))
	require.ErrorIs(t, db.QueryRow(globex, `select 1 from notes`).Scan(new(int)), pgx.ErrNoRows)
	for _, run := range []func(ctx context.Context) error{
		func(ctx context.Context) error { _, err := db.Exec(ctx, `delete from notes`); return err },
		func(ctx context.Context) error { _, err := db.Query(ctx, `select 1`); return err },
		func(ctx context.Context) error { return db.QueryRow(ctx, `select 1`).Scan(new(int)) },
		func(ctx context.Context) error { _, err := db.Begin(ctx); return err },
	} {
		require.ErrorIs(t, run(t.Context()), tenancy.ErrNoTenant)
		require.ErrorIs(t, tdb.Do(acme, func(ctx context.Context, _ *tenancy.Tx) error { return run(tenancy.WithID(ctx, "globex")) }), tenancy.ErrTenantMismatch)
	}
	require.Zero(t, pg.App.Stat().AcquiredConns())
}

func TestQueryFailures(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	var pgErr *pgconn.PgError
	_, err := db.Query(ctx, `select 1/(1-g) from generate_series(1, 9) g`)
	require.ErrorAs(t, err, &pgErr)
	_, err = db.Query(ctx, `no sql`)
	require.ErrorAs(t, err, &pgErr)

	rows, err := db.Query(ctx, `select 1/(9-g) from generate_series(1, 9) g`)
	require.NoError(t, err)
	for rows.Next() {
	}
	require.ErrorAs(t, rows.Err(), &pgErr, "a failure behind the first row")
	rows, err = db.Query(ctx, `insert into notes (body) select g::text from generate_series(1, 9) g returning id`)
	require.NoError(t, err)
	rows.Close() // unread rows are written all the same
	require.NoError(t, rows.Err())
	n, err := tenancy.One[int](ctx, db, `select count(*) from notes`)
	require.NoError(t, err)
	require.Equal(t, 9, n)

	cut, cancel := context.WithCancel(ctx)
	rows, err = db.Query(cut, `select repeat('x', 1000) from generate_series(1, 100000)`)
	require.NoError(t, err)
	cancel()
	for rows.Next() {
	}
	require.ErrorIs(t, rows.Err(), context.Canceled)
	require.Eventually(t, func() bool { return pg.App.Stat().AcquiredConns() == 0 }, time.Minute, time.Millisecond)
}

func TestBegin(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	refused := errors.New("refused")
	put := func(result error) func(pgx.Tx) error {
		return func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `insert into notes (body) values ('a')`)
			return errors.Join(err, result)
		}
	}
	require.ErrorIs(t, pgx.BeginFunc(ctx, db, put(refused)), refused)
	require.NoError(t, pgx.BeginFunc(ctx, db, put(nil)))
	tx, err := db.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(tenancy.WithID(ctx, "globex"), `select 1`)
	require.ErrorIs(t, err, tenancy.ErrTenantMismatch)
	require.NoError(t, pgx.BeginFunc(ctx, tx, put(nil)), "a savepoint")
	require.NoError(t, tx.Commit(ctx))
	require.ErrorIs(t, tx.Commit(ctx), pgx.ErrTxClosed)
	require.ErrorIs(t, tx.Rollback(ctx), pgx.ErrTxClosed)
	_, err = tx.Exec(ctx, `select 1`)
	require.ErrorIs(t, err, tenancy.ErrTxDone)

	require.ErrorIs(t, db.Do(ctx, func(ctx context.Context, _ *tenancy.Tx) error { // inside a unit it is a savepoint
		require.NoError(t, pgx.BeginFunc(ctx, db, put(nil)))
		require.EqualValues(t, 1, pg.App.Stat().AcquiredConns())
		_, err := db.With(&tenancy.TxOptions{Isolation: pgx.Serializable}).Begin(ctx)
		require.ErrorContains(t, err, "isolation")
		return refused
	}), refused)
	n, err := tenancy.One[int](ctx, db, `select count(*) from notes`)
	require.NoError(t, err)
	require.Equal(t, 2, n)

	eager, err := db.With(&tenancy.TxOptions{Eager: true}).Begin(ctx)
	require.NoError(t, err)
	require.NotNil(t, eager.Conn())
	require.NoError(t, eager.Rollback(ctx))
	require.Zero(t, pg.App.Stat().AcquiredConns())
}

// TestPoolMethodsFollowThePlacement: no way of asking ends up in the common place.
func TestPoolMethodsFollowThePlacement(t *testing.T) {
	t.Parallel()
	db, _ := openSchemas(t, strange, nil)
	ctx := tenancy.WithID(t.Context(), "acme")
	var where []string
	for _, ask := range []func(*string) error{
		func(s *string) error { return db.QueryRow(ctx, `select current_schema()`).Scan(s) },
		func(s *string) error {
			return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error { return tx.QueryRow(ctx, `select current_schema()`).Scan(s) })
		},
		func(s *string) error {
			_, err := db.Exec(ctx, `insert into items (id) values (1); insert into items (id) values (2)`)
			*s = "acme"
			return err
		},
	} {
		var s string
		require.NoError(t, ask(&s))
		where = append(where, s)
	}
	require.Equal(t, []string{"acme", "acme", "acme"}, where)
	require.ErrorIs(t, db.Do(ctx, func(ctx context.Context, _ *tenancy.Tx) error {
		_, err := db.At("other").Begin(ctx)
		return err
	}), tenancy.ErrTenantMismatch)
}
