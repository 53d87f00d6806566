package jobs

import (
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
