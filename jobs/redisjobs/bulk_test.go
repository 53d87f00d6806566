package redisjobs_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
)

// Operators requeue all dead jobs at a time, again and again, while workers
// bury them anew: each requeued job runs once for each time that it was counted.
func TestOperatorsRequeueAllBesideWorkers(t *testing.T) {
	t.Parallel()
	rdb := testenv.Redis(t)
	q, err := queue(rdb, &jobs.Options{Concurrency: 8, Lease: time.Minute, Logger: quiet})
	require.NoError(t, err)
	var runs atomic.Int64
	jobs.Handle(q, func(context.Context, Count) error {
		runs.Add(1)
		return jobs.Discard(errors.New("no"))
	})
	const n, operators, passes = 2000, 3, 3
	items := make([]jobs.Item, n)
	for i := range items {
		items[i] = jobs.Item{Args: Count{N: i}}
	}
	_, err = q.EnqueueMany(t.Context(), items)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	settle := func() {
		require.Eventually(t, func() bool {
			stats, err := q.Stats(t.Context())
			return err == nil && stats == jobs.Stats{Dead: n}
		}, time.Minute, time.Millisecond)
	}
	settle()

	var changed, found atomic.Int64
	var all sync.WaitGroup
	for range operators {
		all.Go(func() {
			for range passes {
				got, err := q.RequeueAll(t.Context(), jobs.Filter{State: jobs.Dead, Kind: "count", Error: "no"}, nil)
				if err != nil || got.Found != got.Changed+got.Skipped {
					t.Errorf("a pass: %+v, %v", got, err)
				}
				changed.Add(int64(got.Changed))
				found.Add(int64(got.Found))
			}
		})
	}
	all.Wait()
	settle()
	cancel()
	require.NoError(t, <-ended)
	require.EqualValues(t, n+changed.Load(), runs.Load())
	require.GreaterOrEqual(t, changed.Load(), int64(n), "the first pass alone takes all")
	require.LessOrEqual(t, changed.Load(), int64(operators*passes*n), "a pass takes each once")
	t.Logf("%d operators, %d passes each: %d found, %d requeued, %d runs", operators, passes, found.Load(), changed.Load(), runs.Load())
}
