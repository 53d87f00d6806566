package jobs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// farStore is a driver two milliseconds away.
type farStore struct {
	driver.Driver
	mu    sync.Mutex
	taken []int
	held  int // now
	peak  int // the most that were held

	whose   map[string]string // held: tenants by id
	of      map[string]int    // how many of each tenant
	largest int               // the most that were held of one
}

func (f *farStore) Exchange(ctx context.Context, x driver.Exchange) (driver.Batch, error) {
	<-time.After(time.Millisecond)
	batch, err := f.Driver.Exchange(ctx, x)
	<-time.After(time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken = append(f.taken, len(batch.Jobs))
	f.held += len(batch.Jobs) - len(x.Done)
	f.peak = max(f.peak, f.held)
	if f.whose == nil {
		f.whose, f.of = map[string]string{}, map[string]int{}
	}
	for _, out := range x.Done {
		f.of[f.whose[out.ID]]--
	}
	for _, job := range batch.Jobs {
		f.whose[job.ID] = job.Tenant
		f.of[job.Tenant]++
		f.largest = max(f.largest, f.of[job.Tenant])
	}
	return batch, err
}

// most is the largest number of jobs that one answer had.
func (f *farStore) most() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Max(f.taken)
}

// notes enqueues n jobs in one call.
func (b *bench) notes(n int) {
	b.Helper()
	items := make([]jobs.Item, n)
	for i := range items {
		items[i].Args = Note{N: i}
	}
	_, err := b.q.EnqueueMany(b.Context(), items)
	require.NoError(b, err)
}

func TestFastHandlersDoNotWaitForTheStore(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		const n, slots, length = 2000, 8, 100 * time.Microsecond
		far := &farStore{Driver: b.d}
		q, err := jobs.New(far, &jobs.Options{Concurrency: slots, Logger: quiet})
		require.NoError(b, err)
		var ran atomic.Int32
		done := make(chan struct{})
		jobs.Handle(q, func(context.Context, Note) error {
			<-time.After(length)
			if ran.Add(1) == n {
				close(done)
			}
			return nil
		})
		b.notes(n)
		began := time.Now()
		stop := run(b, q)
		<-done
		ideal := n / slots * length // 25 ms; with one job a slot and call it takes 500
		require.Less(b, time.Since(began), ideal*2)
		require.NoError(b, stop())
		b.stats(jobs.Stats{})
	})
}

func TestSlowHandlersGetNoJobsAhead(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		far := &farStore{Driver: b.d}
		q, err := jobs.New(far, &jobs.Options{Concurrency: 4, Logger: quiet})
		require.NoError(b, err)
		jobs.Handle(q, func(context.Context, Note) error {
			<-time.After(100 * time.Millisecond)
			return nil
		})
		b.notes(100)
		stop := run(b, q)
		b.sleep(time.Second)
		for range 20 {
			b.sleep(7 * time.Millisecond)
			stats, err := b.q.Stats(b.Context())
			require.NoError(b, err)
			require.LessOrEqual(b, stats.Running, 4, "others may want them")
		}
		require.NoError(b, stop())
	})
}

