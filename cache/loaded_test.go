package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// origin is a source that can be asked whether a value is still current.
type origin struct {
	revision   atomic.Int64
	asked      atomic.Int64
	unmodified atomic.Int64
	fail       atomic.Bool
	ttl        atomic.Int64
}

func (o *origin) load(_ context.Context, _ string, prev cache.Loaded[int64]) (cache.Loaded[int64], error) {
	o.asked.Add(1)
	if o.fail.Load() {
		return cache.Loaded[int64]{}, errBoom
	}
	now := fmt.Sprintf("r%d", o.revision.Load())
	l := cache.Loaded[int64]{Validator: now, TTL: time.Duration(o.ttl.Load())}
	if prev.Validator == now {
		o.unmodified.Add(1)
		return cache.Loaded[int64]{TTL: l.TTL}, fmt.Errorf("origin: %w", cache.ErrNotModified)
	}
	l.Value = o.revision.Load()
	return l, nil
}

func ask(t *testing.T, c *cache.Cache[string, int64], o *origin) int64 {
	t.Helper()
	v, err := c.FetchWith(t.Context(), "k", o.load)
	require.NoError(t, err)
	synctest.Wait()
	return v
}

func TestConditionalLoad(t *testing.T) {
	policies := map[string]*cache.Policy{
		"stale while a load asks":        {TTL: time.Minute, Jitter: -1, Stale: time.Hour},
		"kept for a load that may fail":  {TTL: time.Minute, Jitter: -1, StaleIfError: time.Hour},
		"the same, without local memory": {TTL: time.Minute, Jitter: -1, StaleIfError: time.Hour, NoLocal: true},
	}
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				base := cachetest.New(t)
				here := numbers(start(t, base.Node(), nil).run(t), policy)
				there := numbers(start(t, base.Node(), nil).run(t), policy)
				var o origin
				o.revision.Store(1)
				require.EqualValues(t, 1, ask(t, here, &o))
				for i := range 3 { // each time the other process asks, with the validator of the first
					<-time.After(61 * time.Second)
					c := []*cache.Cache[string, int64]{there, here}[i%2]
					require.EqualValues(t, 1, ask(t, c, &o))
					require.EqualValues(t, 1, ask(t, c, &o))
					require.EqualValues(t, 2+i, o.asked.Load(), "fresh again after the source confirmed it")
					require.EqualValues(t, 1+i, o.unmodified.Load())
				}
				o.revision.Store(2)
				<-time.After(61 * time.Second)
				ask(t, here, &o)
				require.EqualValues(t, 2, ask(t, here, &o))
				require.EqualValues(t, 2, ask(t, there, &o))
				require.EqualValues(t, 3, o.unmodified.Load())
			})
		})
	}
}

func TestConditionalLoadSeesNothingThatWasInvalidated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, &cache.Policy{TTL: time.Minute, Stale: time.Hour, Jitter: -1}).TagBy(func(string) []string { return []string{"t"} })
		var o origin
		invalidate := map[string]func() error{
			"key":   func() error { return c.Invalidate(t.Context(), "k") },
			"tag":   func() error { return p.InvalidateTags(t.Context(), "t") },
			"cache": func() error { return p.Invalidate(t.Context(), c.All()) },
		}
		for name, f := range invalidate {
			o.revision.Add(1)
			ask(t, c, &o)
			require.NoError(t, f())
			require.Equal(t, o.revision.Load(), ask(t, c, &o))
			require.Zero(t, o.unmodified.Load(), name)
		}
	})
}

