package jobs_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

// ticker records the ids of the ticks that ran.
type ticker struct {
	mu    sync.Mutex
	ticks []string
}

func (k *ticker) handle(q *jobs.Queue) {
	jobs.Handle(q, func(ctx context.Context, _ Note) error {
		info, _ := jobs.InfoFrom(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.ticks = append(k.ticks, info.ID)
		return nil
	})
}

// schedulers runs five schedulers of the same schedule over three hours and
// answers the ids of the ticks that ran.
func schedulers(b *bench, d driver.Driver) []string {
	var k ticker
	var stops []func() error
	for range 5 {
		q, err := jobs.New(d, &jobs.Options{Logger: quiet})
		require.NoError(b, err)
		k.handle(q)
		require.NoError(b, q.Cron("five", "*/5 * * * *", Note{}, nil))
		stops = append(stops, run(b, q))
	}
	b.sleep(3*time.Hour - time.Second)
	for _, stop := range stops {
		require.NoError(b, stop())
	}
	return k.ticks
}

func TestCronFiresEachTickOnceOverManySchedulers(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		ticks := schedulers(b, b.d)
		slices.Sort(ticks)
		require.Len(b, ticks, 35, "synctest starts at midnight, the first tick is at 00:05")
		require.Len(b, slices.Compact(ticks), 35)
	})
}

// forgetful fires every tick it is asked to, as a library without a store does.
type forgetful struct {
	driver.Driver
	n atomic.Int64
}

func (f *forgetful) Fire(ctx context.Context, t driver.Tick) (driver.Fired, error) {
	fired, err := f.Driver.Fire(ctx, t)
	if err == nil && t.Job != nil && !fired.Fired && fired.Last.Equal(t.At) {
		again := *t.Job
		again.ID += "." + strconv.FormatInt(f.n.Add(1), 10)
		_, err = f.Driver.Push(ctx, driver.Push{Jobs: []driver.Job{again}})
	}
	return fired, err
}

func TestManySchedulersFindAForgetfulStore(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		require.Greater(b, len(schedulers(b, &forgetful{Driver: b.d})), 35)
	})
}

func TestCronZone(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var k ticker
		k.handle(b.q)
		require.NoError(b, b.q.Cron("berlin", "0 6 1 * *", Note{}, &jobs.CronOptions{Zone: "Europe/Berlin"}))
		stop := run(b, b.q)
		b.sleep(6 * time.Hour)
		require.NoError(b, stop())
		at := time.Date(2000, 1, 1, 5, 0, 0, 0, time.UTC)
		require.Equal(b, []string{"berlin@" + strconv.FormatInt(at.Unix(), 10)}, k.ticks)
	})
}

func TestCronCatchUp(t *testing.T) {
	for name, tt := range map[string]struct {
		opts *jobs.CronOptions
		away time.Duration
		want int
	}{
		"once":            {nil, 10 * time.Hour, 1},
		"once, too old":   {&jobs.CronOptions{MaxAge: time.Minute}, 10*time.Hour + 30*time.Minute, 0},
		"skip":            {&jobs.CronOptions{CatchUp: jobs.CatchUpSkip}, 10*time.Hour + 30*time.Minute, 0},
		"skip, just due":  {&jobs.CronOptions{CatchUp: jobs.CatchUpSkip}, 10*time.Hour + 30*time.Second, 1},
		"all":             {&jobs.CronOptions{CatchUp: jobs.CatchUpAll}, 10 * time.Hour, 10},
		"all, bounded":    {&jobs.CronOptions{CatchUp: jobs.CatchUpAll, MaxAge: 1e6 * time.Hour}, 1000 * time.Hour, 100},
		"all, not so old": {&jobs.CronOptions{CatchUp: jobs.CatchUpAll, MaxAge: 3 * time.Hour}, 1000 * time.Hour, 3},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(b *bench) {
				require.NoError(b, b.q.Cron("hourly", "@hourly", Note{}, tt.opts))
				stop := run(b, b.q)
				b.sleep(time.Minute)
				require.NoError(b, stop())
				b.sleep(tt.away - time.Minute)
				next := b.queue(&jobs.Options{Concurrency: -1, Logger: quiet})
				require.NoError(b, next.Cron("hourly", "@hourly", Note{}, tt.opts))
				stop = run(b, next)
				b.sleep(time.Second)
				require.NoError(b, stop())
				b.stats(jobs.Stats{Ready: tt.want})
			})
		})
	}
}

func TestCronOutlivesAnOutage(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var k ticker
		k.handle(b.q)
		stop := run(b, b.q)
		b.sleep(time.Second)
		require.NoError(b, b.q.Cron("minute", "* * * * *", Note{}, nil), "while it runs")
		b.sleep(2 * time.Minute)
		require.Len(b, k.ticks, 2)
		b.d.Fail(jobstest.OpFire, errDown)
		b.sleep(30 * time.Minute)
		b.d.Fail(jobstest.OpFire, nil)
		b.d.LoseReply(jobstest.OpFire, errors.New("connection reset"))
		b.sleep(2 * time.Second)
		require.Len(b, k.ticks, 3, "the latest missed tick")
		require.NoError(b, stop())
	})
}

func TestCronErrors(t *testing.T) {
	t.Parallel()
	q, err := jobs.New(jobstest.New(t), nil)
	require.NoError(t, err)
	for _, tt := range []struct {
		name, spec string
		args       jobs.Args
		opts       *jobs.CronOptions
		want       string
	}{
		{"", "@daily", Note{}, nil, "schedule name"},
		{strings.Repeat("x", 120), "@daily", Note{}, nil, "longer than"},
		{"a", "61 * * * *", Note{}, nil, "schedule a: field 1 (minute)"},
		{"a", "@daily", Note{}, &jobs.CronOptions{Zone: "Mars/Base"}, "Mars/Base"},
		{"a", "@daily", Note{}, &jobs.CronOptions{Zone: "Local"}, "Local"},
		{"a", "@daily", Note{}, &jobs.CronOptions{MaxAge: -1}, "MaxAge"},
		{"a", "@daily", Note{}, &jobs.CronOptions{CatchUp: 9}, "CatchUp"},
		{"a", "@daily", Note{}, &jobs.CronOptions{MaxAttempts: -1}, "MaxAttempts"},
		{"a", "@daily", nil, nil, "args are nil"},
		{"a", "@daily", (*Hourly)(nil), &jobs.CronOptions{NoOverlap: true}, "args are nil"},
	} {
		require.ErrorContains(t, q.Cron(tt.name, tt.spec, tt.args, tt.opts), tt.want)
	}
	require.NoError(t, q.Cron("a", "@daily", Note{}, nil))
	require.ErrorContains(t, q.Cron("a", "@daily", Note{}, nil), "twice")
}
