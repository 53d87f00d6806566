package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// everywhere places all tenants in the common database, as a program does before the first one moves.
func everywhere(context.Context, string) (tenancy.Placement, error) { return tenancy.Placement{}, nil }

// openPlaced returns a DB that asks for the access of tenants, on a sealed database.
func openPlaced(t *testing.T) (*tenancy.DB, *testenv.PG) {
	t.Helper()
	pg := testenv.Postgres(t, tenancy.Migrations, schema)
	seal := newSeal(t, "k1")
	require.NoError(t, tenancy.InstallSeal(t.Context(), pg.Owner, seal, nil))
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System, Seal: seal, Place: everywhere})
	require.NoError(t, err)
	return db, pg
}

func TestRestrict(t *testing.T) {
	t.Parallel()
	db, pg := openPlaced(t)
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	id, err := tenancy.One[int64](acme, db, insertNote+" returning id", "before")
	require.NoError(t, err)
	runs := 0
	insert := func(ctx context.Context, db *tenancy.DB) error {
		return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			runs++
			_, err := tx.Exec(ctx, insertNote, "x")
			return err
		})
	}
	require.NoError(t, insert(globex, db))
	var backend, now int
	require.NoError(t, pg.App.QueryRow(t.Context(), `select pg_backend_pid()`).Scan(&backend))

	require.NoError(t, db.Restrict(acme, tenancy.ReadOnly))
	for name, write := range map[string]func() error{
		"Do":     func() error { return insert(acme, db) },
		"System": func() error { return insert(tenancy.System(acme, "test"), db) },
		"eager":  func() error { return insert(acme, db.With(&tenancy.TxOptions{Eager: true})) },
		"RR":     func() error { return insert(acme, db.With(&tenancy.TxOptions{Isolation: pgx.RepeatableRead})) },
		"bounds": func() error {
			return insert(acme, db.With(&tenancy.TxOptions{Timeout: time.Minute, LockTimeout: time.Minute}))
		},
		"event": func() error {
			return db.Do(acme, func(_ context.Context, tx *tenancy.Tx) error { tx.Emit(noteAdded{"x"}); return nil })
		},
		"deferred": func() error {
			return db.Do(acme, func(_ context.Context, tx *tenancy.Tx) error { tx.Defer(insertNote, "x"); return nil })
		},
		"One":  func() error { _, err := tenancy.One[int64](acme, db, insertNote+" returning id", "x"); return err },
		"Exec": func() error { _, err := db.Exec(acme, insertNote, "x"); return err },
		"lock": func() error {
			_, err := tenancy.All[int64](acme, db, `select id from notes for update`)
			return err
		},
		"undo": func() error { // the transaction cannot be made what it was
			return db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
				_, _ = tx.Exec(ctx, `savepoint s`)
				_, err := tx.Exec(ctx, `set local transaction_read_only = off`)
				var answer *pgconn.PgError
				require.ErrorAs(t, err, &answer)
				return fmt.Errorf("%w: %w", tenancy.ErrReadOnly, err)
			})
		},
	} {
		runs = 0
		require.ErrorIs(t, write(), tenancy.ErrReadOnly, name)
		require.LessOrEqual(t, runs, 1, "%s is not run again", name)
	}
	swallowed := errors.New("could not save")
	runs = 0
	err = db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
		runs++
		_, _ = tx.Exec(ctx, insertNote, "x")
		return swallowed
	})
	require.Equal(t, swallowed, err)
	require.Equal(t, 1, runs)
	for name, db := range map[string]*tenancy.DB{"plain": db, "read": db.With(&tenancy.TxOptions{ReadOnly: true}), "eager": db.With(&tenancy.TxOptions{Eager: true})} {
		body, err := tenancy.One[string](acme, db, `select body from notes where id = $1`, id)
		require.NoError(t, err, name)
		require.Equal(t, "before", body)
	}
	require.NoError(t, insert(globex, db), "a neighbour")
	require.NoError(t, pg.App.QueryRow(t.Context(), `select pg_backend_pid()`).Scan(&now))
	require.Equal(t, backend, now, "the pool has not been reset, as it is when a primary has become a replica")

}

