package cache

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLateIsNeverEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		require.Positive(t, c.now())
		for range 5000 {
			late, now := c.late(), c.now()
			require.GreaterOrEqual(t, late, now)
			require.Less(t, late, now+3*tick)
			<-time.After(rand.N(2 * tick))
		}
	})
}

// A hub that nobody reads from must not wake the processor.
func TestTheClockStopsWhenNobodyAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		c.late()
		c.late()
		require.NotZero(t, c.shared.Load())
		<-time.After(3 * tick)
		synctest.Wait()
		require.Zero(t, c.shared.Load())
		<-time.After(time.Hour)
		require.Equal(t, c.now(), c.late(), "the first to ask again gets the exact time")
	})
}
