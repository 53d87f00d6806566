package jobs

import (
	"context"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func TestBackoffIsBounded(t *testing.T) {
	t.Parallel()
	var total time.Duration
	for attempt := 1; attempt < 400; attempt++ {
		d := (*Options)(nil).backoff(attempt)
		require.Positive(t, d)
		require.LessOrEqual(t, d, 24*time.Hour)
		if attempt < 20 {
			total += d
		}
	}
	require.InDelta(t, 5.8, total.Hours()/24, 0.4, "the days the documentation speaks of")
	for _, attempt := range []int{math.MinInt, -1, 0, math.MaxInt} {
		require.Positive(t, (*Options)(nil).backoff(attempt))
	}
	for result, want := range map[time.Duration]time.Duration{
		math.MaxInt64: 24 * time.Hour, math.MinInt64: 0, time.Second: time.Second,
	} {
		o := &Options{Backoff: func(int) time.Duration { return result }}
		require.Equal(t, want, o.backoff(1))
	}
}

func TestWorkersOfTenantsHoldFewJobs(t *testing.T) {
	t.Parallel()
	with := func(ctx context.Context, _ string) context.Context { return ctx }
	require.Zero(t, (*Options)(nil).mostEach(), "without tenants")
	require.Zero(t, (&Options{Concurrency: 64}).mostEach(), "without tenants")
	for slots, each := range map[int]int{-1: 180, 1: 180, 64: 180, 180: 180, 181: 181, 500: 500} {
		require.Equal(t, each, (&Options{Concurrency: slots, WithTenant: with}).mostEach(), "%d slots", slots)
	}
}

func TestWorkersOfManyTenantsHoldMore(t *testing.T) {
	t.Parallel()
	q := &Queue{opts: &Options{Concurrency: 64, WithTenant: func(ctx context.Context, _ string) context.Context { return ctx }}}
	for _, c := range []struct {
		held              []int // of each tenant
		each, want, ahead int   // what may be asked for, and held beyond the slots by that
	}{
		{nil, 180, 400, 116},
		{[]int{100}, 80, 400, 116},
		{[]int{180}, 0, 0, 116},
		{[]int{200}, 0, 0, 116},
		{[]int{50, 50}, 130, 400, 296},
		{[]int{90, 10}, 90, 400, 136},
		{[]int{5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, 175, 400, 500},
		{[]int{0, 0, 1}, 179, 400, 116},
	} {
		w := &worker{q: q, pool: newPool(q, 64)}
		for tenant, n := range c.held {
			for range n {
				a := &attempt{job: driver.Stored{Tenant: strconv.Itoa(tenant)}}
				if len(w.pool.slots) < 64 {
					w.pool.slots = append(w.pool.slots, a)
				} else {
					w.pool.waiting = append(w.pool.waiting, a)
				}
			}
		}
		x := &driver.Exchange{Want: 400}
		w.share(x)
		require.Equal(t, []int{c.each, c.want, c.ahead}, []int{x.Each, x.Want, w.mostAhead()}, c.held)
	}
}
