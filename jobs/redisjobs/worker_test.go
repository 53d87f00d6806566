package redisjobs_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
)

// The users' side of package jobs, on a real server: results, cancellation,
// progress and many callers at a time.
func TestUsersSideOnRedis(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t)
	keys, err := jobs.NewKeyring("k", map[string][]byte{"k": make([]byte, 32)})
	require.NoError(t, err)
	opts := options()
	opts.Codec = keys
	q, err := queue(server.Client(), opts)
	require.NoError(t, err)
	var block atomic.Bool
	jobs.HandleResult(q, func(ctx context.Context, c Count) (int, error) {
		if block.Load() {
			jobs.Progress(ctx, 1, 2, "blocked")
			<-ctx.Done()
			return 0, context.Cause(ctx)
		}
		return 2 * c.N, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	keep := &jobs.EnqueueOptions{Keep: time.Minute}

	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			r, err := q.Enqueue(t.Context(), Count{N: i}, keep)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := jobs.Await[int](t.Context(), q, r.ID)
			if err != nil || got != 2*i {
				t.Errorf("job %d: %d, %v", i, got, err)
			}
		})
	}
	callers.Wait()

	block.Store(true)
	r, err := q.Enqueue(t.Context(), Count{}, keep)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		found, err := q.Find(t.Context(), r.ID)
		return err == nil && len(found) == 1 && string(found[0].Progress) == `{"done":1,"total":2,"note":"blocked"}`
	}, time.Minute, time.Millisecond)
	n, err := q.Cancel(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = jobs.Await[int](t.Context(), q, r.ID)
	require.ErrorIs(t, err, jobs.ErrNotFound, "cancelled jobs are gone")

	cancel()
	require.NoError(t, <-ended)
	minutes, err := q.History(t.Context(), time.Now().Add(-time.Hour))
	require.NoError(t, err)
	finished := 0
	for _, m := range minutes {
		finished += m.Finished
	}
	require.Equal(t, 64, finished, "also what was done since the last beat")
}
