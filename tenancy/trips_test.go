package tenancy_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// through returns a pool of one connection behind proxy.
func through(t *testing.T, target, proxy string) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(target)
	require.NoError(t, err)
	at, err := url.Parse("//" + proxy)
	require.NoError(t, err)
	cfg.ConnConfig.Host, cfg.MaxConns = at.Hostname(), 1
	cfg.ConnConfig.Port = portOf(t, at.Port())
	cfg.ConnConfig.Fallbacks = nil
	cfg.ConnConfig.RuntimeParams["application_name"] = "proxied"
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// tripCase is a unit and what it costs.
type tripCase struct {
	name string
	want int64
	run  func() error
}

var errRefused = errors.New("refused")

// countTrips returns a DB of one connection behind a proxy, and a function that runs the cases and counts.
func countTrips(t *testing.T, opts *tenancy.Options) (*tenancy.DB, func(...tripCase)) {
	t.Helper()
	_, pg := open(t)
	proxy := testenv.Proxy(t, addrOf(t, pg.AppURL))
	db, err := tenancy.New(through(t, pg.AppURL, proxy.Addr), opts)
	require.NoError(t, err)
	return db, func(cases ...tripCase) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				for range 2 { // a statement that is new to a connection costs one more, for Prepare
					_ = c.run()
				}
				before := proxy.RoundTrips()
				if err := c.run(); !errors.Is(err, errRefused) {
					require.NoError(t, err)
				}
				require.Equal(t, c.want, proxy.RoundTrips()-before)
			})
		}
	}
}

func TestRoundTripsOfStatements(t *testing.T) {
	t.Parallel()
	db, count := countTrips(t, nil)
	ctx := tenancy.WithID(t.Context(), "acme")
	with := func(o tenancy.TxOptions) func() error {
		return func() error {
			_, err := tenancy.One[int](ctx, db.With(&o), `select count(*)::int from notes`)
			return err
		}
	}
	count(
		tripCase{"All", 1, func() error { _, err := tenancy.All[note](ctx, db, `select id, body from notes`); return err }},
		tripCase{"One", 1, with(tenancy.TxOptions{})},
		tripCase{"One that writes", 1, func() error {
			_, err := tenancy.One[int64](ctx, db, `insert into notes (body) values ($1) returning id`, "x")
			return err
		}},
		tripCase{"One, read only", 1, with(tenancy.TxOptions{ReadOnly: true})},
		tripCase{"One, serializable", 1, with(tenancy.TxOptions{Isolation: pgx.Serializable})},
		tripCase{"One with timeout", 1, with(tenancy.TxOptions{Timeout: time.Minute})},
		tripCase{"a procedure, begun in so many words", 1, func() error { _, err := db.Exec(ctx, `call pass()`); return err }},
		tripCase{"COMMIT, refused", 0, func() error {
			if _, err := db.Exec(ctx, `commit`); !errors.Is(err, tenancy.ErrManaged) {
				return errors.New("not refused")
			}
			return nil
		}},
		tripCase{"One, all options", 1, with(tenancy.TxOptions{Isolation: pgx.Serializable, ReadOnly: true, Deferrable: true, Timeout: time.Minute, LockTimeout: time.Minute})},
	)
}

func TestRoundTripsOfUnits(t *testing.T) {
	t.Parallel()
	db, count := countTrips(t, nil)
	ctx := tenancy.WithID(t.Context(), "acme")
	do := func(fn func(ctx context.Context, tx *tenancy.Tx) error) func() error {
		return func() error { return db.Do(ctx, fn) }
	}
	write := func(_ context.Context, tx *tenancy.Tx) error {
		tx.Defer(`insert into counters (name, n) values ('w', 1) on conflict (tenant_id, name) do update set n = counters.n + 1`)
		return nil
	}
	require.NoError(t, db.Do(ctx, write))
	read := func(ctx context.Context, tx *tenancy.Tx) (int64, error) {
		return tenancy.One[int64](ctx, tx, `select n from counters where name = 'w'`)
	}
	count(
		tripCase{"empty", 0, do(func(context.Context, *tenancy.Tx) error { return nil })},
		tripCase{"refused", 0, do(func(_ context.Context, tx *tenancy.Tx) error { tx.Emit(noteAdded{}); return errRefused })},
		tripCase{"only writes and an event", 1, do(func(ctx context.Context, tx *tenancy.Tx) error {
			tx.Emit(noteAdded{"x"})
			return write(ctx, tx)
		})},
		tripCase{"writes with all options", 1, func() error {
			o := tenancy.TxOptions{Isolation: pgx.RepeatableRead, Timeout: time.Minute}
			return db.With(&o).Do(ctx, write)
		}},
		tripCase{"read, modify, write, event, audit", 2, do(func(ctx context.Context, tx *tenancy.Tx) error {
			n, err := read(ctx, tx)
			tx.DeferExpect(1, "counter", `update counters set n = $2 where name = 'w' and n = $1`, n, n+1)
			tx.Emit(noteAdded{"x"})
			tx.Audit(tenancy.Audit{Action: "counter.changed", Before: map[string]any{"n": n}, After: map[string]any{"n": n + 1}})
			return err
		})},
		tripCase{"try a lock, write", 2, do(func(ctx context.Context, tx *tenancy.Tx) error {
			_, err := tx.TryLock(ctx, "counters")
			return errors.Join(err, write(ctx, tx))
		})},
		tripCase{"writes, an actor, a position", 1, func() error {
			o := tenancy.TxOptions{CommitLSN: new(tenancy.LSN), Timeout: time.Minute}
			return db.With(&o).Do(tenancy.WithActor(ctx, tenancy.Actor{ID: "ann"}), write)
		}},
		tripCase{"lock and write", 1, do(func(ctx context.Context, tx *tenancy.Tx) error {
			tx.Lock("counters")
			return write(ctx, tx)
		})},
		tripCase{"lock, read and write", 2, do(func(ctx context.Context, tx *tenancy.Tx) error {
			tx.Lock("counters")
			_, err := read(ctx, tx)
			return errors.Join(err, write(ctx, tx))
		})},
		tripCase{"read, modify, write, event, audit", 2, func() error {
			return db.Do(tenancy.WithActor(ctx, tenancy.Actor{ID: "ann"}), func(ctx context.Context, tx *tenancy.Tx) error {
				n, err := tenancy.One[int64](ctx, tx, `select n from counters where name = 'w' for update`)
				tx.Defer(`update counters set n = $1 where name = 'w'`, n+1)
				tx.Emit(noteAdded{"x"})
				tx.Audit(tenancy.Audit{Action: "counted", Subject: "w", Before: map[string]int64{"n": n}, After: map[string]int64{"n": n + 1}})
				return err
			})
		}},
		tripCase{"two savepoints around writes", 1, do(func(ctx context.Context, _ *tenancy.Tx) error {
			return errors.Join(db.Do(ctx, write), db.Do(ctx, write))
		})},
		tripCase{"savepoint rolled back before anything was sent", 0, do(func(ctx context.Context, _ *tenancy.Tx) error {
			_ = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { return errors.Join(write(ctx, tx), errRefused) })
			return nil
		})},
	)
}