func TestRestrictToNothing(t *testing.T) {
	t.Parallel()
	db, pg := openPlaced(t)
	acme := tenancy.WithID(t.Context(), "acme")
	insert := func(ctx context.Context, db *tenancy.DB) error {
		return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, insertNote, "x")
			return err
		})
	}
	id, err := tenancy.One[int64](acme, db, insertNote+" returning id", "before")
	require.NoError(t, err)
	require.NoError(t, db.Restrict(acme, tenancy.NoAccess))
	_, err = tenancy.One[string](acme, db, `select body from notes where id = $1`, id)
	require.ErrorIs(t, err, tenancy.ErrMoved)
	require.ErrorIs(t, insert(acme, db), tenancy.ErrMoved)
	require.ErrorIs(t, insert(acme, db.With(&tenancy.TxOptions{Eager: true})), tenancy.ErrMoved)
	unplaced, err := tenancy.New(pg.App, &tenancy.Options{Seal: newSeal(t, "k1")})
	require.NoError(t, err)
	require.NoError(t, insert(acme, unplaced), "a mover's own DB")
	n, err := tenancy.One[int](tenancy.System(t.Context(), "report"), db, `select count(*)::int from notes where tenant_id = 'acme'`)
	require.NoError(t, err)
	require.Equal(t, 2, n, "a unit of no tenant")

	require.NoError(t, db.Restrict(acme, tenancy.ReadWrite))
	require.NoError(t, db.Restrict(acme, tenancy.ReadWrite))
	require.NoError(t, insert(acme, db))

	require.ErrorIs(t, db.Restrict(t.Context(), tenancy.ReadOnly), tenancy.ErrNoTenant)
	require.ErrorContains(t, db.Restrict(acme, "some"), `no access "some"`)
}

// TestRestrictedStatements: a statement inside of a unit says what the unit says, whoever ends the unit.
func TestRestrictedStatements(t *testing.T) {
	t.Parallel()
	db, pg := openPlaced(t)
	_, err := pg.Owner.Exec(t.Context(), `create table plain (body text); grant insert on plain to tenancy_app`) // COPY needs one without policies
	require.NoError(t, err)
	acme := tenancy.WithID(t.Context(), "acme")
	for access, want := range map[tenancy.Access]error{tenancy.ReadOnly: tenancy.ErrReadOnly, tenancy.NoAccess: tenancy.ErrMoved} {
		require.NoError(t, db.Restrict(acme, access))
		for _, eager := range []bool{false, true} {
			h := db.With(&tenancy.TxOptions{Eager: eager})
			for name, run := range writes(t) {
				ours := func(err error) {
					t.Helper()
					require.ErrorIs(t, err, want, "%s, %s, eager %v", name, access, eager)
					var answer *pgconn.PgError
					require.ErrorAs(t, err, &answer, "what the server said stays in it")
				}
				tx, err := h.Begin(acme)
				if eager && access == tenancy.NoAccess {
					ours(err)
					continue
				}
				require.NoError(t, err)
				t.Cleanup(func() { _ = tx.Rollback(acme) })
				err = run(acme, tx)
				require.NoError(t, tx.Rollback(acme))
				ours(err)
				require.ErrorIs(t, h.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
					err = run(ctx, tx)
					return err
				}), want, name)
				ours(err)
			}
		}
		tx, err := db.Begin(acme)
		require.NoError(t, err)
		tx.(interface{ Defer(string, ...any) }).Defer(insertNote, "x")
		require.ErrorIs(t, tx.Commit(acme), want)
	}
}

