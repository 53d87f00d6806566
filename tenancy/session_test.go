package tenancy_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
)

// single returns a DB on a pool of one connection, so that every unit follows in the session of the one before.
func single(t *testing.T, pool *pgxpool.Pool) (*tenancy.DB, *pgxpool.Pool) {
	t.Helper()
	cfg := pool.Config()
	cfg.MaxConns = 1
	one, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(one.Close)
	db, err := tenancy.New(one, nil)
	require.NoError(t, err)
	return db, one
}

// backend is the session that pool has now.
func backend(t *testing.T, pool *pgxpool.Pool) (pid uint32) {
	t.Helper()
	require.NoError(t, pool.AcquireFunc(t.Context(), func(c *pgxpool.Conn) error { pid = c.Conn().PgConn().PID(); return nil }))
	return pid
}

// leftovers are statements whose effect outlives the transaction, with a statement that finds it.
var leftovers = []struct{ name, sql, find string }{
	{"cursor with hold", `declare c cursor with hold for select id, body from notes`, `select count(*)::int from pg_cursors where name = 'c'`},
	{"temporary table", `create temp table kept as select * from notes`, `select (to_regclass('pg_temp.kept') is not null)::int`},
	{"temporary table by select into", `select * into temp kept from notes`, `select (to_regclass('pg_temp.kept') is not null)::int`},
	{"table in pg_temp", `create table pg_temp.kept as select * from notes`, `select (to_regclass('pg_temp.kept') is not null)::int`},
	{"table in pg_temp by select into", `select * into "pg_temp".kept from notes`, `select (to_regclass('pg_temp.kept') is not null)::int`},
	{"table in pg_temp by escapes", `select * into U&"\0070g_temp".kept from notes`, `select (to_regclass('pg_temp.kept') is not null)::int`},
	{"view in pg_temp", `create view pg_temp.kept as select 'x'`, `select (to_regclass('pg_temp.kept') is not null)::int`},
	{"function in pg_temp", `create function pg_temp.kept() returns text language sql as 'select 1::text'`, `select (to_regproc('pg_temp.kept') is not null)::int`},
	{"local temporary table", `create local temp table kept as select 'on commit drop'`, `select (to_regclass('pg_temp.kept') is not null)::int`},
	{"block", `do $$ begin set tenancy.kept = 'x'; end $$`, `select (coalesce(current_setting('tenancy.kept', true), '') <> '')::int`},
	{"block that executes", `do $$ begin execute 's' || 'et tenancy.kept = 1'; end $$`, `select (coalesce(current_setting('tenancy.kept', true), '') <> '')::int`},
	{"function with false in disguise", `select set_config('tenancy.kept', 'x', true and false)`, `select (coalesce(current_setting('tenancy.kept', true), '') <> '')::int`},
	{"function with true in a string", `select set_config('tenancy.kept', 'x,true)', false)`, `select (coalesce(current_setting('tenancy.kept', true), '') <> '')::int`},
	{"update of pg_settings", `update pg_settings set setting = '1s' where name = 'lock_timeout'`, `select (current_setting('lock_timeout') = '1s')::int`},
	{"setting called local", `set local.kept = 'x'`, `select (coalesce(current_setting('local.kept', true), '') <> '')::int`},
	{"setting behind nested comments", `/* a /* b */ c */ set tenancy.kept = 'x'`, `select (coalesce(current_setting('tenancy.kept', true), '') <> '')::int`},
	{"session setting", `set tenancy.kept = 'x'`, `select (coalesce(current_setting('tenancy.kept', true), '') <> '')::int`},
	{"session setting by function", `select set_config('tenancy.kept', 'x', false)`, `select (coalesce(current_setting('tenancy.kept', true), '') <> '')::int`},
	{"advisory lock", `select pg_advisory_lock(4711)`, `select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and objid = 4711`},
	{"function that runs pieces", `select * from ts_stat('select ''''::tsvector from (select set_con' || 'fig(''tenancy.kept'', ''x'', false)) x')`, `select (coalesce(current_setting('tenancy.kept', true), '') <> '')::int`},
	{"statement behind a string on two lines", "select E'a'\n'b\\' , '; set tenancy.kept = 'x'; --'", `select (coalesce(current_setting('tenancy.kept', true), '') <> '')::int`},
	{"listen", `listen everything`, `select count(*)::int from pg_listening_channels()`},
}

