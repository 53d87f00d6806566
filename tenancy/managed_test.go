package tenancy_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
)

// TestNothingEndsAUnitBehindItsBack ends the transaction in ways that no look at a text finds: by the connection itself, and
// by a string that is over earlier for the server than for the look. The unit must not say that it was committed or
// rolled back.
func TestNothingEndsAUnitBehindItsBack(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	hidden := func(word string) func(context.Context, *tenancy.Tx) error {
		return func(ctx context.Context, tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, `set local standard_conforming_strings = off`)
			require.NoError(t, err)
			_, err = tx.Exec(ctx, `select '\'';`+word+`;select '1'`)
			return err
		}
	}
	raw := func(word string) func(context.Context, *tenancy.Tx) error {
		return func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Conn().Exec(ctx, word); return err }
	}
	for name, end := range map[string]func(context.Context, *tenancy.Tx) error{
		"commit": raw("commit"), "rollback": raw("rollback"), "hidden commit": hidden("commit"), "hidden rollback": hidden("rollback"),
	} {
		for result, planned := range map[string]error{"nil": nil, "an error": errRefused} {
			hooks := 0
			var at tenancy.LSN
			handle := db.With(&tenancy.TxOptions{Eager: true, CommitLSN: &at})
			err := handle.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				tenancy.Hooks{}.OnCommit(ctx, func(context.Context) { hooks++ })
				tenancy.Hooks{}.OnRollback(ctx, func(context.Context) { hooks++ })
				if _, err := tx.Exec(ctx, insertNote, name); err != nil {
					return err
				}
				tx.Emit(noteAdded{"x"})
				require.NoError(t, end(ctx, tx), name)
				return planned
			})
			require.ErrorIs(t, err, tenancy.ErrManaged, "%s, %s", name, result)
			require.ErrorIs(t, err, tenancy.ErrCommitUnknown, "%s, %s", name, result)
			if planned != nil {
				require.ErrorIs(t, err, planned)
			}
			require.Zero(t, hooks, "%s, %s", name, result)
			require.NotZero(t, at, "whoever reads after it must see it, if it was stored")
		}
		err := db.With(&tenancy.TxOptions{Eager: true}).Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			require.NoError(t, end(ctx, tx))
			_, err := tx.Exec(ctx, insertNote, "after the end")
			require.ErrorIs(t, err, tenancy.ErrManaged)
			return nil
		})
		require.ErrorIs(t, err, tenancy.ErrManaged)
		unit, err := db.With(&tenancy.TxOptions{Eager: true}).Begin(ctx)
		require.NoError(t, err)
		_, err = unit.Conn().Exec(ctx, "commit")
		require.NoError(t, err)
		require.ErrorIs(t, unit.Rollback(ctx), tenancy.ErrCommitUnknown)
	}
	var after, events int
	require.NoError(t, pg.System.QueryRow(ctx, `select count(*) from notes where body = 'after the end'`).Scan(&after))
	require.NoError(t, pg.System.QueryRow(ctx, `select count(*) from tenancy.outbox`).Scan(&events))
	require.Zero(t, after)
	require.Zero(t, events)
}

// TestRefusedUnitsAreRolledBack: neither a text that ends the unit nor one that hides it among others is sent.
func TestRefusedUnitsAreRolledBack(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	for _, sql := range []string{`rollback`, `commit`, `/* a /* b */ c */ end`, `insert into notes (body) values ('x'); commit`, `;rollback`, `rollback and chain`} {
		for name, run := range map[string]func(context.Context, *tenancy.Tx) error{
			"exec":    func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Exec(ctx, sql); return err },
			"prepare": func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Prepare(ctx, "p", sql); return err },
			"defer":   func(_ context.Context, tx *tenancy.Tx) error { tx.Defer(sql); return nil }, // told at the end
		} {
			err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				_, err := tx.Exec(ctx, insertNote, "x")
				require.NoError(t, err)
				if err := run(ctx, tx); name != "defer" {
					require.ErrorIs(t, err, tenancy.ErrManaged, "%s: %s", name, sql)
				}
				return nil
			})
			require.ErrorIs(t, err, tenancy.ErrManaged, "%s: %s", name, sql)
			require.NotErrorIs(t, err, tenancy.ErrCommitUnknown)
		}
		_, err := db.Exec(ctx, sql)
		require.ErrorIs(t, err, tenancy.ErrManaged, sql)
	}
	var n int
	require.NoError(t, pg.System.QueryRow(ctx, `select count(*) from notes`).Scan(&n))
	require.Zero(t, n)
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		for _, sql := range []string{`savepoint s`, `insert into notes (body) values ('undone')`, `rollback to savepoint s`, `insert into notes (body) values ('kept')`} {
			_, err := tx.Exec(ctx, sql)
			require.NoError(t, err, sql)
		}
		return nil
	}))
	list, err := tenancy.All[string](ctx, db, `select body from notes`)
	require.NoError(t, err)
	require.Equal(t, []string{"kept"}, list)
}

// TestProceduresDoNotCommit: a COMMIT inside of a procedure is an error and no half of its work is stored. The bare pool
// with the same batch is the planted fault.
func TestProceduresDoNotCommit(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	body := ` begin insert into notes (body) values ('half'); commit; insert into notes (body) values ('other half'); end `
	_, err := pg.Owner.Exec(ctx, `create procedure halves() language plpgsql as $$`+body+`$$`)
	require.NoError(t, err)
	for _, sql := range []string{`call halves()`, `-- c` + "\n" + `CALL halves()`, `do $$` + body + `$$`} {
		for _, run := range []func() error{
			func() error { _, err := db.Exec(ctx, sql); return err },
			func() error { return db.QueryRow(ctx, sql).Scan() },
			func() error { _, err := tenancy.All[int](ctx, db, sql); return err },
			func() error {
				return db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { tx.Defer(sql); return nil })
			},
		} {
			var answer *pgconn.PgError
			require.ErrorAs(t, run(), &answer, sql)
			require.Equal(t, "2D000", answer.Code, sql)
		}
		n, err := tenancy.One[int](ctx, db, `select count(*)::int from notes`)
		require.NoError(t, err)
		require.Zero(t, n, sql)
	}
	batch := &pgx.Batch{}
	batch.Queue(`select set_config('tenancy.tenant', 'acme', true)`)
	batch.Queue(`call halves()`)
	require.Error(t, pg.App.SendBatch(ctx, batch).Close())
	n, err := tenancy.One[int](ctx, db, `select count(*)::int from notes`)
	require.NoError(t, err)
	require.Equal(t, 1, n, "not even the implicit transaction stores a half, so this test proves nothing")
}
