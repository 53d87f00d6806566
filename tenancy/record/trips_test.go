package record_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	pg := postgres(t)
	cfg, err := pgxpool.ParseConfig(pg.AppURL)
	require.NoError(t, err)
	at := cfg.ConnConfig
	target := net.JoinHostPort(at.Host, strconv.Itoa(int(at.Port)))
	if at.Host[0] == '/' {
		target = fmt.Sprintf("%s/.s.PGSQL.%d", at.Host, at.Port)
	}
	proxy := testenv.Proxy(t, target)
	host, port, err := net.SplitHostPort(proxy.Addr)
	require.NoError(t, err)
	number, err := strconv.ParseUint(port, 10, 16)
	require.NoError(t, err)
	at.Host, at.Port, at.Fallbacks, cfg.MaxConns = host, uint16(number), nil, 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db, err := tenancy.New(pool, nil)
	require.NoError(t, err)
	ctx := tenancy.WithID(t.Context(), "acme")

	n := note{Title: "x"}
	require.NoError(t, notes.Save(ctx, db, &n))
	unit := func(fn func(ctx context.Context, tx *tenancy.Tx) error) func() error {
		return func() error { return db.Do(ctx, fn) }
	}
	for _, c := range []struct {
		name string
		want int64
		run  func() error
	}{
		{"Find", 1, func() error { _, err := notes.Find(ctx, db, n.ID); return err }},
		{"FindBy", 1, func() error { _, err := notes.FindBy(ctx, db, "id = $1", n.ID); return err }},
		{"FindMany", 1, func() error { _, err := notes.FindMany(ctx, db, []string{n.ID}); return err }},
		{"List", 1, func() error { _, err := notes.List(ctx, db, record.Query{Limit: 5}); return err }},
		{"Page", 1, func() error { _, err := notes.Page(ctx, db, record.Query{}); return err }},
		{"Count", 1, func() error { _, err := notes.Count(ctx, db, record.Query{}); return err }},
		{"Save, new", 1, func() error { return notes.Save(ctx, db, &note{Title: "y"}) }},
		{"Save, changed", 1, func() error { return notes.Save(ctx, db, &n) }},
		{"Update", 1, func() error { _, err := notes.Update(ctx, db, "stars = stars + 1", "id = $1", "none"); return err }},
		{"InsertAll", 1, func() error { return notes.InsertAll(ctx, db, []note{{Title: "a"}, {Title: "b"}}) }},
		{"InsertAll of nothing", 0, func() error { return notes.InsertAll(ctx, db, nil) }},
		{"Upsert", 1, func() error { return lines.Upsert(ctx, db, &line{Name: "x"}, "name") }},
		{"Delete and Restore", 2, func() error {
			if err := notes.Delete(ctx, db, &n); err != nil {
				return err
			}
			return notes.Restore(ctx, db, &n)
		}},
		{"unit of one SaveLater: it leaves with COMMIT", 1, unit(func(_ context.Context, tx *tenancy.Tx) error { return notes.SaveLater(tx, &n) })},
		{"unit of Find and SaveLater", 2, unit(func(ctx context.Context, tx *tenancy.Tx) error {
			n, err := notes.Find(ctx, tx, n.ID)
			if err != nil {
				return err
			}
			n.Stars++
			return notes.SaveLater(tx, &n)
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // a statement that is new to a connection costs one more, for Prepare
				require.NoError(t, c.run())
				n, err = notes.Find(ctx, db, n.ID)
				require.NoError(t, err)
			}
			before := proxy.RoundTrips()
			require.NoError(t, c.run())
			require.Equal(t, c.want, proxy.RoundTrips()-before)
			n, err = notes.Find(ctx, db, n.ID)
			require.NoError(t, err)
		})
	}
}