// TestNothingOutlivesItsTenant leaves things in a session and looks for them as the next tenant, who gets another one.
// The same statement on the bare pool is the planted fault: there they are found.
func TestNothingOutlivesItsTenant(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	db, pool := single(t, pg.App)
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	for _, l := range leftovers {
		for name, run := range map[string]func() error{
			"exec": func() error {
				return db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Exec(ctx, l.sql); return err })
			},
			"deferred": func() error {
				return db.Do(acme, func(_ context.Context, tx *tenancy.Tx) error { tx.Defer(l.sql); return nil })
			},
			"several in one text": func() error {
				return db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
					_, err := tx.Exec(ctx, "select 1;\n-- a comment\n"+l.sql)
					return err
				})
			},
			"batch": func() error {
				return db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
					b := &pgx.Batch{}
					b.Queue(l.sql)
					return tx.SendBatch(ctx, b).Close()
				})
			},
			"query option": func() error {
				return db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
					_, err := tx.Exec(ctx, l.sql, pgx.QueryExecModeExec)
					return err
				})
			},
		} {
			if hides := strings.Contains(l.sql, "--"); hides && (name == "deferred" || name == "batch" || name == "query option") {
				continue // several statements, which these do not take
			}
			before := backend(t, pool)
			require.NoError(t, run(), "%s, %s", l.name, name)
			n, err := tenancy.One[int](globex, db, l.find)
			require.NoError(t, err)
			require.Zero(t, n, "%s, %s: still there", l.name, name)
			require.NotEqual(t, before, backend(t, pool), "%s, %s", l.name, name)
		}
		_, err := pool.Exec(acme, "begin; select set_config('tenancy.tenant', 'acme', true); "+l.sql+"\n; commit")
		require.NoError(t, err)
		n, err := tenancy.One[int](globex, db, l.find)
		require.NoError(t, err)
		require.NotZero(t, n, "%s: not even the bare pool leaves it, so this test proves nothing", l.name)
		pool.Reset()
	}
}

// TestNobodySeedsForTheNext: what random() gives to a tenant is not another one's to say, nor to know. On the bare pool it is.
func TestNobodySeedsForTheNext(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	db, pool := single(t, pg.App)
	for _, sql := range []string{`select setseed(0.25)`, `set local seed = 0.25`, `select set_config('seed', '0.25', true)`} {
		drawn := func(run func(sql string) error) float64 {
			require.NoError(t, run(sql))
			n, err := tenancy.One[float64](tenancy.WithID(t.Context(), "globex"), db, `select random()`)
			require.NoError(t, err)
			return n
		}
		ours := func(sql string) error { _, err := db.Exec(tenancy.WithID(t.Context(), "acme"), sql); return err }
		bare := func(sql string) error { _, err := pool.Exec(t.Context(), sql); return err }
		require.NotEqual(t, drawn(ours), drawn(ours), sql)
		require.Equal(t, drawn(bare), drawn(bare), "%s: not even the bare pool leaves it, so this test proves nothing", sql)
	}
}

// TestNobodyReplacesAStatement: pgx calls prepared statements by a hash of their text. SQL of acme, hidden in what looks like a
// string, gives the name of one to another, in the session that globex gets.
func TestNobodyReplacesAStatement(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	db, _ := single(t, pg.App)
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	for _, swap := range []string{
		"select 'a'; deallocate \"NAME\"; prepare \"NAME\" (text) as insert into notes (body) values ($1 || ', says acme')",
		"select E'a'\n'b\\' , '; deallocate \"NAME\"; prepare \"NAME\" (text) as insert into notes (body) values ($1 || $$, says acme$$); --'",
	} {
		for range 2 { // pgx knows the statement then
			_, err := db.Exec(globex, insertNote, "of globex")
			require.NoError(t, err)
		}
		name, err := tenancy.One[string](acme, db, `select name from pg_prepared_statements where statement = $1`, insertNote)
		require.NoError(t, err)
		_, err = db.Exec(acme, strings.ReplaceAll(swap, "NAME", name))
		require.NoError(t, err)
		_, err = db.Exec(globex, insertNote, "of globex")
		require.NoError(t, err)
		bodies, err := tenancy.All[string](globex, db, `select distinct body from notes`)
		require.NoError(t, err)
		require.Equal(t, []string{"of globex"}, bodies, swap)
	}
}

// TestNobodyTakesStatementsAway: the next tenant on the connection finds its statements.
func TestNobodyTakesStatementsAway(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	db, _ := single(t, pg.App)
	for _, sql := range []string{`deallocate all`, `reset all`, `discard plans`} {
		for range 2 {
			_, err := db.Exec(tenancy.WithID(t.Context(), "globex"), insertNote, "x")
			require.NoError(t, err, sql)
		}
		_, err := db.Exec(tenancy.WithID(t.Context(), "acme"), sql)
		require.NoError(t, err)
		_, err = db.Exec(tenancy.WithID(t.Context(), "globex"), insertNote, "x")
		require.NoError(t, err, sql)
	}
}

