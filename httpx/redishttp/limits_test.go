package redishttp_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/httpx/ratelimit"
	"github.com/ashlar-go/ashlar/httpx/redishttp"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// client returns a client like c that obeys contexts.
func client(t testing.TB, c *redis.Client) *redis.Client {
	t.Helper()
	o := c.Options()
	rdb := redis.NewClient(&redis.Options{
		Network: o.Network, Addr: o.Addr, DB: o.DB, DialTimeout: time.Second, DialerRetries: 1, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func limits(t testing.TB, rdb redis.UniversalClient) ratelimit.Store {
	t.Helper()
	store, err := redishttp.NewLimits(rdb, nil)
	require.NoError(t, err)
	return store
}

// wait lets time pass for a server, whose clock nobody holds.
func wait(d time.Duration) { <-time.After(d) }

func TestLimitsConform(t *testing.T) {
	t.Parallel()
	httpxtest.RunLimits(t, func(t *testing.T) ratelimit.Store { return limits(t, client(t, testenv.Redis(t))) },
		httpxtest.LimitFeatures{Running: true, Tick: wait})
}

func TestLimitsConformOnCluster(t *testing.T) {
	t.Parallel()
	cluster := testenv.RedisCluster(t, 3)
	httpxtest.RunLimits(t, func(t *testing.T) ratelimit.Store {
		rdb := cluster.Client()
		require.NoError(t, rdb.ForEachMaster(t.Context(), func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() }))
		return limits(t, rdb)
	}, httpxtest.LimitFeatures{Running: true, Tick: wait})
}

// virtual is the script on a server whose clock the test holds, in this process: every figure is exact.
func virtual(t testing.TB) (redis.UniversalClient, httpxtest.LimitFeatures) {
	t.Helper()
	m := miniredis.RunT(t)
	now := time.Date(2030, 1, 2, 3, 4, 5, 678_000, time.UTC) // far from that of this process
	m.SetTime(now)
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { rdb.Close() })
	move := func(d time.Duration) {
		now = now.Add(d)
		m.SetTime(now)
	}
	return rdb, httpxtest.LimitFeatures{
		Tick: func(d time.Duration) { move(d); m.FastForward(d) },
		Back: func(d time.Duration) { move(-d) }, // what expires has its own clock there
	}
}

func TestLimitsConformExactly(t *testing.T) {
	t.Parallel()
	var f httpxtest.LimitFeatures
	var store ratelimit.Store
	fresh := func(t *testing.T) ratelimit.Store {
		var rdb redis.UniversalClient
		rdb, f = virtual(t)
		store = limits(t, rdb)
		return store
	}
	httpxtest.RunLimits(t, fresh, httpxtest.LimitFeatures{
		Tick: func(d time.Duration) { f.Tick(d) }, Back: func(d time.Duration) { f.Back(d) },
	})
}

// FuzzLimitWalk lets the script and the model go the same random ways.
func FuzzLimitWalk(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		rdb, features := virtual(t)
		require.NoError(t, httpxtest.WalkLimits(t.Context(), limits(t, rdb), features, seed, 300))
	})
}

// What is stored shows neither whom it is about nor any more than four numbers, goes away when it says nothing any more, and
// is in one slot for each decision.
func TestKeys(t *testing.T) {
	t.Parallel()
	rdb, ctx := client(t, testenv.Redis(t)), t.Context()
	store, err := redishttp.NewLimits(rdb, &redishttp.LimitsOptions{Prefix: "acme:limits"})
	require.NoError(t, err)
	lim, err := ratelimit.New(store, "login", []ratelimit.Limit{
		{Name: "minute", Rate: 5, Per: time.Minute}, {Name: "soon", Rate: 5, Per: 50 * time.Millisecond}, {Name: "user", Rate: 1, Per: time.Hour, Key: "ann@example.com"},
	}, &ratelimit.Options{Timeout: -1})
	require.NoError(t, err)
	d, err := lim.Allow(ctx, "203.0.113.7")
	require.NoError(t, err)
	require.True(t, d.Allowed)
	require.False(t, d.Fallback)
	keys := rdb.Keys(ctx, "*").Val()
	for _, key := range keys {
		require.Regexp(t, `^acme:limits:\{[A-Za-z0-9_-]{22}\}:login\.(minute|soon|user:[A-Za-z0-9_-]{22})$`, key)
		require.NotEqual(t, time.Duration(-1), rdb.PTTL(ctx, key).Val(), "%s expires", key)
		require.Equal(t, rdb.ClusterKeySlot(ctx, keys[0]).Val(), rdb.ClusterKeySlot(ctx, key).Val(), "one slot")
	}
	require.LessOrEqual(t, rdb.PTTL(ctx, keyWith(t, keys, "minute")).Val(), 12*time.Second+time.Millisecond, "when it is full")
	require.Eventually(t, func() bool { return len(rdb.Keys(ctx, "*").Val()) == 2 }, time.Minute, time.Millisecond, "a full bucket vanishes")
	require.NoError(t, lim.Reset(ctx, "203.0.113.7"))
	require.Empty(t, rdb.Keys(ctx, "*").Val())
}

