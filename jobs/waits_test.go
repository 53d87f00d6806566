package jobs_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

// Whatever a job comes from, how long it waited is measured.
func TestWaitsOfAllJobsAreMeasured(t *testing.T) {
	var mu sync.Mutex
	waits := map[string]time.Duration{}
	watch := &jobs.Observer{Started: func(_ context.Context, job jobs.Info, wait time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		waits[job.ID] = wait
	}}
	take := func() map[string]time.Duration {
		mu.Lock()
		defer mu.Unlock()
		seen := waits
		waits = map[string]time.Duration{}
		return seen
	}
	bubble(t, &jobs.Options{Observer: watch}, func(b *bench) {
		ctx := b.Context()
		jobs.Handle(b.q, func(context.Context, Note) error { return nil })
		jobs.Handle(b.q, func(context.Context, Mail) error {
			<-time.After(time.Second)
			return nil
		})
		// Fired, and not worked on, by a process without handlers' slots.
		clock := b.queue(&jobs.Options{Concurrency: -1, Logger: quiet})
		require.NoError(b, clock.Cron("code", "@hourly", Note{}, &jobs.CronOptions{Jitter: 10 * time.Minute}))
		b.schedule(ctx, clock, "stored", "@hourly", Note{}, nil)
		stopClock := run(b, clock)
		b.sleep(time.Hour + 15*time.Minute)
		require.NoError(b, stopClock())
		fresh := b.enqueue(Note{}, nil).ID
		b.enqueue(Note{}, &jobs.EnqueueOptions{ID: "mine"})
		b.enqueue(Note{}, &jobs.EnqueueOptions{ID: "later", Delay: 3 * time.Second})
		_, err := b.q.Start(ctx, jobs.Flow{ID: "flow", Stages: [][]jobs.Item{
			jobs.Items(Mail{}),
			{{Args: Note{}}, {Args: Note{}, Options: &jobs.EnqueueOptions{Delay: 10 * time.Second}}},
		}})
		require.NoError(b, err)
		b.sleep(5 * time.Second)
		code := b.shown("code")
		next, err := code.Next(code.Last, 1) // its jitter included
		require.NoError(b, err)
		ticked := time.Since(next[0])
		stop := run(b, b.q)
		b.sleep(time.Minute)
		require.NoError(b, stop())
		require.Equal(b, map[string]time.Duration{
			fresh: 5 * time.Second, "mine": 5 * time.Second, "later": 2 * time.Second,
			"flow~0.0": 5 * time.Second, "flow~1.0": 0, "flow~1.1": 0,
			code.LastJob:              ticked,
			b.shown("stored").LastJob: 15*time.Minute + 5*time.Second,
		}, take())
	})
}