// writes are all the ways to write inside of a unit.
func writes(t *testing.T) map[string]func(context.Context, pgx.Tx) error {
	const insert = insertNote + " returning id"
	return map[string]func(context.Context, pgx.Tx) error{
		"Exec": func(ctx context.Context, tx pgx.Tx) error { _, err := tx.Exec(ctx, insertNote, "x"); return err },
		"Exec of several": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `delete from notes; select 1`)
			return err
		},
		"Exec with a mode": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, insertNote, pgx.QueryExecModeExec, "x")
			return err
		},
		"QueryRow": func(ctx context.Context, tx pgx.Tx) error {
			var id int64
			return tx.QueryRow(ctx, insert, "x").Scan(&id)
		},
		"Query": func(ctx context.Context, tx pgx.Tx) error {
			rows, err := tx.Query(ctx, insert, "x")
			if err != nil {
				return err
			}
			rows.Close()
			return rows.Err()
		},
		"Query with a mode": func(ctx context.Context, tx pgx.Tx) error {
			rows, err := tx.Query(ctx, insert, pgx.QueryExecModeExec, "x")
			if err != nil {
				return err
			}
			_, err = pgx.CollectRows(rows, pgx.RowTo[int64])
			return err
		},
		"a batch's Exec": func(ctx context.Context, tx pgx.Tx) error {
			results := tx.SendBatch(ctx, batchOf(insertNote, "x"))
			defer results.Close()
			_, err := results.Exec()
			return err
		},
		"a batch's Query": func(ctx context.Context, tx pgx.Tx) error {
			results := tx.SendBatch(ctx, batchOf(insert, "x"))
			defer results.Close()
			rows, err := results.Query()
			if err != nil {
				return err
			}
			rows.Next()
			return rows.Err()
		},
		"a batch's QueryRow": func(ctx context.Context, tx pgx.Tx) error {
			results := tx.SendBatch(ctx, batchOf(insert, "x"))
			defer results.Close()
			var id int64
			return results.QueryRow().Scan(&id)
		},
		"a batch's Close": func(ctx context.Context, tx pgx.Tx) error { return tx.SendBatch(ctx, batchOf(insertNote, "x")).Close() },
		"CopyFrom": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.CopyFrom(ctx, pgx.Identifier{"plain"}, []string{"body"}, pgx.CopyFromRows([][]any{{"x"}}))
			return err
		},
		"a savepoint's Exec": func(ctx context.Context, tx pgx.Tx) error {
			sp, err := tx.Begin(ctx)
			require.NoError(t, err)
			_, err = sp.Exec(ctx, insertNote, "x")
			require.NoError(t, sp.Rollback(ctx))
			return err
		},
	}
}

func batchOf(sql string, args ...any) *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue(sql, args...)
	return b
}

// TestRestrictionOfAnotherDB is no reason to run the unit around it again, as if its own primary had become a replica.
func TestRestrictionOfAnotherDB(t *testing.T) {
	t.Parallel()
	db, pg := openPlaced(t)
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	outer, err := tenancy.New(pg.App, &tenancy.Options{Seal: newSeal(t, "k1")})
	require.NoError(t, err)
	for access, want := range map[tenancy.Access]error{tenancy.ReadOnly: tenancy.ErrReadOnly, tenancy.NoAccess: tenancy.ErrMoved} {
		require.NoError(t, db.Restrict(acme, access))
		runs := 0
		require.ErrorIs(t, outer.Do(globex, func(ctx context.Context, tx *tenancy.Tx) error {
			runs++
			_, err := tx.Exec(ctx, insertNote, "outer")
			require.NoError(t, err)
			_, err = db.Exec(acme, insertNote, "x")
			return err
		}), want)
		require.Equal(t, 1, runs)
	}
}

// TestRestrictWaitsForOpenUnits, of a neighbour too, since nobody can tell whose they are; and nobody waits for it.
func TestRestrictWaitsForOpenUnits(t *testing.T) {
	t.Parallel()
	db, _ := openPlaced(t)
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	for _, who := range []context.Context{acme, globex} {
		for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead} {
			require.NoError(t, db.With(&tenancy.TxOptions{Isolation: level}).Do(who, func(ctx context.Context, tx *tenancy.Tx) error {
				_, err := tx.Exec(ctx, `select from notes`) // begun, and nothing written
				require.NoError(t, err)
				short, cancel := context.WithTimeout(acme, 100*time.Millisecond)
				defer cancel()
				require.ErrorIs(t, db.Restrict(short, tenancy.ReadOnly), context.DeadlineExceeded)
				_, err = tenancy.One[int](globex, db, `select count(*)::int from notes`)
				require.NoError(t, err)
				_, err = tx.Exec(ctx, insertNote, "x")
				return err
			}))
			require.NoError(t, db.Restrict(acme, tenancy.ReadOnly))
			require.NoError(t, db.Restrict(acme, tenancy.ReadWrite))
		}
	}
}

