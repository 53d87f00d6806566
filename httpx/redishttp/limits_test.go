package redishttp_test

import (
	"context"
	"fmt"
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

// foreign are values that somebody else wrote under our keys; later is a time in microseconds that is still to come.
func foreign(later int64) []string {
	values := []string{"", "x", "1", "1:2:3", "\x00\xff", "nan", "inf", strings.Repeat("1:", 1<<16)}
	numbers := []string{
		"0", "-5", "nan", "-nan", "inf", "1e400", "9e99", "0x10", "1.5", " 1", strconv.FormatInt(later, 10), strconv.FormatInt(later*1000, 10),
		"999", "9007199254740993", "9223372036854775808", strings.Repeat("9", 60), strings.Repeat("9", 400),
	}
	for _, n := range numbers {
		for _, full := range []string{n, strconv.FormatInt(later, 10)} {
			values = append(values, full+":0:1:1", full+":"+n+":1:1000000000000", full+":0:"+n+":1", full+":0:1:"+n, full+":"+n+":"+n+":"+n)
		}
	}
	return values
}

// plant holds a store to what it promises beside such a value: no error, no figure that the limit cannot have, and, once
// somebody has been denied, nothing that is not back when the bucket would be full.
func plant(ctx context.Context, rdb redis.UniversalClient, value string) error {
	limit := ratelimit.Limit{Rate: 1, Per: 1_000_000 * time.Second, Burst: 3}
	full := 3 * limit.Per
	store, err := redishttp.NewLimits(rdb, nil)
	if err != nil {
		return err
	}
	lim, err := ratelimit.New(store, "api", []ratelimit.Limit{limit}, &ratelimit.Options{Failure: ratelimit.FailClosed, Timeout: -1})
	if err != nil {
		return err
	}
	if _, err := lim.Allow(ctx, "k"); err != nil {
		return err
	}
	keys, err := rdb.Keys(ctx, "*").Result()
	if err != nil || len(keys) != 1 {
		return fmt.Errorf("the keys are %q: %w", keys, err)
	}
	if err := rdb.Set(ctx, keys[0], value, 0).Err(); err != nil {
		return err
	}
	for _, n := range []int64{0, 1, 3, 2, 1, 1} {
		d, err := lim.AllowN(ctx, "k", n)
		if err != nil {
			return fmt.Errorf("%d units: %w", n, err)
		}
		s := d.States[0]
		if s.Remaining < 0 || s.Remaining > 3 || s.Next < 0 || s.Next > limit.Per || s.Reset < 0 || s.Reset > full || d.RetryAfter > full {
			return fmt.Errorf("%d units: %+v", n, d)
		}
	}
	left, err := rdb.Do(ctx, "PTTL", keys[0]).Int64()
	if err != nil {
		return err
	}
	if left < 0 || left > full.Milliseconds()+1 {
		return fmt.Errorf("the key stays for %d ms", left)
	}
	return rdb.Del(ctx, keys[0]).Err()
}

// FuzzForeignValues: what somebody else wrote under our keys is not believed, and does no harm.
func FuzzForeignValues(f *testing.F) {
	rdb := client(f, testenv.Redis(f))
	for _, value := range foreign(time.Now().Add(time.Hour).UnixMicro()) {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		require.NoError(t, rdb.FlushDB(t.Context()).Err())
		require.NoError(t, plant(t.Context(), rdb, value), "%.200q", value)
	})
}

func TestForeignTypes(t *testing.T) {
	t.Parallel()
	rdb, ctx := client(t, testenv.Redis(t)), t.Context()
	lim, err := ratelimit.New(limits(t, rdb), "api", []ratelimit.Limit{{Rate: 1, Per: time.Hour}}, &ratelimit.Options{Failure: ratelimit.FailClosed, Timeout: -1})
	require.NoError(t, err)
	_, err = lim.Allow(ctx, "k")
	require.NoError(t, err)
	key := rdb.Keys(ctx, "*").Val()[0]
	require.NoError(t, rdb.Del(ctx, key).Err())
	require.NoError(t, rdb.LPush(ctx, key, "list").Err())
	d, err := lim.Allow(ctx, "k")
	require.NoError(t, err)
	require.True(t, d.Allowed)
}
