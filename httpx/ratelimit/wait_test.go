package ratelimit_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, ratelimit.NewMemory(nil), ratelimit.Limit{Rate: 10, Per: time.Second, Burst: 1})
		start := time.Now()
		for range 31 {
			require.NoError(t, lim.Wait(t.Context(), "k", 1))
		}
		require.Equal(t, 3*time.Second, time.Since(start))

		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := lim.Wait(short, "k", 1)
		denied, ok := errors.AsType[*ratelimit.DeniedError](err)
		require.True(t, ok, err)
		require.Equal(t, 100*time.Millisecond, denied.Decision.RetryAfter)
		require.EqualError(t, err, "ratelimit: denied by api; try again in 100ms")
		require.Equal(t, 429, denied.HTTPStatus())
		require.Equal(t, 3*time.Second, time.Since(start), "it did not wait in vain")

		ended, stop := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, stop)
		require.ErrorIs(t, lim.Wait(ended, "k", 1), context.Canceled)
		require.ErrorIs(t, lim.Wait(t.Context(), "k", 2), ratelimit.ErrCost)
	})
}

// However many wait, each of them asks a few times, and in each process they come in turn.
func TestThoseWhoWaitTakeTurns(t *testing.T) {
	for _, processes := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			const waiters, each = 400, 10 * time.Millisecond
			store := httpxtest.NewLimits()
			orders := make([][]int, processes)
			var mu sync.Mutex
			var all sync.WaitGroup
			start := time.Now()
			for p := range processes {
				lim := limiter(t, store, ratelimit.Limit{Rate: 100, Per: time.Second, Burst: 1})
				for i := range waiters / processes {
					all.Go(func() {
						<-time.After(time.Duration(i) * time.Microsecond) // so that they come in order
						if err := lim.Wait(t.Context(), "k", 1); err != nil {
							t.Error(err)
						}
						mu.Lock()
						defer mu.Unlock()
						orders[p] = append(orders[p], i)
					})
				}
			}
			all.Wait()
			require.Equal(t, (waiters-1)*each, time.Since(start).Truncate(each), "not a unit was missed")
			t.Logf("%d waiters in %d processes asked %d times", waiters, processes, store.Takes())
			require.LessOrEqual(t, store.Takes(), waiters*(2+processes))
			for _, order := range orders {
				require.IsIncreasing(t, order)
				require.Len(t, order, waiters/processes)
			}
		})
	}
}

// Who gives up leaves the queue at once, wherever he is in it, and the others go on.
func TestThoseWhoWaitMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, ratelimit.NewMemory(nil), ratelimit.Limit{Rate: 1, Per: time.Second})
		require.NoError(t, lim.Wait(t.Context(), "k", 1))
		start := time.Now()
		var all sync.WaitGroup
		var served atomic.Int64
		for i := range 30 {
			all.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				left := time.Duration(i) * 10 * time.Millisecond
				if i%3 != 0 {
					time.AfterFunc(left, cancel)
				}
				switch err := lim.Wait(ctx, "k", 1); {
				case err == nil && i%3 == 0:
					served.Add(1)
				case !errors.Is(err, context.Canceled) || time.Since(start) != left:
					t.Errorf("%d after %v: %v", i, time.Since(start), err)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 10, served.Load())
		require.Equal(t, 10*time.Second, time.Since(start))
	})
}

// Users of one tenant do not wait for what another of them wants, unless it is the tenant's.
func TestThoseWhoWaitForOtherLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type user struct{}
		opts := &ratelimit.Options{Limits: func(ctx context.Context) ([]ratelimit.Limit, error) {
			name, _ := ctx.Value(user{}).(string)
			return []ratelimit.Limit{{Rate: 1, Per: time.Second, Burst: 100, Key: name}}, nil
		}}
		lim := limiterWith(t, ratelimit.NewMemory(nil), opts, ratelimit.Limit{Rate: 1, Per: time.Second})
		ann, ben := context.WithValue(t.Context(), user{}, "ann"), context.WithValue(t.Context(), user{}, "ben")
		for _, ctx := range []context.Context{ann, ben} {
			require.NoError(t, lim.Wait(ctx, "acme", 100))
		}
		start := time.Now()
		done := make(chan error)
		go func() { done <- lim.Wait(ann, "acme", 100) }()
		synctest.Wait()
		require.NoError(t, lim.Wait(ben, "acme", 1))
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, <-done)
		require.Equal(t, 100*time.Second, time.Since(start))
	})
}
