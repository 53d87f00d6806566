package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// shelf is data of many keys, with the batches in which it was read.
type shelf struct {
	mu      sync.Mutex
	version int
	absent  int // keys from here on do not exist
	batches [][]int
}

func (s *shelf) load(_ context.Context, missing []int) (map[int]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, slices.Clone(missing))
	out := make(map[int]string)
	for _, k := range missing {
		if s.absent == 0 || k < s.absent {
			out[k] = fmt.Sprintf("%d.%d", k, s.version)
		}
	}
	return out, nil
}

func hundred() (keys []int) {
	for i := range 100 {
		keys = append(keys, i)
	}
	return keys
}

func (p *process) trips() int64 {
	return p.count("acquire") + p.count("fill") + p.count("abandon") + p.count("renew")
}

func TestFetchManyInTwoRoundTrips(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		p, q := start(t, base.Node(), nil).run(t), start(t, base.Node(), &cache.Options{LocalBytes: -1})
		policy := &cache.Policy{TTL: time.Hour, Jitter: -1}
		here := cache.Define[int, string](p.Hub, "shelf", policy)
		there := cache.Define[int, string](q.Hub, "shelf", policy)
		src := shelf{absent: 98}
		want := func(c *cache.Cache[int, string], trips int64, of *process, batches int) {
			t.Helper()
			before := of.trips()
			got, err := c.FetchMany(t.Context(), append(hundred(), 1, 2, 3), src.load)
			require.NoError(t, err)
			require.Len(t, got, 98)
			require.Equal(t, fmt.Sprintf("42.%d", src.version), got[42])
			require.Equal(t, trips, of.trips()-before)
			require.Len(t, src.batches, batches)
		}
		want(here, 2, p, 1)
		require.Len(t, src.batches[0], 100, "each key once")
		want(here, 0, p, 1)
		want(there, 1, q, 1)

		src.version = 1
		require.NoError(t, p.Invalidate(t.Context(), here.All()))
		want(there, 3, q, 2)
		want(here, 1, p, 2)
		require.NoError(t, here.Invalidate(t.Context(), 3, 4))
		want(here, 2, p, 3)
		require.Equal(t, []int{3, 4}, src.batches[2])

		got, err := here.FetchMany(t.Context(), nil, nil)
		require.NoError(t, err)
		require.Empty(t, got)
	})
}

// Two processes that want the same keys in opposite order load each key once, and neither
// waits for the other before it has loaded its own.
func TestFetchManyDoesNotDeadlock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		var mu sync.Mutex
		loads := map[int]int{}
		load := func(_ context.Context, missing []int) (map[int]string, error) {
			<-time.After(time.Second)
			out := map[int]string{}
			mu.Lock()
			defer mu.Unlock()
			for _, k := range missing {
				loads[k]++
				out[k] = fmt.Sprint(k)
			}
			return out, nil
		}
		var wg sync.WaitGroup
		begin := time.Now()
		for i, p := range []*process{start(t, base.Node(), nil).run(t), start(t, base.Node(), nil).run(t)} {
			c := cache.Define[int, string](p.Hub, "shelf", minute)
			for n := range 4 {
				keys := hundred()[i*20+n*5:]
				if i == 1 {
					slices.Reverse(keys)
				}
				wg.Go(func() {
					got, err := c.FetchMany(t.Context(), keys, load)
					if err != nil || len(got) != len(keys) {
						t.Errorf("got %d values of %d, %v", len(got), len(keys), err)
					}
				})
			}
		}
		wg.Wait()
		require.LessOrEqual(t, time.Since(begin), 2*time.Second)
		for k, n := range loads {
			require.Equal(t, 1, n, "key %d", k)
		}
	})
}

func TestFetchManyFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := cache.Define[int, string](p.Hub, "shelf", minute)
		var src shelf
		_, err := c.FetchMany(t.Context(), []int{1, 2}, src.load)
		require.NoError(t, err)
		broken := errors.New("planted")
		got, err := c.FetchMany(t.Context(), []int{1, 2, 3}, func(context.Context, []int) (map[int]string, error) { return nil, broken })
		require.ErrorIs(t, err, broken)
		require.Equal(t, map[int]string{1: "1.0", 2: "2.0"}, got, "what needed no load")
		_, err = c.FetchMany(t.Context(), []int{3, 4}, func(context.Context, []int) (map[int]string, error) { panic("planted") })
		require.ErrorIs(t, err, cache.ErrLoadPanic)
		begin := time.Now()
		got, err = c.FetchMany(t.Context(), []int{3, 4}, src.load)
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.Zero(t, time.Since(begin), "a failed load gives its leases back")

		p.store.Down(true)
		got, err = c.FetchMany(t.Context(), []int{3, 4, 5}, src.load)
		require.NoError(t, err)
		require.Len(t, got, 3, "without the store it loads")

		ctx, leave := context.WithCancel(t.Context())
		release := make(chan struct{})
		ended := make(chan error, 1)
		go func() {
			_, err := c.FetchMany(ctx, []int{6}, func(context.Context, []int) (map[int]string, error) { <-release; return nil, nil })
			ended <- err
		}()
		synctest.Wait()
		leave()
		require.ErrorIs(t, <-ended, context.Canceled)
		close(release)

		q := start(t, cachetest.New(t), &cache.Options{Tenant: tenantIn})
		_, err = cache.Define[int, string](q.Hub, "shelf", minute).FetchMany(t.Context(), []int{1}, nil)
		require.ErrorIs(t, err, cache.ErrNoTenant)
	})
}

// An invalidation while a batch loads voids the lease of that key, and of no other.
func TestFetchManyAgainstAnInvalidation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := cache.Define[int, string](p.Hub, "shelf", minute)
		var src shelf
		_, err := c.FetchMany(t.Context(), []int{1, 2}, func(ctx context.Context, missing []int) (map[int]string, error) {
			m, err := src.load(ctx, missing)
			src.version = 1
			require.NoError(t, c.Invalidate(ctx, 2))
			return m, err
		})
		require.NoError(t, err)
		got, err := c.FetchMany(t.Context(), []int{1, 2}, src.load)
		require.NoError(t, err)
		require.Equal(t, map[int]string{1: "1.0", 2: "2.1"}, got)
	})
}
