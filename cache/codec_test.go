package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// gobs is a codec from outside, under any name.
type gobs struct {
	gobCodec
	name string
}

func (g gobs) Name() string { return g.name }

// tap is a store that shows, and may change, the bodies that pass by.
type tap struct {
	*cachetest.Store
	filled func(body []byte)
	read   func(body []byte) []byte
}

func (s *tap) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	for _, f := range fills {
		if s.filled != nil {
			s.filled(f.Body)
		}
	}
	return s.Store.Fill(ctx, fills)
}

func (s *tap) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	entries, err := s.Store.Acquire(ctx, claims)
	for i := range entries {
		if s.read != nil && entries[i].State == cache.Filled {
			entries[i].Body = s.read(entries[i].Body)
		}
	}
	return entries, err
}

type article struct {
	Title string
	Text  string
}

func hubOn(t *testing.T, store cache.Store, seen *seams) *cache.Hub {
	t.Helper()
	h, err := cache.New(store, &cache.Options{LocalBytes: -1, Errors: seen, Logger: quiet})
	require.NoError(t, err)
	return h
}

func TestCodec(t *testing.T) {
	bubble(t, func(t *testing.T) {
		seen := &seams{}
		var bodies [][]byte
		store := &tap{Store: cachetest.New(t), filled: func(b []byte) { bodies = append(bodies, b) }}
		want := article{Title: "One", Text: "two"}
		var loads atomic.Int64
		load := func(context.Context, string) (article, error) { loads.Add(1); return want, nil }
		of := func(name string) *cache.Cache[string, article] {
			p := &cache.Policy{TTL: time.Minute}
			if name != "" {
				p.Codec = gobs{name: name}
			}
			return cache.Define[string, article](hubOn(t, store, seen), "articles", p)
		}
		// Processes of a rolling deploy take turns: no value is ever read by the other codec.
		for i := range 3 {
			for j, name := range []string{"gob1", "", "gob2"} {
				c := of(name)
				for range 2 {
					v, err := c.Fetch(t.Context(), "k", load)
					require.NoError(t, err)
					require.Equal(t, want, v)
				}
				require.EqualValues(t, 3*i+j+1, loads.Load(), "one load each time the codec changes")
			}
		}
		require.Empty(t, seen.reported())
		require.NotContains(t, string(bodies[0]), `"Title"`)
		require.Contains(t, string(bodies[1]), `{"Title":"One"`)
		require.Contains(t, string(bodies[2]), "article", "gob names its types")

		text := cache.Define[string, string](hubOn(t, store, seen), "text", &cache.Policy{TTL: time.Minute, Codec: gobCodec{}})
		for range 2 {
			v, err := text.Fetch(t.Context(), "k", func(context.Context, string) (string, error) { return "plain", nil })
			require.NoError(t, err)
			require.Equal(t, "plain", v)
		}
		require.NotEqual(t, 10+3+len("plain")+4, len(bodies[len(bodies)-1]), "strings go through the codec too, if there is one")
	})
}

func TestCodecThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		seen := &seams{}
		store := cachetest.New(t)
		c := cache.Define[string, func()](hubOn(t, store, seen), "functions", &cache.Policy{TTL: time.Minute, Codec: gobCodec{}})
		v, err := c.Fetch(t.Context(), "k", func(context.Context, string) (func(), error) { return func() {}, nil })
		require.NoError(t, err, "what cannot be stored is served all the same")
		require.NotNil(t, v)
		require.Len(t, seen.reported(), 1)
		require.ErrorContains(t, seen.reported()[0], "functions")
		require.ErrorContains(t, seen.reported()[0], "gob")
	})
}

func TestCompression(t *testing.T) {
	bubble(t, func(t *testing.T) {
		seen := &seams{}
		var last int
		store := &tap{Store: cachetest.New(t), filled: func(b []byte) { last = len(b) }}
		packing := cache.Define[string, article](hubOn(t, store, seen), "articles", &cache.Policy{TTL: time.Minute, CompressOver: 1000})
		plain := cache.Define[string, article](hubOn(t, store, seen), "articles", &cache.Policy{TTL: time.Minute})
		raw := cache.Define[string, []byte](hubOn(t, store, seen), "raw", &cache.Policy{TTL: time.Minute, CompressOver: 1000})
		never := func(context.Context, string) (article, error) { return article{}, errors.New("loaded again") }

		long := article{Title: "long", Text: strings.Repeat("the same again and again, ", 400)}
		for i, writer := range []*cache.Cache[string, article]{packing, plain} {
			key := fmt.Sprint(i)
			_, err := writer.Fetch(t.Context(), key, func(context.Context, string) (article, error) { return long, nil })
			require.NoError(t, err)
			require.Equal(t, writer == packing, last < 1000, "%d bytes", last)
			for _, reader := range []*cache.Cache[string, article]{packing, plain} {
				v, err := reader.Fetch(t.Context(), key, never)
				require.NoError(t, err, "processes with and without compression read each other's values")
				require.Equal(t, long, v)
			}
		}
		_, err := packing.Fetch(t.Context(), "short", func(context.Context, string) (article, error) {
			return article{Text: strings.Repeat("a", 900)}, nil
		})
		require.NoError(t, err)
		require.Greater(t, last, 900, "shorter than CompressOver")
		noise := make([]byte, 5000)
		for i, x := 0, uint32(1); i < len(noise); i++ {
			x = x*1664525 + 1013904223
			noise[i] = byte(x >> 24)
		}
		for range 2 {
			v, err := raw.Fetch(t.Context(), "noise", func(context.Context, string) ([]byte, error) { return noise, nil })
			require.NoError(t, err)
			require.Equal(t, noise, v)
		}
		require.InDelta(t, len(noise), last, 40, "what does not get shorter is left as it is")
		require.Empty(t, seen.reported())
	})
}

// What was damaged in the store is a missing value, whichever byte of it.
func TestCorruptedEntries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, over := range []int{-1, 10} {
			want := article{Title: "corrupted", Text: strings.Repeat("la", 50)}
			var damage func([]byte) []byte
			store := &tap{Store: cachetest.New(t), read: func(b []byte) []byte { return damage(b) }}
			c := cache.Define[string, article](hubOn(t, store, &seams{}), "articles", &cache.Policy{TTL: time.Minute, CompressOver: over})
			var loads, size int
			fetch := func() article {
				v, err := c.FetchWith(t.Context(), "k", func(context.Context, string, cache.Loaded[article]) (cache.Loaded[article], error) {
					loads++
					return cache.Loaded[article]{Value: want, Validator: "v1"}, nil
				})
				require.NoError(t, err)
				return v
			}
			damage = func(b []byte) []byte { size = len(b); return b }
			fetch()
			require.Equal(t, want, fetch())
			require.Equal(t, 1, loads)
			for cut := range size {
				damage = func(b []byte) []byte { return b[:min(cut, len(b))] }
				loads = 0
				require.Equal(t, want, fetch(), "cut at %d of %d", cut, size)
				require.Equal(t, 1, loads, "cut at %d of %d", cut, size)
			}
			for i := range size {
				for bit := range 8 {
					damage = func(b []byte) []byte {
						if i < len(b) {
							b[i] ^= 1 << bit
						}
						return b
					}
					loads = 0
					require.Equal(t, want, fetch())
					require.Equal(t, 1, loads, "bit %d of byte %d of %d", bit, i, size)
				}
			}
		}
	})
}
