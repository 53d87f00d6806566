package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

func TestMemoryIsOffWithoutRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil)
		c := numbers(p, minute)
		var src source
		for range 5 {
			get(t, c, "k", &src)
		}
		require.EqualValues(t, 1, src.loads.Load())
		require.EqualValues(t, missed+4, p.count("acquire"), "every fetch asks the store")

		p.run(t)
		for range 5 {
			get(t, c, "k", &src)
		}
		require.EqualValues(t, missed+5, p.count("acquire"), "the first fetch fills memory")
		require.EqualValues(t, 4, p.seen.metric("cache.hits")-5, "l1 hits beside five from the store")
		require.EqualValues(t, 1, src.loads.Load())
	})
}

func TestNoLocalAsksTheStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for name, p := range map[string]*process{
			"policy": start(t, cachetest.New(t), nil).run(t),
			"hub":    start(t, cachetest.New(t), &cache.Options{LocalBytes: -1}).run(t),
		} {
			var src source
			c := numbers(p, &cache.Policy{TTL: time.Minute, NoLocal: name == "policy"})
			for range 3 {
				get(t, c, "k", &src)
			}
			require.EqualValues(t, missed+2, p.count("acquire"), name)
		}
	})
}

// staleReads invalidates on one process and counts for how long another serves the old value
// from memory, whose events are lost without a sign.
func staleReads(t *testing.T) (stale time.Duration) {
	base := cachetest.New(t)
	a, b := start(t, base.Node(), nil), start(t, base.Node(), nil).run(t)
	ca, cb := numbers(a, minute), numbers(b, minute)
	var src source
	get(t, cb, "k", &src)
	b.store.DropEvents(true)
	src.version.Store(1)
	require.NoError(t, ca.Invalidate(t.Context(), "k"))
	begin := time.Now()
	for get(t, cb, "k", &src) != 1 && time.Since(begin) < 30*time.Second {
		<-time.After(10 * time.Millisecond)
	}
	stale = time.Since(begin)
	b.store.DropEvents(false)
	for range 100 {
		<-time.After(100 * time.Millisecond)
		require.EqualValues(t, 1, get(t, cb, "k", &src), "the old value came back with the connection")
	}
	return stale
}

func TestMemoryIsNotTrustedBeyondMaxStaleness(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stale := staleReads(t)
		require.LessOrEqual(t, stale, 2*time.Second)
		require.Greater(t, stale, time.Second, "memory was in use")
	})
}

// deafening loses events but lets beats through: a store that breaks its contract.
type deafening struct{ *cachetest.Store }

func (s deafening) Watch(ctx context.Context, node string, sink func(cache.Event)) error {
	return s.Store.Watch(ctx, node, func(e cache.Event) {
		if e.Kind != cache.EventInvalidated {
			sink(e)
		}
	})
}

func TestStalenessTestFindsAPlantedFault(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		a := start(t, base.Node(), nil)
		h, err := cache.New(deafening{base.Node()}, nil)
		require.NoError(t, err)
		b := (&process{Hub: h}).run(t)
		ca, cb := numbers(a, minute), numbers(b, minute)
		var src source
		get(t, cb, "k", &src)
		src.version.Store(1)
		require.NoError(t, ca.Invalidate(t.Context(), "k"))
		<-time.After(10 * time.Second)
		require.EqualValues(t, 0, get(t, cb, "k", &src), "without the events memory must be stale, or the test above proves nothing")
	})
}

func TestCutEmptiesMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		a, b := start(t, base.Node(), nil), start(t, base.Node(), nil).run(t)
		ca, cb := numbers(a, minute), numbers(b, minute)
		var src source
		for i := range int64(10) {
			src.version.Store(i)
			require.NoError(t, ca.Invalidate(t.Context(), "k"))
			synctest.Wait()
			get(t, cb, "k", &src)
			before := b.count("acquire")
			get(t, cb, "k", &src)
			require.Equal(t, before, b.count("acquire"), "memory is on")

			b.store.Cut()
			synctest.Wait()
			get(t, cb, "k", &src)
			get(t, cb, "k", &src)
			require.Equal(t, before+2, b.count("acquire"), "memory is off at once, and stays off")
			<-time.After(5 * time.Second)
			synctest.Wait()
		}
		require.NotEmpty(t, b.seen.reported())
	})
}

