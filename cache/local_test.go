package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

type tenantName struct{}

func tenantIn(ctx context.Context) (string, bool) {
	id, ok := ctx.Value(tenantName{}).(string)
	return id, ok
}

// spot is a key, or a value, of several parts.
type spot struct {
	Country string
	Zip     int32
}

// hits returns how much is allocated by a hit in memory, on average.
func hits[K comparable](t *testing.T, p *process, name string, key K) float64 {
	c := cache.Define[K, spot](p.Hub, name, minute)
	ctx := context.WithValue(t.Context(), tenantName{}, "acme")
	load := func(context.Context, K) (spot, error) { return spot{"fr", 75001}, nil }
	fetch := func() {
		v, err := c.Fetch(ctx, key, load)
		if err != nil || v.Zip != 75001 {
			t.Errorf("got %v, %v", v, err)
		}
	}
	fetch()
	before := p.count("acquire")
	n := testing.AllocsPerRun(1000, fetch)
	require.Equal(t, before, p.count("acquire"), "these are no hits in memory")
	return n
}

func TestHitsInMemoryAllocateNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // not in parallel, which AllocsPerRun refuses
		p := start(t, cachetest.New(t), nil).run(t)
		q := start(t, cachetest.New(t), &cache.Options{Tenant: tenantIn}).run(t)
		for name, p := range map[string]*process{"no tenants": p, "tenants": q} {
			require.Zero(t, hits(t, p, "int", int64(1<<40)), name)
			require.Zero(t, hits(t, p, "string", "k"), name)
			require.Zero(t, hits(t, p, "struct", spot{"de", 10115}), name)
			require.Zero(t, hits(t, p, "array", [3]uint16{1, 2, 3}), name)
		}
	})
}

// Keys may be different values with one text, which then is one entry; invalidating it by
// either one removes both from memory.
func TestKeysOfTheSameText(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := cache.Define[time.Time, int64](p.Hub, "days", minute)
		var src source
		load := func(context.Context, time.Time) (int64, error) { return src.load(t.Context(), "") }
		day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
		same := day.In(time.FixedZone("UTC", 0))
		for range 3 {
			for _, k := range []time.Time{day, same} {
				v, err := c.Fetch(t.Context(), k, load)
				require.NoError(t, err)
				require.Equal(t, src.version.Load(), v)
			}
			src.version.Add(1)
			require.NoError(t, c.Invalidate(t.Context(), same))
		}
		require.EqualValues(t, 3, src.loads.Load())
	})
}

// One budget serves all caches of a hub.
func TestMemoryIsOneBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), &cache.Options{LocalBytes: 64 << 10}).run(t)
		value := string(make([]byte, 4<<10))
		kept := 0
		caches := make([]*cache.Cache[int, string], 8)
		for i := range caches {
			caches[i] = cache.Define[int, string](p.Hub, string(rune('a'+i)), minute)
		}
		read := func() {
			for i := range 10 {
				for _, c := range caches {
					v, err := c.Fetch(t.Context(), i, func(context.Context, int) (string, error) { return value, nil })
					require.NoError(t, err)
					require.Len(t, v, len(value))
				}
			}
		}
		read()
		before := p.count("acquire")
		read()
		kept = 80 - int(p.count("acquire")-before)
		require.Less(t, kept, 16, "values of 4 kB in 64 kB")
	})
}

// A value leaves memory when its time is over, a few milliseconds early at most.
func TestMemoryKeepsTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, &cache.Policy{TTL: time.Second, Jitter: -1})
		var src source
		get(t, c, "k", &src)
		begin := time.Now()
		for get(t, c, "k", &src) == 0 {
			src.version.Store(1)
			<-time.After(time.Millisecond)
		}
		require.InDelta(t, time.Second, time.Since(begin), float64(time.Millisecond), "the store has it to the end")
	})
}

func BenchmarkFetchFromMemory(b *testing.B) {
	for name, tenant := range map[string]func(context.Context) (string, bool){"plain": nil, "tenant": tenantIn} {
		b.Run(name, func(b *testing.B) {
			h, err := cache.New(cachetest.NewStore(), &cache.Options{Tenant: tenant})
			require.NoError(b, err)
			ctx, stop := context.WithCancel(context.WithValue(b.Context(), tenantName{}, "acme"))
			ended := make(chan error, 1)
			go func() { ended <- h.Run(ctx) }()
			c := cache.Define[int64, spot](h, "spots", minute)
			load := func(context.Context, int64) (spot, error) { return spot{"fr", 75001}, nil }
			b.ReportAllocs()
			for b.Loop() {
				_, _ = c.Fetch(ctx, 1, load)
			}
			stop()
			require.NoError(b, <-ended)
		})
	}
}
