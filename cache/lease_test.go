package cache_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// A load that ignores the end of its context must not keep the key from others for ever.
func TestAHungLoadLosesItsLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		a, b := start(t, base.Node(), nil), start(t, base.Node(), nil)
		ca, cb := numbers(a, minute), numbers(b, minute)
		release, left := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(left)
			_, _ = ca.Fetch(t.Context(), "k", func(context.Context, string) (int64, error) { <-release; return 1, nil })
		}()
		synctest.Wait()
		<-time.After(20 * time.Second) // LoadTimeout is 10 s, the lease 3 s
		src := source{}
		src.version.Store(2)
		begin := time.Now()
		require.EqualValues(t, 2, get(t, cb, "k", &src))
		require.Zero(t, time.Since(begin), "the lease of a load that is over its time still stands")
		v, err := cb.Fetch(t.Context(), "k", never)
		require.NoError(t, err)
		require.EqualValues(t, 2, v)
		close(release)
		<-left
		v, err = cb.Fetch(t.Context(), "k", never)
		require.NoError(t, err)
		require.EqualValues(t, 2, v)
	})
}

// Without a bound on loads the others wait for as long as the lease is renewed.
func TestAnUnboundedLoadIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		var loads atomic.Int64
		var wg sync.WaitGroup
		for range 3 {
			c := numbers(start(t, base.Node(), nil), &cache.Policy{TTL: time.Minute, LoadTimeout: -1})
			wg.Go(func() {
				v, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int64, error) {
					loads.Add(1)
					<-time.After(time.Minute)
					return 7, nil
				})
				if err != nil || v != 7 {
					t.Errorf("got %d, %v", v, err)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, loads.Load())
	})
}

// That something is gone is an answer, also where it is not kept: the old value must go.
func TestARefreshThatFindsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		p, other := start(t, base.Node(), nil), start(t, base.Node(), nil)
		policy := &cache.Policy{TTL: time.Minute, Stale: time.Hour, NotFoundTTL: -1, Jitter: -1}
		c, co := numbers(p, policy), numbers(other, policy)
		var src source
		get(t, c, "k", &src)
		<-time.After(2 * time.Minute)
		gone := func(context.Context, string) (int64, error) { return 0, cache.ErrNotFound }
		_, err := c.Fetch(t.Context(), "k", gone)
		require.NoError(t, err, "stale, while it is refreshed")
		synctest.Wait()
		for _, c := range []*cache.Cache[string, int64]{c, co} {
			_, err = c.Fetch(t.Context(), "k", gone)
			require.ErrorIs(t, err, cache.ErrNotFound)
		}
		require.Empty(t, p.seen.reported(), "absence is no failure")
	})
}
