package app

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// TestResultsAtOnceAreCountedOnce: whoever loaded a monitor that somebody else has stored since then stores nothing, no
// incident and no event either.
func TestResultsAtOnceAreCountedOnce(t *testing.T) {
	t.Parallel()
	own, err := Migrations()
	require.NoError(t, err)
	pg := testenv.Postgres(t, tenancy.Migrations, own)
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	hub, err := cache.New(cachetest.New(t), nil)
	require.NoError(t, err)
	a := &App{Deps: Deps{DB: db, Hub: hub}}
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, db.InTx(ctx, func(ctx context.Context) error {
		tx, _ := tenancy.TxFrom(ctx)
		m, err := uptime.NewMonitor("m1", "Shop", "https://shop.example", time.Minute)
		monitors{tx}.save(m)
		return err
	}))

	began := time.Now()
	answers := make(chan error, 80)
	for round := range 20 {
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				// Later than all of the rounds before, so none of them is too old by itself.
				answers <- a.record(ctx, "m1", uptime.Result{At: began.Add(time.Duration(round*4+i) * time.Second), Failure: "HTTP 500"})
			})
		}
		wg.Wait()
	}
	close(answers)
	counted := 0
	for err := range answers {
		if err != nil {
			require.ErrorIs(t, err, tenancy.ErrStale)
			continue
		}
		counted++
	}
	m, err := findMonitor(ctx, db, "m1")
	require.NoError(t, err)
	require.Equal(t, uptime.Down, m.State)
	require.LessOrEqual(t, m.Failures, counted, "a result that was too old counts as done")
	require.Equal(t, int64(m.Failures)+1, m.Version)
	list, err := a.incidents(ctx, 10)
	require.NoError(t, err)
	require.Len(t, list, 1, "one incident, however many results at once")
	events, err := tenancy.All[string](tenancy.System(t.Context(), "count events"), db, `select type from tenancy.outbox`)
	require.NoError(t, err)
	require.Equal(t, []string{"pulse.incident.opened"}, events)
}

func TestMaintainMakesPartitions(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations)
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	a := &App{Deps: Deps{DB: db, Logger: slog.New(slog.DiscardHandler)}}
	require.NoError(t, a.maintain(t.Context(), Maintain{}))
	n, err := tenancy.One[int](tenancy.System(t.Context(), "count partitions"), db, `select count(*) from pg_inherits
		where inhparent in ('tenancy.outbox'::regclass, 'tenancy.audit'::regclass)`)
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, 8+4+2, "a week of events, three months of the log, two for the rest")
}
