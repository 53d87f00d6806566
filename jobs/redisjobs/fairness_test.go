package redisjobs_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// line is a worker of the queue of TestLargeTenantDelaysSmallOnesBriefly, and
// its store: it knows which jobs of the large tenant the worker got before each
// job of a small one. A worker starts its jobs in the order in which it gets
// them.
type line struct {
	*redisjobs.Driver
	q       *jobs.Queue
	started atomic.Int64 // jobs of the large tenant

	mu     sync.Mutex
	larges map[string]bool // what the worker got and has not given back
	place  map[string]int  // of a small one's: how many of them were there before
}

func (l *line) Exchange(ctx context.Context, x driver.Exchange) (driver.Batch, error) {
	batch, err := l.Driver.Exchange(ctx, x)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, out := range x.Done {
		if out.Action == driver.Return {
			delete(l.larges, out.ID)
		}
	}
	for _, job := range batch.Jobs {
		if bytes.Contains(job.Body, []byte(`"tenant":"large"`)) {
			l.larges[job.ID] = true
		} else {
			l.place[job.ID] = len(l.larges)
		}
	}
	return batch, err
}

// placeOf is where in the line a job of a small tenant was, if it was in this one.
func (l *line) placeOf(id string) (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	place, ok := l.place[id]
	return place, ok
}

// turns is a queue in which a large tenant has very many jobs, and twenty small
// tenants have one now and then.
type turns struct {
	lines []*line
	small map[string]chan []int64 // by tenant: what each line had started when its job did
}

func newTurns(t *testing.T, rdb *redis.Client, workers, concurrency int, handler time.Duration) *turns {
	c := &turns{small: map[string]chan []int64{}}
	for i := range 20 {
		c.small[fmt.Sprint("small", i)] = make(chan []int64, 1)
	}
	opts := options()
	opts.Lease = 15 * time.Second
	opts.Concurrency, opts.Tenant, opts.WithTenant = concurrency, tenantOf, withTenant
	for range workers {
		d, err := redisjobs.New(rdb, nil)
		require.NoError(t, err)
		l := &line{Driver: d, larges: map[string]bool{}, place: map[string]int{}}
		l.q, err = jobs.New(l, opts)
		require.NoError(t, err)
		jobs.Handle(l.q, func(ctx context.Context, _ Count) error {
			if tenant, _ := tenantOf(ctx); strings.HasPrefix(tenant, "small") {
				c.small[tenant] <- c.started()
				return nil
			}
			l.started.Add(1)
			if handler > 0 {
				<-time.After(handler)
			}
			return nil
		})
		c.lines = append(c.lines, l)
	}
	return c
}

// started is how many jobs of the large tenant each worker has started.
func (c *turns) started() []int64 {
	n := make([]int64, len(c.lines))
	for i, l := range c.lines {
		n[i] = l.started.Load()
	}
	return n
}

// delay enqueues a job of a small tenant and answers how many jobs of the large
// one stood in line before it, at the worker that got it, and had not started
// when Enqueue returned.
//
// Seen is how many the handlers saw start, at all workers, from then until the
// small one's handler ran: these are more if the machine takes the processor
// away from the thread that is about to run it.
func (c *turns) delay(ctx context.Context, tenant string) (delay, seen int64, err error) {
	receipt, err := c.lines[0].q.Enqueue(withTenant(ctx, tenant), Count{}, nil)
	if err != nil {
		return 0, 0, err
	}
	from := c.started()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	select {
	case <-ctx.Done():
		return 0, 0, fmt.Errorf("job %s has not run: %w", receipt.ID, ctx.Err())
	case started := <-c.small[tenant]:
		for i, n := range started {
			seen += n - from[i]
		}
	}
	for i, l := range c.lines {
		if place, ok := l.placeOf(receipt.ID); ok {
			return int64(place) - from[i], seen, nil
		}
	}
	return 0, 0, fmt.Errorf("job %s ran without having been handed out", receipt.ID)
}

