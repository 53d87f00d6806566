package redisjobs_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// Count is a job that leaves a mark in Redis.
type Count struct{ N int }

func (Count) Kind() string { return "count" }

// ran is the hash in which a Count adds one to its field.
const ran = "ran"

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// warnings counts what a queue logs.
type warnings struct {
	slog.Handler
	n atomic.Int64
}

func (w *warnings) Handle(ctx context.Context, r slog.Record) error {
	w.n.Add(1)
	return w.Handler.Handle(ctx, r)
}

func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// options are those of an impatient test: with its short lease a busy machine
// may take a living worker for dead, and jobs then run again.
func options() *jobs.Options {
	return &jobs.Options{
		Concurrency: 8, Lease: time.Second, MaxCrashes: -1, Logger: quiet,
		Backoff: func(int) time.Duration { return 10 * time.Millisecond },
	}
}

func queue(rdb redis.UniversalClient, opts *jobs.Options) (*jobs.Queue, error) {
	d, err := redisjobs.New(rdb, nil)
	if err != nil {
		return nil, err
	}
	return jobs.New(d, opts)
}

// counter is a queue over d whose Count jobs work on rdb.
func counter(d driver.Driver, rdb redis.UniversalClient, opts *jobs.Options) (*jobs.Queue, error) {
	q, err := jobs.New(d, opts)
	if err != nil {
		return nil, err
	}
	jobs.Handle(q, func(ctx context.Context, c Count) error {
		<-time.After(time.Millisecond) // so that a kill finds handlers at work
		return rdb.HIncrBy(ctx, ran, strconv.Itoa(c.N), 1).Err()
	})
	return q, nil
}

func start(t testing.TB, q *jobs.Queue) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := q.Run(ctx)
		if ctx.Err() == nil {
			t.Errorf("the queue stopped by itself: %v", err)
		}
		ended <- err
	}()
	return sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
}

func counts(n int) []jobs.Item {
	items := make([]jobs.Item, n)
	for i := range items {
		items[i] = jobs.Item{Args: Count{N: i}}
	}
	return items
}

// empty waits until nothing is ready, scheduled or running.
func empty(t testing.TB, q *jobs.Queue, within time.Duration) {
	t.Helper()
	late := time.After(within)
	for {
		stats, err := q.Stats(t.Context())
		if err == nil && stats == (driver.Stats{}) {
			return
		}
		select {
		case <-late:
			require.NoError(t, err)
			require.Equal(t, driver.Stats{}, stats, "the queue does not get empty")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tally reads how often each job ran; twice is what ran more than once.
func tally(t testing.TB, rdb redis.UniversalClient) (once map[int]int, twice int) {
	t.Helper()
	all, err := rdb.HGetAll(t.Context(), ran).Result()
	require.NoError(t, err)
	once = map[int]int{}
	for field, value := range all {
		var n, times int
		_, err := fmt.Sscan(field+" "+value, &n, &times)
		require.NoError(t, err)
		if once[n] = times; times > 1 {
			twice++
		}
	}
	return once, twice
}

// leftovers checks that finished jobs left nothing behind.
func leftovers(t testing.TB, rdb redis.UniversalClient) {
	t.Helper()
	for _, key := range []string{"ready", "due", "body", "meta", "clock", "dead", "unique", "lease"} {
		n, err := rdb.Exists(t.Context(), "jobs:{default}:"+key).Result()
		require.NoError(t, err)
		require.Zero(t, n, "key %s is left", key)
	}
	held, err := rdb.Keys(t.Context(), "jobs:{default}:held:*").Result()
	require.NoError(t, err)
	require.Empty(t, held)
}