// TestUsualStatementsKeepTheirConnection: the protection costs nothing where nothing is left.
func TestUsualStatementsKeepTheirConnection(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	db, pool := single(t, pg.App)
	ctx := tenancy.WithID(t.Context(), "acme")
	before := backend(t, pool)
	for _, sql := range []string{
		`set local statement_timeout = '1s'`, `select set_config('x.y', 'z', true)`, `create temp table t (n int) on commit drop`,
		`declare c cursor for select 1`, `select pg_advisory_xact_lock(1)`, `update notes set body = ''`, `set constraints all deferred`,
	} {
		require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Exec(ctx, sql); return err }), sql)
		require.Equal(t, before, backend(t, pool), sql)
	}
}

// TestCancelledUnitsKeepTheirConnections compares with pgx.BeginFunc, which rolls back on the context that is over.
func TestCancelledUnitsKeepTheirConnections(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	db, pool := single(t, pg.App)
	const units = 10
	lost := func(run func(ctx context.Context, cancel func()) error) (n int) {
		for range units {
			before := backend(t, pool)
			ctx, cancel := context.WithCancel(tenancy.WithID(t.Context(), "acme"))
			require.ErrorIs(t, run(ctx, cancel), context.Canceled)
			if backend(t, pool) != before {
				n++
			}
		}
		return n
	}
	for name, fn := range map[string]func(ctx context.Context, cancel func(), tx *tenancy.Tx) error{
		"after a statement": func(ctx context.Context, cancel func(), tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, insertNote, "x")
			cancel()
			require.NoError(t, err)
			return ctx.Err()
		},
		"with deferred statements": func(ctx context.Context, cancel func(), tx *tenancy.Tx) error {
			tx.Defer(insertNote, "x")
			cancel()
			return nil
		},
		"with rows open": func(ctx context.Context, cancel func(), tx *tenancy.Tx) error {
			_, err := tx.Query(ctx, `select generate_series(1, 10)`)
			require.NoError(t, err)
			cancel()
			return ctx.Err()
		},
		"before a statement": func(ctx context.Context, cancel func(), tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, insertNote, "x")
			require.NoError(t, err)
			cancel()
			_, err = tx.Exec(ctx, insertNote, "y")
			return err
		},
	} {
		ours := lost(func(ctx context.Context, cancel func()) error {
			return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { return fn(ctx, cancel, tx) })
		})
		require.LessOrEqual(t, ours, 1, name)
	}
	theirs := lost(func(ctx context.Context, cancel func()) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `select 1`); err != nil {
				return err
			}
			cancel()
			return ctx.Err()
		})
	})
	require.Greater(t, theirs, units/2, "pgx does it as well by now; then the claim is out of date")
	n, err := tenancy.One[int](tenancy.WithID(t.Context(), "acme"), db, `select count(*)::int from notes`)
	require.NoError(t, err)
	require.Zero(t, n)
}

// TestExecModes runs all kinds of units on pools that do not prepare statements, as behind older poolers.
func TestExecModes(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec,
		pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			cfg := pg.App.Config()
			cfg.ConnConfig.DefaultQueryExecMode = mode
			cfg.ConnConfig.StatementCacheCapacity, cfg.ConnConfig.DescriptionCacheCapacity = 512, 512
			pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
			require.NoError(t, err)
			defer pool.Close()
			db, err := tenancy.New(pool, nil)
			require.NoError(t, err)
			ctx := tenancy.WithID(t.Context(), "modes "+mode.String())
			var at tenancy.LSN
			strict := db.With(&tenancy.TxOptions{Isolation: pgx.RepeatableRead, Timeout: time.Minute, CommitLSN: &at})
			for range 2 {
				require.NoError(t, strict.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
					tx.Lock("notes")
					n, err := tenancy.One[int64](ctx, tx, `insert into notes (body) values ($1) returning id`, "first")
					if err != nil {
						return err
					}
					tx.Emit(noteAdded{"x"})
					tx.Audit(tenancy.Audit{Action: "note.added", After: map[string]any{"id": n}})
					tx.DeferExpect(1, "note", `update notes set body = $2 where id = $1`, n, "second")
					return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { tx.Defer(insertNote, "nested"); return nil })
				}))
				require.NotZero(t, at)
				require.ErrorIs(t, db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
					tx.DeferExpect(1, "note", `update notes set body = $2 where body = $1`, "not there", "")
					return nil
				}), tenancy.ErrStale)
			}
			list, err := tenancy.All[note](ctx, db, `select id, body from notes order by id`)
			require.NoError(t, err)
			require.Len(t, list, 4)
			require.Equal(t, "second", list[0].Body)
			_, err = tenancy.One[note](ctx, db, `select id, body from notes where id = $1`, list[1].ID)
			require.NoError(t, err)
		})
	}
}
