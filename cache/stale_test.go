package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

var errBoom = errors.New("boom")

// A popular value is loaded again before it ends, once, while nobody waits.
func TestAPopularValueIsLoadedEarly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		var loads atomic.Int64
		slow := func(context.Context, string) (int64, error) {
			<-time.After(time.Second)
			return loads.Add(1), nil
		}
		policy := &cache.Policy{TTL: time.Minute, Jitter: -1}
		var caches []*cache.Cache[string, int64]
		for range 3 {
			caches = append(caches, numbers(start(t, base.Node(), nil).run(t), policy))
		}
		_, err := caches[0].Fetch(t.Context(), "k", slow)
		require.NoError(t, err)
		born := time.Now()
		for i := 0; loads.Load() == 1; i++ {
			require.Less(t, time.Since(born), time.Minute, "it ended first")
			before := time.Now()
			_, err := caches[i%3].Fetch(t.Context(), "k", slow)
			require.NoError(t, err)
			require.Zero(t, time.Since(before), "a caller waited")
			<-time.After(10 * time.Millisecond)
		}
		require.Greater(t, time.Since(born), 30*time.Second, "not in the first half of its life")
		require.EqualValues(t, 2, loads.Load())
	})
}

func TestWhatIsStoredTogetherEndsApart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil)
		c := numbers(p, &cache.Policy{TTL: 100 * time.Second})
		var src source
		const n = 200
		all := func() {
			for i := range n {
				get(t, c, fmt.Sprint(i), &src)
			}
		}
		all()
		ended := 0
		for range 5 {
			<-time.After(time.Second)
			all()
		}
		<-time.After(90 * time.Second)
		require.EqualValues(t, n, src.loads.Load(), "ended more than 5 % early")
		for range 5 {
			before := src.loads.Load()
			<-time.After(time.Second)
			all()
			if src.loads.Load() > before {
				ended++
			}
		}
		require.EqualValues(t, 2*n, src.loads.Load(), "lived longer than its TTL")
		require.Equal(t, 5, ended, "all ended in the same second")
	})
}

// While loading fails the last good value is served, and the source is spared by all.
func TestStaleIfError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		a, b := start(t, base.Node(), nil).run(t), start(t, base.Node(), nil).run(t)
		policy := &cache.Policy{TTL: time.Minute, Stale: time.Minute, StaleIfError: time.Hour, Jitter: -1}
		ca, cb := numbers(a, policy), numbers(b, policy)
		var src source
		get(t, ca, "k", &src)
		var tries atomic.Int64
		failing := func(context.Context, string) (int64, error) {
			tries.Add(1)
			<-time.After(100 * time.Millisecond)
			return 0, errBoom
		}
		<-time.After(3 * time.Minute)
		src.version.Store(1)
		var wg sync.WaitGroup
		for i := range 100 { // for 10 s, on both
			c := ca
			if i%2 == 0 {
				c = cb
			}
			wg.Go(func() {
				v, err := c.Fetch(t.Context(), "k", failing)
				if err != nil || v != 0 {
					t.Errorf("got %d, %v", v, err)
				}
			})
			<-time.After(100 * time.Millisecond)
		}
		wg.Wait()
		require.LessOrEqual(t, tries.Load(), int64(4), "tries of both together in 10 s, at 3 s each")
		require.ErrorIs(t, append(b.seen.reported(), a.seen.reported()...)[0], errBoom)
		<-time.After(3 * time.Second)
		require.EqualValues(t, 1, get(t, cb, "k", &src), "beyond Stale the new value is waited for")
		require.EqualValues(t, 1, get(t, ca, "k", &src))

		<-time.After(2 * time.Minute)
		src.version.Store(2)
		require.NoError(t, ca.Invalidate(t.Context(), "k"))
		_, err := cb.Fetch(t.Context(), "k", failing)
		require.ErrorIs(t, err, errBoom, "an invalidated value is not served, not even now")

		get(t, ca, "k", &src)
		<-time.After(63 * time.Minute)
		_, err = cb.Fetch(t.Context(), "k", failing)
		require.ErrorIs(t, err, errBoom, "it is over")
	})
}

// Beyond Stale, who finds another process loading waits for its value.
func TestStaleIfErrorWaitsForAnotherProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		policy := &cache.Policy{TTL: time.Minute, StaleIfError: time.Hour, Jitter: -1}
		a, b := start(t, base.Node(), nil).run(t), start(t, base.Node(), nil).run(t)
		ca, cb := numbers(a, policy), numbers(b, policy)
		var src source
		get(t, ca, "k", &src)
		<-time.After(2 * time.Minute)
		for i, fail := range []error{nil, errBoom} {
			release, got := make(chan struct{}), make(chan int64, 2)
			go func() {
				v, _ := ca.Fetch(t.Context(), "k", func(context.Context, string) (int64, error) { <-release; return 7, fail })
				got <- v
			}()
			synctest.Wait()
			go func() { v, _ := cb.Fetch(t.Context(), "k", never); got <- v }()
			<-time.After(time.Second + time.Millisecond)
			require.Empty(t, got, "round %d: somebody did not wait", i)
			begin := time.Now()
			close(release)
			require.EqualValues(t, 7, <-got)
			require.EqualValues(t, 7, <-got)
			require.Zero(t, time.Since(begin), "told at once")
			<-time.After(2 * time.Minute)
		}
	})
}

func TestSoftTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		policy := &cache.Policy{TTL: time.Minute, StaleIfError: time.Hour, SoftTimeout: 50 * time.Millisecond, Jitter: -1}
		a, b := start(t, base.Node(), nil).run(t), start(t, base.Node(), nil).run(t)
		ca, cb := numbers(a, policy), numbers(b, policy)
		var src source
		get(t, ca, "k", &src)
		<-time.After(2 * time.Minute)
		slow := func(context.Context, string) (int64, error) { <-time.After(2 * time.Second); return 1, nil }
		for _, c := range []*cache.Cache[string, int64]{ca, ca, cb} {
			begin := time.Now()
			v, err := c.Fetch(t.Context(), "k", slow)
			require.NoError(t, err)
			require.EqualValues(t, 0, v, "the old value")
			require.InDelta(t, 50, time.Since(begin).Milliseconds(), 1)
		}
		<-time.After(2 * time.Second)
		v, err := cb.Fetch(t.Context(), "k", never)
		require.NoError(t, err, "the load went on in the background and was stored")
		require.EqualValues(t, 1, v)

		// Without an old value the loader waits, and others load by themselves.
		loaded := make(chan time.Duration)
		begin := time.Now()
		go func() {
			_, _ = ca.Fetch(t.Context(), "new", slow)
			loaded <- time.Since(begin)
		}()
		synctest.Wait()
		v, err = cb.Fetch(t.Context(), "new", func(context.Context, string) (int64, error) { return 5, nil })
		require.NoError(t, err)
		require.EqualValues(t, 5, v)
		require.Less(t, time.Since(begin), 200*time.Millisecond)
		require.Equal(t, 2*time.Second, <-loaded)
		v, err = cb.Fetch(t.Context(), "new", never)
		require.NoError(t, err)
		require.EqualValues(t, 1, v, "what was loaded aside was not stored")
	})
}

// With the store down the source gets no more than MaxLoads at a time from a process.
func TestLoadsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil)
		c := numbers(p, &cache.Policy{TTL: time.Minute, MaxLoads: 10})
		p.store.Down(true)
		var running, most, done, shed atomic.Int64
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				_, err := c.Fetch(t.Context(), fmt.Sprint(i), func(context.Context, string) (int64, error) {
					n := running.Add(1)
					for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
					}
					<-time.After(300 * time.Millisecond)
					running.Add(-1)
					return 1, nil
				})
				switch {
				case err == nil:
					done.Add(1)
				case errors.Is(err, cache.ErrLoadShed):
					shed.Add(1)
				default:
					t.Errorf("got %v", err)
				}
			})
		}
		begin := time.Now()
		wg.Wait()
		require.EqualValues(t, 10, most.Load())
		require.EqualValues(t, 40, done.Load(), "four turns of ten begin within a second")
		require.EqualValues(t, 960, shed.Load())
		require.Less(t, time.Since(begin), 1300*time.Millisecond)
		require.EqualValues(t, 960, p.seen.metric("cache.shed"))
		var src source
		get(t, c, "after", &src)
	})
}

func TestAShedLoadServesTheOldValue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil)
		c := numbers(p, &cache.Policy{TTL: time.Minute, StaleIfError: time.Hour, MaxLoads: 1, Jitter: -1})
		var src source
		get(t, c, "k", &src)
		<-time.After(2 * time.Minute)
		src.version.Store(1)
		release, left := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(left)
			_, _ = c.Fetch(t.Context(), "other", func(context.Context, string) (int64, error) { <-release; return 1, nil })
		}()
		synctest.Wait()
		require.EqualValues(t, 0, get(t, c, "k", &src))
		close(release)
		<-left
	})
}

// forgetful acknowledges invalidations and does not execute them, as a master whose replica
// takes over before it has heard of them.
type forgetful struct {
	*cachetest.Store
	forgets atomic.Bool
}

func (s *forgetful) Invalidate(ctx context.Context, keys, tags []string) error {
	if s.forgets.Load() {
		return nil
	}
	return s.Store.Invalidate(ctx, keys, tags)
}

func TestInvalidationsAreSaidAgainAfterAFailover(t *testing.T) {
	for name, fail := range map[string]func(*cachetest.Store){
		"the connection is lost": func(s *cachetest.Store) { s.Cut() },
		"a beat fails": func(s *cachetest.Store) {
			s.Intercept(func(op string) error {
				if op == "beat" {
					s.Intercept(nil)
					return errBoom
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				base := cachetest.New(t)
				node := base.Node()
				store := &forgetful{Store: node}
				h, err := cache.New(store, &cache.Options{Logger: quiet})
				require.NoError(t, err)
				a := (&process{Hub: h, store: node}).run(t)
				b := start(t, base.Node(), nil).run(t)
				tags := func(k string) []string { return []string{"of " + k} }
				ca, cb := numbers(a, minute).TagBy(tags), numbers(b, minute).TagBy(tags)
				var src source
				for _, k := range []string{"byKey", "byTag", "old"} {
					get(t, ca, k, &src)
					get(t, cb, k, &src)
				}
				src.version.Store(1)
				store.forgets.Store(true)
				require.NoError(t, ca.Invalidate(t.Context(), "old"))
				<-time.After(31 * time.Second)
				require.NoError(t, ca.Invalidate(t.Context(), "byKey"))
				require.NoError(t, a.InvalidateTags(t.Context(), "of byTag"))
				require.EqualValues(t, 0, get(t, cb, "byKey", &src), "forgotten")
				store.forgets.Store(false)
				fail(node)
				<-time.After(5 * time.Second)
				require.EqualValues(t, 1, get(t, cb, "byKey", &src))
				require.EqualValues(t, 1, get(t, cb, "byTag", &src))
				require.EqualValues(t, 0, get(t, cb, "old", &src), "that of more than 30 s ago is not said again")
				v, err := ca.Fetch(t.Context(), "byKey", never)
				require.NoError(t, err)
				require.EqualValues(t, 1, v)
			})
		})
	}
}