// What a worker holds is not overtaken by the jobs of another tenant. They may
// come at any time, so it makes no difference that those held here have none.
func TestWorkersOfTenantsHoldFewJobsAhead(t *testing.T) {
	for _, c := range []struct {
		name            string
		opts            *jobs.Options
		tenants         int // whose the jobs are; zero: nobody's
		atLeast, atMost int
	}{
		{"no tenants", &jobs.Options{}, 0, 300, 508},
		{"tenants", withTenants(), 0, 150, 180},
		{"one tenant", withTenants(), 1, 150, 180},
		{"twenty tenants", withTenants(), 20, 300, 508},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.opts.Concurrency = 8
			bubble(t, c.opts, func(b *bench) {
				far := &farStore{Driver: b.d}
				q, err := jobs.New(far, c.opts)
				require.NoError(b, err)
				jobs.Handle(q, func(context.Context, Note) error {
					<-time.After(10 * time.Microsecond)
					return nil
				})
				items := make([]jobs.Item, 5000)
				for i := range items {
					items[i] = jobs.Item{Args: Note{N: i}, Options: &jobs.EnqueueOptions{NoTenant: c.tenants == 0}}
				}
				if c.tenants > 1 { // then they do not take turns all the time
					_, err = b.q.EnqueueMany(c.opts.WithTenant(b.Context(), "large"), items[:2000])
					require.NoError(b, err)
				}
				for i := range max(c.tenants, 1) {
					ctx := b.Context()
					if c.tenants > 0 {
						ctx = c.opts.WithTenant(ctx, fmt.Sprint("tenant", i))
					}
					n := len(items) / max(c.tenants, 1)
					_, err = b.q.EnqueueMany(ctx, items[i*n:(i+1)*n])
					require.NoError(b, err)
				}
				stop := run(b, q)
				b.sleep(time.Second)
				b.stats(jobs.Stats{})
				require.Greater(b, far.peak, c.atLeast)
				require.LessOrEqual(b, far.peak, c.atMost)
				if c.opts.WithTenant != nil {
					require.LessOrEqual(b, far.largest, 180)
				}
				require.NoError(b, stop())
			})
		})
	}
}

func TestJobsHeldAheadAreGivenBackWhenSlotsAreBusy(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		far := &farStore{Driver: b.d}
		q, err := jobs.New(far, &jobs.Options{Concurrency: 4, Logger: quiet, DrainTimeout: -1})
		require.NoError(b, err)
		var slow atomic.Bool
		jobs.Handle(q, func(ctx context.Context, _ Note) error {
			if slow.Load() {
				<-ctx.Done()
				return nil
			}
			<-time.After(100 * time.Microsecond)
			return nil
		})
		b.notes(2000)
		stop := run(b, q)
		b.sleep(50 * time.Millisecond)
		require.Greater(b, far.most(), 20, "jobs are held ahead")
		slow.Store(true)
		b.sleep(50 * time.Millisecond)
		stats, err := b.q.Stats(b.Context())
		require.NoError(b, err)
		require.Equal(b, 4, stats.Running, "what could not start is there for other workers")
		require.NoError(b, stop())
	})
}

// Two workers share jobs of very unequal length; the ideal is what a scheduler
// without distance would need, that gives each slot the next job in their order.
func TestHoldingAheadDoesNotStretchTheWhole(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		const n, slots = 2000, 8
		r := rand.New(rand.NewPCG(1, 2))
		lengths := make([]time.Duration, n)
		var free [2 * slots]time.Duration
		for i := range lengths {
			lengths[i] = time.Duration(r.Int64N(int64(400 * time.Microsecond)))
			if r.IntN(50) == 0 {
				lengths[i] = 20*time.Millisecond + time.Duration(r.Int64N(int64(200*time.Millisecond)))
			}
			slices.Sort(free[:])
			free[0] += lengths[i]
		}
		var ran atomic.Int32
		done := make(chan struct{})
		b.notes(n)
		began := time.Now()
		for range 2 {
			q, err := jobs.New(&farStore{Driver: b.d}, &jobs.Options{Concurrency: slots, Logger: quiet})
			require.NoError(b, err)
			jobs.Handle(q, func(_ context.Context, n Note) error {
				<-time.After(lengths[n.N])
				if ran.Add(1) == int32(len(lengths)) {
					close(done)
				}
				return nil
			})
			stop := run(b, q)
			defer func() { require.NoError(b, stop()) }()
		}
		<-done
		took, ideal := time.Since(began), slices.Max(free[:])
		b.Logf("%v, ideal %v: %.3f", took, ideal, float64(took)/float64(ideal))
		require.Less(b, took, ideal*6/5)
	})
}