func TestNotModifiedWithoutAPreviousValueIsAnError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, &cache.Policy{TTL: time.Minute, Stale: time.Hour, Jitter: -1})
		wrong := func(context.Context, string, cache.Loaded[int64]) (cache.Loaded[int64], error) {
			return cache.Loaded[int64]{Value: 7}, cache.ErrNotModified
		}
		_, err := c.FetchWith(t.Context(), "k", wrong)
		require.ErrorIs(t, err, cache.ErrNotModified)
		_, ok, err := c.Peek(t.Context(), "k")
		require.NoError(t, err)
		require.False(t, ok, "the zero value was kept")
		// A known absence is no value either.
		_, err = c.Fetch(t.Context(), "k", func(context.Context, string) (int64, error) { return 0, cache.ErrNotFound })
		require.ErrorIs(t, err, cache.ErrNotFound)
		<-time.After(31 * time.Second)
		_, err = c.FetchWith(t.Context(), "k", wrong)
		require.ErrorIs(t, err, cache.ErrNotModified)
		// Nor does it hide what a plain Fetch loaded.
		var src source
		src.version.Store(5)
		_, err = c.Fetch(t.Context(), "k", src.load)
		require.NoError(t, err)
		<-time.After(61 * time.Second)
		v, err := c.FetchWith(t.Context(), "k", wrong)
		require.NoError(t, err)
		synctest.Wait()
		require.EqualValues(t, 5, v)
		require.EqualValues(t, 5, get(t, c, "k", &src), "kept for another minute")
		require.EqualValues(t, 1, src.loads.Load())
	})
}

func TestLoadSaysTheTTL(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		here := numbers(start(t, base.Node(), nil).run(t), minute)
		there := numbers(start(t, base.Node(), nil).run(t), minute)
		var o origin
		both := func() {
			t.Helper()
			require.Equal(t, o.revision.Load(), ask(t, here, &o))
			require.Equal(t, o.revision.Load(), ask(t, there, &o))
		}
		for _, ttl := range []time.Duration{time.Hour, 2 * time.Second, 1} {
			o.ttl.Store(int64(ttl))
			o.asked.Store(0)
			both()
			<-time.After(ttl - ttl/10)
			both()
			require.EqualValues(t, 1, o.asked.Load(), ttl)
			<-time.After(max(ttl/5, 2*time.Millisecond))
			o.revision.Add(1)
			both()
			require.EqualValues(t, 2, o.asked.Load(), ttl)
			require.NoError(t, here.Invalidate(t.Context(), "k"))
		}
		o.ttl.Store(-1)
		o.asked.Store(0)
		both()
		both()
		require.EqualValues(t, 4, o.asked.Load(), "not to be kept")
		_, ok, err := here.Peek(t.Context(), "k")
		require.NoError(t, err)
		require.False(t, ok)
	})
}

// A value that is not to be kept takes the place of the one before, which is old.
func TestAValueThatIsNotKeptReplacesTheOld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, &cache.Policy{TTL: time.Minute, Stale: time.Hour, Jitter: -1})
		var o origin
		ask(t, c, &o)
		<-time.After(2 * time.Minute)
		o.revision.Add(1)
		o.ttl.Store(-1)
		require.EqualValues(t, 0, ask(t, c, &o), "stale, and a load in the background")
		<-time.After(2 * time.Millisecond)
		require.EqualValues(t, 1, ask(t, c, &o))
		require.EqualValues(t, 3, o.asked.Load())
	})
}

func TestConditionalLoadThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, &cache.Policy{TTL: time.Minute, StaleIfError: time.Hour, Jitter: -1})
		var o origin
		o.fail.Store(true)
		_, err := c.FetchWith(t.Context(), "k", o.load)
		require.ErrorIs(t, err, errBoom)
		o.fail.Store(false)
		o.revision.Store(3)
		ask(t, c, &o)
		<-time.After(2 * time.Minute)
		o.fail.Store(true)
		require.EqualValues(t, 3, ask(t, c, &o), "the old value instead of the error")
		<-time.After(4 * time.Second)
		o.fail.Store(false)
		require.EqualValues(t, 3, ask(t, c, &o))
		require.EqualValues(t, 1, o.unmodified.Load(), "the validator outlived the failure")

		p.store.Down(true)
		before := o.asked.Load()
		<-time.After(2 * time.Hour)
		require.EqualValues(t, 3, ask(t, c, &o), "without the store it loads from nothing")
		require.Equal(t, before+1, o.asked.Load())
		_, err = c.FetchWith(t.Context(), "p", func(context.Context, string, cache.Loaded[int64]) (cache.Loaded[int64], error) { panic("ouch") })
		require.ErrorIs(t, err, cache.ErrLoadPanic)
		require.False(t, errors.Is(err, errBoom))
	})
}
