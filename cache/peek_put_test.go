package cache_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

func TestPeek(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, minute)
		_, ok, err := c.Peek(t.Context(), "k")
		require.NoError(t, err)
		require.False(t, ok)
		_, ok, err = c.Peek(t.Context(), "k")
		require.NoError(t, err)
		require.False(t, ok, "looking takes no lease")
		src := source{}
		src.version.Store(7)
		get(t, c, "k", &src)
		before := p.count("acquire")
		v, ok, err := c.Peek(t.Context(), "k")
		require.NoError(t, err)
		require.True(t, ok)
		require.EqualValues(t, 7, v)
		require.Equal(t, before, p.count("acquire"), "memory answers")
		_, err = c.Fetch(t.Context(), "none", func(context.Context, string) (int64, error) { return 0, cache.ErrNotFound })
		require.ErrorIs(t, err, cache.ErrNotFound)
		_, ok, err = c.Peek(t.Context(), "none")
		require.ErrorIs(t, err, cache.ErrNotFound)
		require.False(t, ok)
		require.NoError(t, c.Invalidate(t.Context(), "k"))
		_, ok, _ = c.Peek(t.Context(), "k")
		require.False(t, ok)
		p.store.Down(true)
		_, _, err = c.Peek(t.Context(), "k")
		require.ErrorIs(t, err, cachetest.ErrDown)
	})
}

func TestPut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		p, q := start(t, base.Node(), nil).run(t), start(t, base.Node(), nil).run(t)
		of := func(p *process) *cache.Cache[string, int64] {
			return numbers(p, minute).VersionBy(func(v int64) int64 { return v })
		}
		here, there := of(p), of(q)
		src := source{}
		src.version.Store(5)
		for _, c := range []*cache.Cache[string, int64]{here, there} {
			require.EqualValues(t, 5, get(t, c, "k", &src))
		}
		read := func(want int64) {
			t.Helper()
			<-time.After(time.Millisecond) // the message
			for _, c := range []*cache.Cache[string, int64]{here, there} {
				v, err := c.Fetch(t.Context(), "k", never)
				require.NoError(t, err)
				require.Equal(t, want, v)
			}
		}
		require.NoError(t, here.Put(t.Context(), "k", 8))
		read(8)
		require.NoError(t, there.Put(t.Context(), "k", 7), "a writer who comes late")
		read(8)
		require.NoError(t, there.Put(t.Context(), "k", 9))
		read(9)

		require.Error(t, here.Put(t.Context(), "k", 0), "no version")
		require.NoError(t, here.Put(t.Context(), "new", 3))
		_, ok, err := here.Peek(t.Context(), "new")
		require.NoError(t, err)
		require.False(t, ok, "nothing was there to be replaced")

		p.store.Down(true)
		require.Error(t, here.Put(t.Context(), "k", 10))
		src.version.Store(10)
		require.EqualValues(t, 10, get(t, here, "k", &src), "the old value is not used here any more")
	})
}

// A value that a load brought late does not replace a newer one that was put.
func TestPutDuringALoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, minute).VersionBy(func(v int64) int64 { return v })
		v, err := c.Fetch(t.Context(), "k", func(ctx context.Context, _ string) (int64, error) {
			require.NoError(t, c.Put(ctx, "k", 2))
			return 1, nil
		})
		require.NoError(t, err)
		require.EqualValues(t, 1, v)
		src := source{}
		src.version.Store(2)
		require.EqualValues(t, 2, get(t, c, "k", &src))
	})
}

func TestRefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, minute)
		var src source
		get(t, c, "k", &src)
		src.version.Store(1)
		v, err := c.Refresh(t.Context(), "k", func(ctx context.Context, k string) (int64, error) {
			old, err := c.Fetch(ctx, k, never)
			require.NoError(t, err)
			require.Zero(t, old, "meanwhile the old value is served")
			return src.load(ctx, k)
		})
		require.NoError(t, err)
		require.EqualValues(t, 1, v)
		require.EqualValues(t, 1, get(t, c, "k", &src))
		require.EqualValues(t, 2, src.loads.Load())

		broken := errors.New("planted")
		_, err = c.Refresh(t.Context(), "k", func(context.Context, string) (int64, error) { return 0, broken })
		require.ErrorIs(t, err, broken)
		require.EqualValues(t, 1, get(t, c, "k", &src), "what was there stays")
		src.version.Store(3)
		v, err = c.Refresh(t.Context(), "other", src.load)
		require.NoError(t, err)
		require.EqualValues(t, 3, v)
	})
}
