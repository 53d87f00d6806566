package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// fickle is a value whose codec fails.
type fickle struct {
	N    int
	Fail string
}

func (f fickle) MarshalJSON() ([]byte, error) {
	switch f.Fail {
	case "error":
		return nil, errors.New("cannot be written")
	case "panic":
		panic("cannot be written")
	}
	type plain fickle
	return json.Marshal(plain(f))
}

func TestCodecFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil)
		c := cache.Define[string, fickle](p.Hub, "fickle", minute)
		v, err := c.Fetch(t.Context(), "a", func(context.Context, string) (fickle, error) { return fickle{1, "error"}, nil })
		require.NoError(t, err, "the value is there, though it cannot be stored")
		require.Equal(t, 1, v.N)
		require.Len(t, p.seen.reported(), 1)
		_, err = c.Fetch(t.Context(), "b", func(context.Context, string) (fickle, error) { return fickle{1, "panic"}, nil })
		require.ErrorIs(t, err, cache.ErrLoadPanic)
		for range 2 {
			v, err = c.Fetch(t.Context(), "a", func(context.Context, string) (fickle, error) { return fickle{2, ""}, nil })
			require.NoError(t, err)
			require.Equal(t, fickle{2, ""}, v)
		}
	})
}

// During a deploy that changes a type, neither version reads the other's entries.
func TestSchemaChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type v1 struct{ Name string }
		type v2 struct {
			Name  string `json:"full_name"`
			Admin bool
		}
		base := cachetest.New(t)
		before := cache.Define[string, v1](start(t, base.Node(), nil).Hub, "users", minute)
		after := cache.Define[string, v2](start(t, base.Node(), nil).Hub, "users", minute)
		for range 3 {
			x, err := before.Fetch(t.Context(), "k", func(context.Context, string) (v1, error) { return v1{"ann"}, nil })
			require.NoError(t, err)
			require.Equal(t, v1{"ann"}, x)
			y, err := after.Fetch(t.Context(), "k", func(context.Context, string) (v2, error) { return v2{"ann", true}, nil })
			require.NoError(t, err)
			require.Equal(t, v2{"ann", true}, y)
		}
		y, err := after.Fetch(t.Context(), "k", nil)
		require.NoError(t, err)
		require.Equal(t, v2{"ann", true}, y)
	})
}

// A nil value in an interface is a value like others, from memory too.
func TestNilOfAnInterfaceType(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := cache.Define[string, any](p.Hub, "anything", minute)
		for range 3 {
			v, err := c.Fetch(t.Context(), "k", func(context.Context, string) (any, error) { return nil, nil })
			require.NoError(t, err)
			require.Nil(t, v)
		}
		require.EqualValues(t, missed, p.count("acquire"), "memory answers")
	})
}

// secretive writes what it cannot read.
type secretive struct{ N int }

func (*secretive) UnmarshalJSON([]byte) error { return errors.New("cannot be read") }

func TestValuesThatCannotBeReadAreReported(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil)
		c := cache.Define[string, secretive](p.Hub, "secretive", minute)
		for i := range 3 {
			v, err := c.Fetch(t.Context(), "k", func(context.Context, string) (secretive, error) { return secretive{i}, nil })
			require.NoError(t, err)
			require.Equal(t, i, v.N)
		}
		require.Len(t, p.seen.reported(), 2, "a cache that never hits must say why")
		require.ErrorContains(t, p.seen.reported()[0], "cannot be read")
	})
}

// Lives so long that sums of them overflow are refused, instead of ending at once.
func TestEndlessLives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		for _, policy := range []cache.Policy{{TTL: math.MaxInt64}, {TTL: time.Hour, Stale: math.MaxInt64}} {
			require.Panics(t, func() { numbers(p, &policy) })
			_, _, _, err := p.GetOrLoad(t.Context(), "k", policy.TTL, policy.Stale, nil, nil)
			require.Error(t, err)
		}
		const century = 100 * 365 * 24 * time.Hour
		c := numbers(p, &cache.Policy{TTL: century, Stale: century, NotFoundTTL: math.MaxInt64, LoadTimeout: math.MaxInt64, Jitter: -1})
		var src source
		for range 3 {
			get(t, c, "k", &src)
		}
		absent := func(context.Context, string) (int64, error) { src.loads.Add(1); return 0, cache.ErrNotFound }
		for range 3 {
			_, err := c.Fetch(t.Context(), "none", absent)
			require.ErrorIs(t, err, cache.ErrNotFound)
		}
		require.EqualValues(t, 2, src.loads.Load())
		require.EqualValues(t, 2*missed, p.count("acquire"), "memory answers")
	})
}
