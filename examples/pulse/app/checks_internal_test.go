package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics/analyticstest"
	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
	"github.com/ashlar-go/ashlar/examples/pulse/probe"
	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// virtual is pulse with one monitor on fakes alone, in a bubble.
type virtual struct {
	app     *App
	began   time.Time
	asked   int             // how often the monitor was read
	down    func() error    // nil, or whether the database is away
	results []time.Duration // when results were written
}

func newVirtual(t *testing.T, interval time.Duration) *virtual {
	v := &virtual{began: time.Now()}
	// A probe of a private address has a result without any network.
	row := monitorRow{ID: "m1", Name: "Shop", URL: "http://127.0.0.1/", IntervalS: int(interval / time.Second), State: uptime.Up, Version: 1}
	kit := tenancytest.New(t)
	kit.Handle(selectMonitor+`and m.id = $2`, func(context.Context, ...any) (any, error) {
		v.asked++
		if v.down != nil {
			return row, v.down()
		}
		return row, nil
	})
	kit.Handle(`update pulse.monitors set state = $4, failures = $5, checked = $6, version = version + 1
			where tenant_id = $1 and id = $2 and version = $3`, func(context.Context, ...any) (any, error) {
		row.Checked = time.Now()
		v.results = append(v.results, time.Since(v.began))
		return tenancytest.Affected(1), nil
	})
	quiet := slog.New(slog.DiscardHandler)
	queue, err := jobs.New(jobstest.New(t), &jobs.Options{Tenant: tenancy.IDFrom, WithTenant: tenancy.WithID, MaxAttempts: 10, Timeout: time.Minute, Logger: quiet})
	require.NoError(t, err)
	hub, err := cache.New(cachetest.New(t), nil)
	require.NoError(t, err)
	stats, _ := analyticstest.New(t, nil)
	v.app = &App{Deps: Deps{DB: kit.DB(), Queue: queue, Hub: hub, Analytics: stats, Prober: probe.New(nil), Logger: quiet}}
	require.NoError(t, v.app.registerJobs())
	return v
}

// TestChecksGoOnRightAfterAnOutage: an hour without the database delays no
// check beyond the next tick of its schedule and leaves no dead jobs behind.
func TestChecksGoOnRightAfterAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const interval, begin, end = 30 * time.Second, time.Minute, time.Minute + time.Hour
		v := newVirtual(t, interval)
		v.down = func() error {
			if at := time.Since(v.began); at > begin && at < end {
				return errors.New("no space left on device")
			}
			return nil
		}
		acme := tenancy.WithID(t.Context(), "acme")
		require.NoError(t, v.app.scheduleChecks(acme, ScheduleChecks{Check: CheckMonitor{Monitor: "m1", Name: "Shop"}}))
		jobstest.Advance(t, v.app.Queue, end+10*time.Minute)
		require.GreaterOrEqual(t, v.asked, 2*int((end-begin)/interval), "each tick of the outage had its two attempts")
		require.Len(t, v.results, 1+20, "each tick before and after the outage has its result: %v", v.results)
		require.Less(t, v.results[1], end+interval)
		for i, at := range v.results[2:] {
			require.Equal(t, interval, at-v.results[1+i])
		}
		stats, err := v.app.Queue.Stats(t.Context())
		require.NoError(t, err)
		require.Zero(t, stats.Dead)
	})
}

func TestChecksOfAMonitorHaveAPauseBetweenThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, time.Hour)
		acme := tenancy.WithID(t.Context(), "acme")
		for range 100 {
			_, err := v.app.CheckNow(acme, MonitorRef{ID: "m1"})
			require.NoError(t, err)
			jobstest.Advance(t, v.app.Queue, checkPause/10)
		}
		require.GreaterOrEqual(t, v.asked, 200, "each was a job")
		require.InDelta(t, 10, len(v.results), 1, "%v", v.results)
	})
}