// silent events of a store that swallows beats only: the hub must look for another connection.
func TestSilentWatchIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		require.EqualValues(t, 1, p.count("watch"))
		p.store.DropEvents(true)
		<-time.After(20 * time.Second)
		require.Greater(t, p.count("watch"), int64(2))
		p.store.DropEvents(false)
		<-time.After(10 * time.Second)
		c := numbers(p, minute)
		var src source
		get(t, c, "k", &src)
		before := p.count("acquire")
		get(t, c, "k", &src)
		require.Equal(t, before, p.count("acquire"), "memory is on again")
	})
}

func TestOwnInvalidationIsSeenAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, minute).TagBy(func(string) []string { return []string{"tag"} })
		p.store.DropEvents(true) // its own messages are not needed
		var src source
		for i := range int64(50) {
			src.version.Store(i)
			switch i % 3 {
			case 0:
				require.NoError(t, c.Invalidate(t.Context(), "k"))
			case 1:
				require.NoError(t, p.InvalidateTags(t.Context(), "tag"))
			case 2:
				require.NoError(t, p.Invalidate(t.Context(), cache.Everything()))
			}
			require.EqualValues(t, i, get(t, c, "k", &src))
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), &cache.Options{LocalBytes: 64 << 10}).run(t)
		c := cache.Define[int, string](p.Hub, "big", minute)
		big := func(context.Context, int) (string, error) { return string(make([]byte, 4<<10)), nil }
		for i := range 100 {
			_, err := c.Fetch(t.Context(), i, big)
			require.NoError(t, err)
		}
		before := p.count("acquire")
		for i := range 100 {
			_, err := c.Fetch(t.Context(), i, big)
			require.NoError(t, err)
		}
		require.Greater(t, p.count("acquire")-before, int64(80), "more than 16 values of 4 kB were kept in 64 kB")
	})
}

func TestRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		require.ErrorIs(t, p.Run(t.Context()), cache.ErrRunning)
		require.ErrorIs(t, p.Shared().Run(t.Context()), cache.ErrRunning)
	})
}

func TestRunWaitsForLoads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil)
		c := numbers(p, minute)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		release, gone := make(chan struct{}), make(chan struct{})
		caller, leave := context.WithCancel(t.Context())
		go func() {
			defer close(gone)
			_, err := c.Fetch(caller, "k", func(context.Context, string) (int64, error) {
				<-release
				return 7, nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the caller left, yet got %v", err)
			}
		}()
		synctest.Wait()
		leave()
		<-gone
		stop()
		synctest.Wait()
		require.Empty(t, ended, "Run returned while a load was in progress")
		close(release)
		require.NoError(t, <-ended)
		v, err := c.Fetch(t.Context(), "k", never)
		require.NoError(t, err, "the load that outlived its caller was not stored")
		require.EqualValues(t, 7, v)
	})
}

// Callers who go on while the program stops must not keep it from stopping.
func TestRunEndsUnderTraffic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil)
		c := numbers(p, &cache.Policy{TTL: time.Minute, NoLocal: true})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		over := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 2 { // their loads overlap, so that there always is one in progress
			wg.Go(func() {
				<-time.After(time.Duration(i) * time.Second / 2)
				for n := 0; ; n++ {
					select {
					case <-over:
						return
					default:
					}
					_, _ = c.Fetch(t.Context(), fmt.Sprint(i, n), func(context.Context, string) (int64, error) {
						<-time.After(time.Second)
						return 1, nil
					})
				}
			})
		}
		<-time.After(10*time.Second + time.Second/4)
		stop()
		<-time.After(2 * time.Second)
		synctest.Wait()
		n := len(ended)
		close(over)
		wg.Wait()
		require.Equal(t, 1, n, "Run waits for loads that began after its end")
		require.NoError(t, <-ended)
	})
}

// What another caller reads from the store while the invalidation is on its way to it must
// not stay in memory, whether or not the message comes back.
func TestReadsDuringAnInvalidationDoNotStay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, minute)
		var src source
		get(t, c, "k", &src)
		src.version.Store(1)
		p.store.Intercept(func(op string) error {
			if op == "invalidate" {
				p.store.DropEvents(true)
				get(t, c, "k", &src)
				get(t, c, "k", &src)
			}
			return nil
		})
		require.NoError(t, c.Invalidate(t.Context(), "k"))
		require.EqualValues(t, 1, get(t, c, "k", &src))
	})
}
