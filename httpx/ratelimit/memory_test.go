package ratelimit_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

func TestMemoryConforms(t *testing.T) {
	httpxtest.RunLimits(t, func(*testing.T) ratelimit.Store { return ratelimit.NewMemory(nil) }, httpxtest.LimitFeatures{})
}

// A full table forgets who would be free again first: a flood of new keys does not set those free who used much.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, ratelimit.NewMemory(&ratelimit.MemoryOptions{Size: 10}), ratelimit.Limit{Rate: 100, Per: time.Hour})
		_, err := lim.AllowN(t.Context(), "heavy", 100)
		require.NoError(t, err)
		for i := range 10_000 {
			d, err := lim.Allow(t.Context(), fmt.Sprint("flood", i))
			require.NoError(t, err)
			require.True(t, d.Allowed)
			<-time.After(time.Millisecond)
		}
		d, err := lim.Allow(t.Context(), "heavy")
		require.NoError(t, err)
		require.False(t, d.Allowed)
		d, err = lim.AllowN(t.Context(), "flood9999", 0)
		require.NoError(t, err)
		require.EqualValues(t, 99, d.States[0].Remaining, "the last one is known")
		d, err = lim.AllowN(t.Context(), "flood0", 0)
		require.NoError(t, err)
		require.EqualValues(t, 100, d.States[0].Remaining, "the first is forgotten")
	})
}
