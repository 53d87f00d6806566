package jobs

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
	require.Equal(t, 500, (*Options)(nil).mostAhead(), "without tenants")
	require.Equal(t, 500, (&Options{Concurrency: 64}).mostAhead(), "without tenants")
	for slots, ahead := range map[int]int{-1: 180, 1: 179, 64: 116, 179: 1, 180: 0, 181: 0, 500: 0} {
		require.Equal(t, ahead, (&Options{Concurrency: slots, WithTenant: with}).mostAhead(), "%d slots", slots)
	}
}
