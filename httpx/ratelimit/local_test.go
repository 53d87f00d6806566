package ratelimit_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

// A call that costs more than the part of this process is paid for in full, whatever is asked between: a cheap call, or a
// look at what is left, forgives nothing of it.
func TestLocalForgivesNothing(t *testing.T) {
	for name, between := range map[string][]int64{"nothing between": nil, "cheap calls": {1}, "looks": {0}, "both": {0, 1, 0}} {
		synctest.Test(t, func(t *testing.T) {
			store := httpxtest.NewLimits()
			store.Fail(errPlanned)
			lim := limiterWith(t, store, &ratelimit.Options{Processes: 100}, ratelimit.Limit{Rate: 199, Per: 199 * time.Second})
			ask := func(n int64) ratelimit.Decision {
				d, err := lim.AllowN(t.Context(), "k", n)
				require.NoError(t, err)
				return d
			}
			require.True(t, ask(199).Allowed)
			for range 3 {
				for _, n := range between {
					d := ask(n)
					require.Equal(t, n == 0, d.Allowed, name)
					require.Zero(t, d.States[0].Remaining)
				}
				d := ask(199)
				require.False(t, d.Allowed)
				require.Equal(t, 199*100*time.Second, d.RetryAfter, "%s: 199 units at a hundredth of the rate", name)
				<-time.After(d.RetryAfter)
				require.True(t, ask(199).Allowed, name)
			}
			d := ask(1)
			require.Equal(t, 199*100*time.Second, d.RetryAfter, "%s: one fits when all are back", name)
		})
	}
}