// A worker of tenants holds 180 jobs at most, and of those that come with a small
// one's one is as early.
func TestLargeTenantDelaysSmallOnesBriefly(t *testing.T) {
	t.Parallel()
	const large, rounds, most = 60_000, 10, 181
	for _, c := range []struct {
		name                 string
		workers, concurrency int
		handler              time.Duration
	}{
		{"handlers of 1 ms", 1, 0, time.Millisecond},
		{"empty handlers", 1, 0, 0},
		{"64 empty handlers", 1, 64, 0},
		{"two workers with empty handlers", 2, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			queue := newTurns(t, testenv.Redis(t), c.workers, c.concurrency, c.handler)
			_, err := queue.lines[0].q.EnqueueMany(withTenant(t.Context(), "large"), counts(large))
			require.NoError(t, err)
			var stops []func() error
			for _, l := range queue.lines {
				stops = append(stops, start(t, l.q))
			}
			var mu sync.Mutex
			var delays, seen []int64
			for round := range rounds {
				stats, err := queue.lines[0].q.Stats(t.Context())
				require.NoError(t, err)
				if stats.Ready < large/2 { // the machine gave the workers more time than this loop
					_, err = queue.lines[0].q.EnqueueMany(withTenant(t.Context(), "large"), counts(large/2))
					require.NoError(t, err)
				}
				require.Eventually(t, func() bool {
					sum := int64(0)
					for _, n := range queue.started() {
						sum += n
					}
					return sum >= int64(round+1)*1000
				}, time.Minute, time.Millisecond)
				var all sync.WaitGroup
				for tenant := range queue.small {
					all.Go(func() {
						d, s, err := queue.delay(t.Context(), tenant)
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						defer mu.Unlock()
						delays, seen = append(delays, d), append(seen, s)
					})
				}
				all.Wait()
			}
			stats, err := queue.lines[0].q.Stats(t.Context())
			require.NoError(t, err)
			require.Greater(t, stats.Ready, large/4, "the large tenant must still wait, or this shows nothing")
			for _, stop := range stops {
				require.NoError(t, stop())
			}
			slices.Sort(delays)
			slices.Sort(seen)
			last := len(delays) - 1
			t.Logf("delayed by %d jobs of the large one at most, half of them by %d or fewer; handlers saw %d and %d",
				delays[last], delays[last/2], seen[last], seen[last/2])
			require.LessOrEqual(t, delays[last], int64(most))
		})
	}
}

// What a limit holds back counts for nobody, and weights are no reason to bring
// less: a tenant that has enough ends an answer, and nothing else does.
func TestSharesBesideLimits(t *testing.T) {
	t.Parallel()
	d, err := redisjobs.New(testenv.Redis(t), nil)
	require.NoError(t, err)
	require.NoError(t, d.Configure(t.Context(), []driver.Change{
		{Target: driver.Target{Tenant: "heavy"}, Weight: new(4)},
		{Target: driver.Target{Tenant: "limited"}, Limit: &driver.Limit{Running: 3}},
	}))
	push := func(tenant string, n int) {
		list := bulk(n)
		for i := range list {
			list[i].ID, list[i].Tenant = fmt.Sprint(tenant, "-", i), tenant
		}
		_, err := d.Push(t.Context(), driver.Push{Jobs: list})
		require.NoError(t, err)
	}
	push("limited", 40)
	push("heavy", 40)
	for i := range 10 {
		push(fmt.Sprint("tenant", i), 4)
	}
	_, err = d.Beat(t.Context(), driver.Beat{Worker: "w", Lease: time.Hour, Join: true})
	require.NoError(t, err)
	batch, err := d.Exchange(t.Context(), driver.Exchange{Worker: "w", Seq: 1, Want: 36, Each: 15})
	require.NoError(t, err)
	of := map[string]int{}
	for _, job := range batch.Jobs {
		of[job.Tenant]++
	}
	require.Equal(t, 36, len(batch.Jobs), of)
	require.Equal(t, 3, of["limited"])
	require.LessOrEqual(t, of["heavy"], 15)
}
