package app_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics/analyticstest"
	"github.com/ashlar-go/ashlar/billing/billingtest"
	"github.com/ashlar-go/ashlar/billing/pgbilling"
	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/examples/pulse/probe"
	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/notify/notifytest"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// world is pulse over a real PostgreSQL, with fakes for everything else.
type world struct {
	*app.App
	*testing.T
	pg    *testenv.PG
	store *jobstest.Driver
	put   func() error // nil, or what happens right before the first schedule of a monitor is stored
}

// hooked is a store in which something happens before a schedule is there.
type hooked struct {
	*jobstest.Driver
	w *world
}

func (h hooked) PutSchedule(ctx context.Context, p driver.PutSchedule) (driver.Started, error) {
	if p.Start.Next.IsZero() || h.w.put == nil { // the former: one in code, on another goroutine
		return h.Driver.PutSchedule(ctx, p)
	}
	put := h.w.put
	h.w.put = nil
	if err := put(); err != nil {
		return driver.Started{}, err
	}
	return h.Driver.PutSchedule(ctx, p)
}

func newWorld(t *testing.T) *world {
	own, err := app.Migrations()
	require.NoError(t, err)
	w := &world{T: t, pg: testenv.Postgres(t, tenancy.Migrations, registry.Migrations, pgbilling.Migrations, own), store: jobstest.New(t)}
	db, err := tenancy.New(w.pg.App, &tenancy.Options{System: w.pg.System})
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	queue, err := jobs.New(hooked{w.store, w}, &jobs.Options{Tenant: tenancy.IDFrom, WithTenant: tenancy.WithID, Logger: quiet})
	require.NoError(t, err)
	hub, err := cache.New(cachetest.New(t), &cache.Options{Tenant: tenancy.IDFrom})
	require.NoError(t, err)
	plans, err := pgbilling.New(w.pg.System, &pgbilling.Options{Tx: tenancy.Pgx})
	require.NoError(t, err)
	stats, _ := analyticstest.New(t, nil)
	mail := notifytest.New(t)
	w.App, err = app.New(app.Deps{
		DB: db, Queue: queue, Hub: hub, Provider: billingtest.NewProvider(nil), Plans: plans, Mail: mail, SMS: mail, Analytics: stats,
		Prober: probe.New(nil), Logger: quiet,
	})
	require.NoError(t, err)
	return w
}

// run runs workers, schedules and the relay until the test ends.
func (w *world) run() {
	sink, err := outboxjobs.NewSink(w.store, &outboxjobs.Options{Map: app.Follow})
	require.NoError(w, err)
	relay, err := outbox.New(w.DB, sink, nil)
	require.NoError(w, err)
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 2)
	go func() { ended <- w.Queue.Run(ctx) }()
	go func() { ended <- relay.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		require.NoError(w, errors.Join(<-ended, <-ended))
	})
}

// schedules are those of monitors: the tenant, the name and the expression of each.
func (w *world) schedules() map[string]string {
	all := map[string]string{}
	for cursor := ""; ; {
		page, next, err := w.Queue.Schedules(context.Background(), cursor, 100)
		require.NoError(w, err)
		for _, s := range page {
			if !s.InCode {
				all[s.Tenant+" "+s.Name] = s.Spec
			}
		}
		if cursor = next; cursor == "" {
			return all
		}
	}
}

func (w *world) eventually(want map[string]string) {
	w.Helper()
	require.Eventually(w, func() bool { return len(w.schedules()) == len(want) }, time.Minute, 5*time.Millisecond)
	require.Equal(w, want, w.schedules())
}