// TestNothingIsWrittenBehindARestriction: what writers were told they have written is there when Restrict returns, and
// nothing comes later. Planted: the restriction without its wait.
func TestNothingIsWrittenBehindARestriction(t *testing.T) {
	t.Parallel()
	db, pg := openPlaced(t)
	acme := tenancy.WithID(t.Context(), "acme")
	count := func() (n int64) {
		require.NoError(t, pg.System.QueryRow(t.Context(), `select count(*) from notes where tenant_id = 'acme'`).Scan(&n))
		return n
	}
	for range testenv.Rounds(20, 300) {
		before := count()
		var written atomic.Int64
		var writers sync.WaitGroup
		for w := range 4 {
			level := []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead}[w%2]
			writers.Go(func() {
				for {
					err := db.With(&tenancy.TxOptions{Isolation: level}).Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
						_, err := tenancy.All[int64](ctx, tx, `select id from notes limit 1`)
						tx.Defer(insertNote, "x")
						return err
					})
					switch {
					case errors.Is(err, tenancy.ErrReadOnly):
						return
					case err != nil:
						t.Error(err)
						return
					}
					written.Add(1)
				}
			})
		}
		err := db.Restrict(acme, tenancy.ReadOnly)
		there := count()
		writers.Wait()
		require.NoError(t, err)
		require.Equal(t, there, count(), "nothing comes later")
		require.Equal(t, before+written.Load(), there)
		require.NoError(t, db.Restrict(acme, tenancy.ReadWrite))
	}
	there := int64(0)
	require.NoError(t, db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `select from notes`)
		require.NoError(t, err)
		_, err = pg.System.Exec(ctx, `insert into tenancy.restriction (tenant, access) values ('acme', 'read-only')`)
		require.NoError(t, err)
		there = count()
		_, err = tx.Exec(ctx, insertNote, "behind")
		return err
	}))
	require.NotEqual(t, there, count(), "planted: a restriction that does not wait loses this write")
}

// TestRestrictAt: the database is the handle's, wherever the tenant is placed.
func TestRestrictAt(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 4)
	db := c.open(t, tenancy.Options{})
	ctx := tenancy.WithID(t.Context(), "db0")
	write := func() error { _, err := tenancy.One[int64](ctx, db, insertNote+" returning id", "x"); return err }
	require.NoError(t, db.Restrict(ctx, tenancy.NoAccess), "the common database")
	require.NoError(t, db.At("db1").Restrict(ctx, tenancy.NoAccess))
	require.NoError(t, write())
	require.NoError(t, db.At("db0").Restrict(ctx, tenancy.ReadOnly))
	require.ErrorIs(t, write(), tenancy.ErrReadOnly)
	require.NoError(t, db.At("db0").Restrict(ctx, tenancy.NoAccess))
	require.ErrorIs(t, write(), tenancy.ErrMoved)
	require.NoError(t, db.At("db0").Restrict(ctx, tenancy.ReadWrite))
	require.NoError(t, write())
}

// TestRestrictionsAreOnDisk before Restrict returns: what follows cannot be taken back by a crash of the server.
func TestRestrictionsAreOnDisk(t *testing.T) {
	t.Parallel()
	_, pg := openPlaced(t)
	_, err := pg.Owner.Exec(t.Context(), `create table seen (setting text);
		grant insert on seen to tenancy_system;
		create function note() returns trigger language plpgsql as $$ begin insert into seen values (current_setting('synchronous_commit')); return null; end $$;
		create trigger note after insert or update on tenancy.restriction for each row execute function note()`)
	require.NoError(t, err)
	cfg := pg.System.Config()
	cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	system, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(system.Close)
	db, err := tenancy.New(pg.App, &tenancy.Options{System: system, Place: everywhere})
	require.NoError(t, err)
	acme := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, db.Restrict(acme, tenancy.ReadOnly))
	require.NoError(t, db.Restrict(acme, tenancy.NoAccess))
	var seen []string
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select array_agg(setting) from seen`).Scan(&seen))
	require.Equal(t, []string{"on", "on"}, seen)
}
