package tenancy_test

import (
	"context"
	"errors"
	"net/url"
	"testing"

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
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	proxy := testenv.Proxy(t, addrOf(t, pg.AppURL))
	pool := through(t, pg.AppURL, proxy.Addr)
	db, err := tenancy.New(pool, nil)
	require.NoError(t, err)
	ctx := tenancy.WithID(t.Context(), "acme")
	refused := errors.New("refused")

	do := func(fn func(ctx context.Context, tx *tenancy.Tx) error) func() error {
		return func() error { return db.Do(ctx, fn) }
	}
	write := func(_ context.Context, tx *tenancy.Tx) error {
		tx.Defer(`insert into counters (name, n) values ('w', 1) on conflict (tenant_id, name) do update set n = counters.n + 1`)
		return nil
	}
	for _, c := range []struct {
		name string
		want int64
		run  func() error
	}{
		{"All", 1, func() error { _, err := tenancy.All[note](ctx, db, `select id, body from notes`); return err }},
		{"One that writes", 1, func() error {
			_, err := tenancy.One[int64](ctx, db, `insert into notes (body) values ($1) returning id`, "x")
			return err
		}},
		{"One, serializable, with timeout", 1, func() error {
			strict := db.With(&tenancy.TxOptions{Isolation: "serializable", ReadOnly: true, Timeout: 1e12})
			_, err := tenancy.One[int](ctx, strict, `select count(*)::int from notes`)
			return err
		}},
		{"empty unit", 0, do(func(context.Context, *tenancy.Tx) error { return nil })},
		{"refused unit", 0, do(func(_ context.Context, tx *tenancy.Tx) error { tx.Emit(noteAdded{}); return refused })},
		{"only writes and an event", 1, do(func(ctx context.Context, tx *tenancy.Tx) error {
			tx.Emit(noteAdded{"x"})
			return write(ctx, tx)
		})},
		{"read, modify, write, event", 2, do(func(ctx context.Context, tx *tenancy.Tx) error {
			n, err := tenancy.One[int64](ctx, tx, `select n from counters where name = 'w' for update`)
			if err != nil {
				return err
			}
			tx.Defer(`update counters set n = $1 where name = 'w'`, n+1)
			tx.Emit(noteAdded{"x"})
			return nil
		})},
		{"two savepoints around writes", 1, do(func(ctx context.Context, _ *tenancy.Tx) error {
			return errors.Join(db.Do(ctx, write), db.Do(ctx, write))
		})},
		{"savepoint rolled back before anything was sent", 0, do(func(ctx context.Context, _ *tenancy.Tx) error {
			_ = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { return errors.Join(write(ctx, tx), refused) })
			return nil
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // a statement that is new to a connection costs one more, for Prepare
				_ = c.run()
			}
			before := proxy.RoundTrips()
			err := c.run()
			if !errors.Is(err, refused) {
				require.NoError(t, err)
			}
			require.Equal(t, c.want, proxy.RoundTrips()-before)
		})
	}
}
