package cache_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

func TestFetchLoadsWhileTheStoreIsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, minute)
		var src source
		get(t, c, "k", &src)
		p.store.Down(true)
		synctest.Wait() // the hub notices that it lost contact
		for i := range int64(100) {
			src.version.Store(i)
			require.Equal(t, i, get(t, c, "k", &src), "without the store every fetch loads")
		}
		require.LessOrEqual(t, p.count("acquire"), int64(missed+3), "the breaker spares a store that is down")
		require.Len(t, outages(p), 1, "an outage is reported once")
		p.store.Down(false)
		<-time.After(5 * time.Second)
		loads := src.loads.Load()
		get(t, c, "other", &src)
		get(t, c, "other", &src)
		require.Equal(t, loads+1, src.loads.Load(), "the store is used again")
	})
}

// outages are the reports about reading and filling, not about coherence.
func outages(p *process) (out []error) {
	for _, err := range p.seen.reported() {
		if strings.Contains(err.Error(), "store is failing") {
			out = append(out, err)
		}
	}
	return out
}

func TestAnInvalidationThatFailedIsNotForgotten(t *testing.T) {
	for name, withRun := range map[string]bool{"with Run": true, "without Run": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				base := cachetest.New(t)
				a, b := start(t, base.Node(), nil), start(t, base.Node(), nil)
				if withRun {
					a.run(t)
				}
				byTag := func(k string) []string { return []string{"tag:" + k} }
				ca, cb := numbers(a, minute).TagBy(byTag), numbers(b, minute).TagBy(byTag)
				var src source
				get(t, ca, "byKey", &src)
				get(t, ca, "byTag", &src)
				get(t, ca, "other", &src)
				src.version.Store(1)

				a.store.Down(true)
				require.ErrorIs(t, ca.Invalidate(t.Context(), "byKey"), cachetest.ErrDown)
				require.ErrorIs(t, a.InvalidateTags(t.Context(), "tag:byTag"), cachetest.ErrDown)
				require.EqualValues(t, 1, get(t, ca, "byKey", &src))
				require.EqualValues(t, 0, get(t, cb, "byKey", &src), "others cannot know, as the error said")

				a.store.Down(false)
				a.store.Intercept(func(op string) error {
					if op == "invalidate" {
						return errors.New("still refused")
					}
					return nil
				})
				for range 10 { // the store has the old values and can be read, but must not be
					<-time.After(time.Second)
					require.EqualValues(t, 1, get(t, ca, "byKey", &src))
					require.EqualValues(t, 1, get(t, ca, "byTag", &src))
					require.EqualValues(t, 0, get(t, ca, "other", &src), "what was not invalidated is cached")
				}
				a.store.Intercept(nil)
				<-time.After(5 * time.Second)
				get(t, ca, "byKey", &src)
				require.EqualValues(t, 1, get(t, cb, "byKey", &src), "the retry reached the others")
				require.EqualValues(t, 1, get(t, cb, "byTag", &src))
				v, err := ca.Fetch(t.Context(), "byKey", never)
				require.NoError(t, err, "after the retry the key is cached again")
				require.EqualValues(t, 1, v)
			})
		})
	}
}

func TestInvalidateGoesOnWhenTheRequestEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		a, b := start(t, base.Node(), nil), start(t, base.Node(), nil)
		ca, cb := numbers(a, minute), numbers(b, minute)
		var src source
		get(t, cb, "k", &src)
		src.version.Store(1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, ca.Invalidate(ctx, "k"))
		require.EqualValues(t, 1, get(t, cb, "k", &src))
	})
}

func TestAFailedFillGivesTheLeaseBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		a, b := start(t, base.Node(), nil), start(t, base.Node(), nil)
		a.store.Intercept(func(op string) error {
			if op == "fill" {
				return errors.New("out of memory")
			}
			return nil
		})
		ca, cb := numbers(a, minute), numbers(b, minute)
		var src source
		get(t, ca, "k", &src)
		begin := time.Now()
		get(t, cb, "k", &src)
		require.Zero(t, time.Since(begin), "others need not wait for the lease to end")
	})
}

func TestTenantFailsClosedBeforeIO(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), &cache.Options{Tenant: func(context.Context) (string, bool) { return "", false }})
		c := numbers(p, minute)
		_, err := c.Fetch(t.Context(), "k", never)
		require.ErrorIs(t, err, cache.ErrNoTenant)
		require.ErrorIs(t, c.Invalidate(t.Context(), "k"), cache.ErrNoTenant)
		require.ErrorIs(t, c.Invalidate(t.Context()), cache.ErrNoTenant)
		require.ErrorIs(t, p.InvalidateTags(t.Context(), "k"), cache.ErrNoTenant)
		require.ErrorIs(t, p.Invalidate(t.Context(), cache.Everything()), cache.ErrNoTenant)
		_, _, _, err = p.GetOrLoad(t.Context(), "k", time.Minute, 0, nil, nil)
		require.ErrorIs(t, err, cache.ErrNoTenant)
		p.calls.Range(func(op, _ any) bool {
			t.Errorf("%s was called", op)
			return true
		})

		shared := cache.Define[string, int64](p.Shared(), "shared", minute)
		var src source
		get(t, shared, "k", &src)
		_, _, status, err := p.Shared().GetOrLoad(t.Context(), "k", time.Minute, 0, nil, func(context.Context) ([]byte, error) { return nil, nil })
		require.NoError(t, err)
		require.Equal(t, cache.StatusMiss, status)
	})
}

func TestGetOrLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		call := func(v string, fail error) (string, time.Duration, string, error) {
			val, stored, status, err := p.GetOrLoad(t.Context(), "k", time.Minute, time.Hour, []string{"a"},
				func(context.Context) ([]byte, error) { <-time.After(time.Second); return []byte(v), fail })
			return string(val), time.Since(stored), status, err
		}
		var wg sync.WaitGroup
		statuses := make([]string, 2)
		for i := range statuses {
			wg.Go(func() { _, _, statuses[i], _ = call("1", nil) })
		}
		wg.Wait()
		require.ElementsMatch(t, []string{cache.StatusMiss, cache.StatusCollapsed}, statuses)
		for range 2 { // from the store, from memory
			<-time.After(10 * time.Second)
			v, _, status, err := call("2", nil)
			require.NoError(t, err)
			require.Equal(t, "1", v)
			require.Equal(t, cache.StatusHit, status)
		}
		_, age, _, _ := call("2", nil)
		require.Equal(t, 20*time.Second, age)
		<-time.After(time.Minute)
		v, age, status, _ := call("2", nil)
		require.Equal(t, []any{"1", 80 * time.Second, cache.StatusStale}, []any{v, age, status})
		<-time.After(2 * time.Second)
		v, age, status, _ = call("3", nil)
		require.Equal(t, []any{"2", time.Second, cache.StatusHit}, []any{v, age, status})
		require.NoError(t, p.InvalidateTags(t.Context(), "a"))
		for range 2 {
			_, _, _, err := call("", cache.ErrNotFound)
			require.Same(t, cache.ErrNotFound, err)
		}
		v, _, status, _ = call("4", nil)
		require.Equal(t, []any{"4", cache.StatusMiss}, []any{v, status})
		p.store.Down(true)
		require.Error(t, p.InvalidateTags(t.Context(), "a"))
		v, _, status, _ = call("5", nil)
		require.Equal(t, []any{"5", cache.StatusBypass}, []any{v, status})

		_, _, _, err := p.GetOrLoad(t.Context(), "k", 0, 0, nil, nil)
		require.Error(t, err)

		for name, n := range map[string]int{
			"cache.hits": 4, "cache.stale": 1, "cache.misses": 5, "cache.collapsed": 1, "cache.bypasses": 1,
		} {
			require.EqualValues(t, n, p.seen.metric(name), name)
		}
		require.Positive(t, p.seen.metric("cache.store_errors"))
	})
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	_, err := cache.New(nil, nil)
	require.Error(t, err)
	for _, o := range []cache.Options{{MaxStaleness: -1}, {MaxStaleness: time.Millisecond}, {Lease: -1}, {Lease: time.Millisecond}} {
		_, err := cache.New(cachetest.New(t), &o)
		require.Error(t, err)
	}
	h, err := cache.New(cachetest.New(t), nil)
	require.NoError(t, err)
	cache.Define[int, int](h, "taken", minute)
	require.Panics(t, func() { cache.Define[int, int](h, "taken", minute) })
	require.Panics(t, func() { cache.Define[int, int](h.Shared(), "taken", minute) })
	require.Panics(t, func() { cache.Define[int, int](h, "a:b", minute) })
	require.Panics(t, func() { cache.Define[int, int](h, "", minute) })
	require.Panics(t, func() { cache.Define[int, int](h, "_", minute) })
	require.Panics(t, func() { cache.Define[int, int](h, "nil", nil) })
	require.Panics(t, func() { cache.Define[int, int](h, "ttl", &cache.Policy{}) })
	require.Panics(t, func() { cache.Define[int, int](h, "stale", &cache.Policy{TTL: 1e9, Stale: -1, Jitter: -1}) })
	require.Panics(t, func() { cache.Define[float64, int](h, "float", minute) })
	require.Panics(t, func() { cache.Define[*int, int](h, "pointer", minute) })
	require.Panics(t, func() { cache.Define[struct{ a int }, int](h, "hidden", minute) })
}

// The store accepts the fill, because it has not heard of the invalidation.
func TestAFailedInvalidationDuringALoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, minute)
		p.store.Intercept(func(op string) error {
			if op == "invalidate" {
				return errors.New("refused")
			}
			return nil
		})
		read, release := make(chan struct{}), make(chan struct{})
		first, late := make(chan int64, 1), make(chan int64, 1)
		var src source
		go func() {
			v, _ := c.Fetch(t.Context(), "k", func(ctx context.Context, k string) (int64, error) {
				v, err := src.load(ctx, k)
				close(read)
				<-release
				return v, err
			})
			first <- v
		}()
		<-read
		src.version.Store(1)
		require.Error(t, c.Invalidate(t.Context(), "k"))
		go func() { v, _ := c.Fetch(t.Context(), "k", src.load); late <- v }()
		synctest.Wait()
		close(release)
		require.EqualValues(t, 0, <-first)
		require.EqualValues(t, 1, <-late)
		p.store.Intercept(nil)
		<-time.After(5 * time.Second)
		require.EqualValues(t, 1, get(t, c, "k", &src))
	})
}