func keyWith(t *testing.T, keys []string, part string) string {
	t.Helper()
	for _, key := range keys {
		if strings.Contains(key, part) {
			return key
		}
	}
	t.Fatalf("no key with %q in %v", part, keys)
	return ""
}

func TestOneRoundTrip(t *testing.T) {
	t.Parallel()
	base := testenv.Redis(t)
	proxy := testenv.Proxy(t, base.Options().Addr)
	rdb := redis.NewClient(&redis.Options{Addr: proxy.Addr, DB: base.Options().DB, ContextTimeoutEnabled: true, PoolSize: 1, DisableIdentity: true})
	t.Cleanup(func() { rdb.Close() })
	lim, err := ratelimit.New(limits(t, rdb), "api", []ratelimit.Limit{
		{Name: "a", Rate: 5, Per: time.Hour}, {Name: "b", Rate: 5, Per: time.Hour}, {Name: "c", Rate: 5, Per: time.Hour},
	}, &ratelimit.Options{Failure: ratelimit.FailClosed, Timeout: -1})
	require.NoError(t, err)
	_, err = lim.Allow(t.Context(), "first") // the connection is made and the script becomes known
	require.NoError(t, err)
	before := proxy.RoundTrips()
	for range 10 {
		_, err = lim.Allow(t.Context(), "k")
		require.NoError(t, err)
	}
	require.EqualValues(t, 10, proxy.RoundTrips()-before, "denied or allowed, of three limits")
}

func TestNewLimitsRefuses(t *testing.T) {
	t.Parallel()
	good := redis.NewClient(&redis.Options{ContextTimeoutEnabled: true})
	for want, c := range map[string]struct {
		rdb    redis.UniversalClient
		prefix string
	}{
		"the client is nil":          {nil, ""},
		"set ContextTimeoutEnabled":  {redis.NewClient(&redis.Options{}), ""},
		"ContextTimeoutEnabled":      {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}}), ""},
		"deadlines of contexts":      {redis.NewRing(&redis.RingOptions{}), ""},
		`Prefix "{a}" contains a br`: {good, "{a}"},
	} {
		_, err := redishttp.NewLimits(c.rdb, &redishttp.LimitsOptions{Prefix: c.prefix})
		require.ErrorContains(t, err, want)
	}
	_, err := redishttp.NewLimits(redis.NewClusterClient(&redis.ClusterOptions{ContextTimeoutEnabled: true}), nil)
	require.NoError(t, err)
}

// Values that somebody else wrote under our keys are not believed, and do no harm.
func TestForeignValues(t *testing.T) {
	t.Parallel()
	rdb, ctx := client(t, testenv.Redis(t)), t.Context()
	store := limits(t, rdb)
	take := ratelimit.Take{Key: "k", Add: ratelimit.Span{Micros: 1e12}, Room: ratelimit.Span{Micros: 3e12}, Rate: 1, Per: 1e12}
	for _, value := range []string{"", "x", "1", "-5:0:1:1", "9e99:0:1:1", "99999999999999999999999999:0:1:1", "99999999999999:0:0:0", "99999999999999999:9:1:99999999999999999999", "1:2:3"} {
		require.NoError(t, rdb.Set(ctx, "limits:{g}:k", value, 0).Err())
		backlogs, _, err := store.Take(ctx, "g", []ratelimit.Take{take})
		require.NoError(t, err, value)
		require.LessOrEqual(t, backlogs[0].Micros, int64(3e12), value)
		require.Positive(t, rdb.PTTL(ctx, "limits:{g}:k").Val(), "%q was replaced by one that expires", value)
	}
	later := strconv.FormatInt(time.Now().Add(time.Hour).UnixMicro(), 10)
	for range 2 { // of the very limit, with more parts of a microsecond than it has
		require.NoError(t, rdb.Set(ctx, "limits:{g}:k", later+":999:1:1000000000000", 0).Err())
		backlogs, taken, err := store.Take(ctx, "g", []ratelimit.Take{take})
		require.NoError(t, err)
		require.True(t, taken)
		require.Zero(t, backlogs[0].Parts)
	}
	require.NoError(t, rdb.Del(ctx, "limits:{g}:k").Err())
	require.NoError(t, rdb.LPush(ctx, "limits:{g}:k", "list").Err())
	_, taken, err := store.Take(ctx, "g", []ratelimit.Take{take})
	require.NoError(t, err)
	require.True(t, taken)
}
