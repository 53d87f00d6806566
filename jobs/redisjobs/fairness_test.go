package redisjobs_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// delays starts a worker on a queue in which a large tenant has very many jobs,
// enqueues one job for each of twenty small tenants while it works, again and
// again, and answers by how many jobs of the large one each was delayed: those
// that started after the enqueue had returned and before the small one did.
func delays(t *testing.T, handler time.Duration) (most, mean int) {
	t.Helper()
	const large, smalls, rounds = 50_000, 20, 5
	opts := options()
	opts.Lease = 15 * time.Second
	opts.Concurrency, opts.Tenant, opts.WithTenant = 0, tenantOf, withTenant
	q, err := queue(testenv.Redis(t), opts)
	require.NoError(t, err)
	_, err = q.EnqueueMany(withTenant(t.Context(), "large"), counts(large))
	require.NoError(t, err)

	var ran atomic.Int64
	started := map[string]chan int64{}
	for i := range smalls {
		started[fmt.Sprint("small", i)] = make(chan int64, 1)
	}
	jobs.Handle(q, func(ctx context.Context, _ Count) error {
		if tenant, _ := tenantOf(ctx); strings.HasPrefix(tenant, "small") {
			started[tenant] <- ran.Load()
			return nil
		}
		ran.Add(1)
		if handler > 0 {
			<-time.After(handler)
		}
		return nil
	})
	stop := start(t, q)
	var mu sync.Mutex
	sum := 0
	for round := range rounds {
		goal := int64((round + 1) * 1000)
		require.Eventually(t, func() bool { return ran.Load() >= goal }, time.Minute, time.Millisecond)
		var all sync.WaitGroup
		for tenant, begun := range started {
			all.Go(func() {
				if _, err := q.Enqueue(withTenant(t.Context(), tenant), Count{}, nil); err != nil {
					t.Error(err)
					return
				}
				from := ran.Load()
				delay := int(<-begun - from)
				mu.Lock()
				defer mu.Unlock()
				most, sum = max(most, delay), sum+max(delay, 0)
			})
		}
		all.Wait()
	}
	stats, err := q.Stats(t.Context())
	require.NoError(t, err)
	require.Greater(t, stats.Ready, large/2, "the large tenant must still wait, or this shows nothing")
	require.NoError(t, stop())
	return most, sum / smalls / rounds
}

func TestLargeTenantDelaysSmallOnesBriefly(t *testing.T) {
	t.Parallel()
	most, mean := delays(t, time.Millisecond)
	t.Logf("handlers of 1 ms: delayed by %d jobs of the large one at most, by %d on average", most, mean)
	require.Less(t, most, 200)

	// Of jobs that take no time a worker holds up to driver.MaxBatch ahead, which
	// are not overtaken.
	most, mean = delays(t, 0)
	t.Logf("empty handlers: by %d at most, by %d on average", most, mean)
	require.Less(t, most, 2*driver.MaxBatch)
}
