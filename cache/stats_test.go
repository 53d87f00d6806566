package cache_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

func TestStats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), &cache.Options{Logger: quiet}).run(t)
		c := numbers(p, &cache.Policy{TTL: time.Minute, Stale: time.Hour, Jitter: -1, MaxLoads: 1})
		var src source
		read := func() cache.CacheStats {
			s := p.Stats()
			require.Len(t, s.Caches, 2)
			require.Empty(t, s.Caches[0].Name, "of GetOrLoad")
			require.Equal(t, "numbers", s.Caches[1].Name)
			return s.Caches[1]
		}
		require.Equal(t, cache.CacheStats{Name: "numbers"}, read())

		get(t, c, "k", &src)
		get(t, c, "k", &src)
		get(t, c, "k", &src)
		require.Equal(t, cache.CacheStats{Name: "numbers", Loads: 1, LocalHits: 2}, read())
		<-time.After(61 * time.Second)
		get(t, c, "k", &src)
		synctest.Wait()
		get(t, c, "k", &src)
		require.Equal(t, cache.CacheStats{Name: "numbers", Loads: 2, LocalHits: 3, Stale: 1}, read())

		slow := func(context.Context, string) (int64, error) { <-time.After(5 * time.Second); return 1, nil }
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() { _, _ = c.Fetch(t.Context(), "slow", slow) })
		}
		synctest.Wait()
		_, err := c.Fetch(t.Context(), "other", src.load)
		require.ErrorIs(t, err, cache.ErrLoadShed)
		callers.Wait()
		callers.Go(func() { _, _ = c.Fetch(t.Context(), "changed", slow) })
		synctest.Wait()
		require.NoError(t, c.Invalidate(t.Context(), "changed"))
		callers.Wait()
		got := read()
		require.EqualValues(t, 1, got.Shed)
		require.EqualValues(t, 3, got.Collapsed)
		require.EqualValues(t, 1, got.Rejected, "the load was invalidated meanwhile")
		_, err = c.Fetch(t.Context(), "bad", func(context.Context, string) (int64, error) { return 0, errBoom })
		require.ErrorIs(t, err, errBoom)
		require.Equal(t, got.LoadErrors+1, read().LoadErrors)

		_, _, _, err = p.GetOrLoad(t.Context(), "page", time.Minute, 0, nil, func(context.Context) ([]byte, error) { return []byte("x"), nil })
		require.NoError(t, err)
		s := p.Stats()
		require.EqualValues(t, 1, s.Caches[0].Loads)
		require.True(t, s.Coherent)
		require.Less(t, s.CoherenceAge, 2*time.Second)
		require.Equal(t, 3, s.LocalEntries, "k, slow and the page: %+v", s)
		require.Positive(t, s.LocalBytes)
		require.Positive(t, s.Up)
		require.Zero(t, s.StoreErrors+int64(s.Pending))

		p.store.Down(true)
		require.Error(t, c.Invalidate(t.Context(), "k"))
		for _, key := range []string{"x", "y", "z"} {
			get(t, c, key, &src)
		}
		<-time.After(3 * time.Second)
		s = p.Stats()
		require.True(t, s.StoreFailing)
		require.False(t, s.Coherent)
		require.GreaterOrEqual(t, s.Pending, 1)
		require.GreaterOrEqual(t, s.StoreErrors, int64(4))
		require.EqualValues(t, 3, s.Caches[1].Bypasses)
		p.store.Down(false)
		<-time.After(10 * time.Second)
		get(t, c, "x", &src)
		s = p.Stats()
		require.False(t, s.StoreFailing)
		require.True(t, s.Coherent)
		require.Zero(t, s.Pending)
	})
}