func TestAScheduleComesAndGoesWithItsMonitor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run()
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	undone := errors.New("undone")
	require.ErrorIs(t, w.DB.InTx(acme, func(ctx context.Context) error {
		_, err := w.AddMonitor(ctx, app.MonitorIn{Name: "Never", URL: "http://127.0.0.1/"})
		return errors.Join(undone, err)
	}), undone)
	shop, err := w.AddMonitor(acme, app.MonitorIn{Name: "Größter Shop (1)", URL: "http://127.0.0.1/", Interval: app.Seconds(time.Hour)})
	require.NoError(t, err)
	blog, err := w.AddMonitor(globex, app.MonitorIn{Name: "博客", URL: "http://127.0.0.1/"})
	require.NoError(t, err)
	theirs := "globex monitor/" + blog.ID
	w.eventually(map[string]string{"acme Gr-ter-Shop-1/" + shop.ID: "@every 1h0m0s", theirs: "@every 1m0s"})
	require.Eventually(t, func() bool {
		shop, err = w.Monitor(acme, app.MonitorRef{ID: shop.ID})
		return err == nil && shop.State == "failing"
	}, time.Minute, 5*time.Millisecond, "the first check does not wait for an hour")

	_, err = w.RemoveMonitor(globex, app.MonitorRef{ID: shop.ID})
	require.ErrorIs(t, err, app.ErrNotFound)
	_, err = w.RemoveMonitor(acme, app.MonitorRef{ID: shop.ID})
	require.NoError(t, err)
	w.eventually(map[string]string{theirs: "@every 1m0s"})
}

// TestAScheduleFollowsWhatHappensMeanwhile: between looking at a monitor and
// storing its schedule anything may happen to it.
func TestAScheduleFollowsWhatHappensMeanwhile(t *testing.T) {
	t.Parallel()
	acme := tenancy.WithID(t.Context(), "acme")
	for name, c := range map[string]struct{ sql, spec string }{
		"removed": {`delete from pulse.monitors`, ""},
		"changed": {`update pulse.monitors set interval_s = 90`, "@every 1m30s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m, err := w.AddMonitor(acme, app.MonitorIn{Name: "Shop", URL: "http://127.0.0.1/"})
			require.NoError(t, err)
			changed := int64(0)
			w.put = func() error {
				tag, err := w.pg.System.Exec(t.Context(), c.sql)
				changed = tag.RowsAffected()
				return err
			}
			_, err = w.Queue.Enqueue(acme, app.ScheduleChecks{Check: app.CheckMonitor{Monitor: m.ID, Name: m.Name}}, nil)
			require.NoError(t, err)
			jobstest.Drain(t, w.store, w.Queue)
			require.EqualValues(t, 1, changed)
			require.Equal(t, c.spec, w.schedules()["acme Shop/"+m.ID])
		})
	}
}

func TestReconcileSchedulesAllMonitors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := map[string]string{}
	const insert = `insert into pulse.monitors (tenant_id, id, name, url, interval_s, state, failures, checked)
		select 'team-' || n % 3, 'm' || n, 'Shop', 'http://127.0.0.1/', 86400, 'up', 0, '0001-01-01' from generate_series(1, 250) n
		returning tenant_id || ' Shop/' || id`
	rows, err := w.pg.System.Query(t.Context(), insert)
	require.NoError(t, err)
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		want[name] = "@every 24h0m0s"
	}
	require.NoError(t, rows.Err())
	require.Len(t, want, 250)
	one := tenancy.WithID(t.Context(), "team-1")
	require.NoError(t, w.Queue.Schedule(one, "Shop/m1", "@every 48h", app.CheckMonitor{Monitor: "m1"}, nil), "it differs")
	require.NoError(t, w.Queue.PauseSchedule(one, "Shop/m1"))
	for range 2 { // the second time finds nothing to do
		_, err = w.Queue.Enqueue(t.Context(), app.Reconcile{}, nil)
		require.NoError(t, err)
		jobstest.Drain(t, w.store, w.Queue)
		require.Equal(t, want, w.schedules())
	}
	stats, err := w.Queue.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, stats.Dead)
}

func TestAScheduleWithoutAMonitorRemovesItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, w.Queue.Schedule(acme, "Gone/m9", "@every 1s", app.CheckMonitor{Monitor: "m9", Name: "Gone"}, nil))
	require.Len(t, w.schedules(), 1)
	w.run()
	w.eventually(map[string]string{})
}
