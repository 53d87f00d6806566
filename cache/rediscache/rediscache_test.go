package rediscache_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
	"github.com/ashlar-go/ashlar/cache/rediscache"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

func open(t testing.TB, rdb redis.UniversalClient) cache.Store {
	s, err := rediscache.New(rdb, &rediscache.Options{Prefix: t.Name()})
	require.NoError(t, err)
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(t *testing.T) cache.Store { return open(t, testenv.Redis(t)) }, cachetest.Features{})
}

// A server that knows nothing of script flags, and runs another Lua.
func TestConformanceMiniredis(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(t *testing.T) cache.Store {
		rdb := redis.NewClient(&redis.Options{Addr: ticking(t).Addr()})
		t.Cleanup(func() { rdb.Close() })
		return open(t, rdb)
	}, cachetest.Features{})
}

// A Cluster refuses scripts whose keys are of several slots, or undeclared.
func TestConformanceCluster(t *testing.T) {
	t.Parallel()
	rdb := testenv.RedisCluster(t, 3).Client()
	cachetest.Run(t, func(t *testing.T) cache.Store { return open(t, rdb) }, cachetest.Features{})
}

func TestNewRefusesClientsThatReadOldData(t *testing.T) {
	t.Parallel()
	for name, rdb := range map[string]redis.UniversalClient{
		"client-side cache": redis.NewClient(&redis.Options{ClientSideCacheConfig: &redis.ClientSideCacheConfig{}}),
		"replica reads":     redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"x:1"}, RouteByLatency: true}),
		"ring":              redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "x:1"}}),
	} {
		t.Cleanup(func() { rdb.Close() })
		_, err := rediscache.New(rdb, nil)
		require.Error(t, err, name)
	}
	_, err := rediscache.New(nil, nil)
	require.Error(t, err)
	_, err = rediscache.New(redis.NewClient(&redis.Options{}), &rediscache.Options{Prefix: "a{b}"})
	require.ErrorContains(t, err, "Prefix")
}

// What others wrote under our key must neither be served nor stop us for ever.
func TestForeignEntries(t *testing.T) {
	t.Parallel()
	rdb := testenv.Redis(t)
	ctx := context.Background()
	h, err := cache.New(open(t, rdb), &cache.Options{StoreTimeout: 20 * time.Second})
	require.NoError(t, err)
	c := cache.Define[string, string](h, "c", &cache.Policy{TTL: time.Hour})
	entry := func(key string) string { return t.Name() + ":e:{c::" + key + "}" }
	load := func(_ context.Context, k string) (string, error) { return "loaded " + k, nil }
	for i, raw := range []string{
		"", "foo", "C1", "C1V0", "C1L", "C9V0aaaaaaaaaaaaaaaa00000000000000000000000000000rest",
		"C1V0aaaaaaaaaaaaaaaa0000000000000notanumber!!!!!rest",
		"C1V0aaaaaaaaaaaaaaaa00000000000009999999999999999garbage",
		"C1V0aaaaaaaaaaaaaaaa000000000000099999999999999990000000000000000007garbage",
		"C1V0aaaaaaaaaaaaaaaa00000000000009999999999999999-000000000000000007garbage",
	} {
		key := fmt.Sprint(i)
		require.NoError(t, rdb.Set(ctx, entry(key), raw, 0).Err())
		v, err := c.Fetch(ctx, key, load)
		require.NoError(t, err)
		require.Equal(t, "loaded "+key, v)
		v, err = c.Fetch(ctx, key, func(context.Context, string) (string, error) { return "", fmt.Errorf("not replaced: %q", raw) })
		require.NoError(t, err)
		require.Equal(t, "loaded "+key, v)
	}
	require.NoError(t, rdb.HSet(ctx, entry("hash"), "f", "v").Err())
	v, err := c.Fetch(ctx, "hash", load)
	require.NoError(t, err)
	require.Equal(t, "loaded hash", v)
	require.NoError(t, rdb.HGet(ctx, entry("hash"), "f").Err(), "another type's data was destroyed")
}

// ticking is a miniredis whose keys end in real time.
func ticking(t *testing.T) *miniredis.Miniredis {
	m := miniredis.RunT(t)
	const step = 5 * time.Millisecond
	tick := time.NewTicker(step)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				m.FastForward(step)
			}
		}
	})
	t.Cleanup(func() { tick.Stop(); close(stop); wg.Wait() })
	return m
}
