package ratelimit_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := []ratelimit.Limit{{Rate: 1, Per: time.Second}}
	memory := ratelimit.NewMemory(nil)
	for want, c := range map[string]struct {
		store  ratelimit.Store
		name   string
		limits []ratelimit.Limit
		opts   *ratelimit.Options
	}{
		"the store is nil":           {nil, "a", good, nil},
		`the name "" is not`:         {memory, "", good, nil},
		`the name "a b" is not`:      {memory, "a b", good, nil},
		"Failure(3)":                 {memory, "a", good, &ratelimit.Options{Failure: 3}},
		"Options.Processes is -1":    {memory, "a", good, &ratelimit.Options{Processes: -1}},
		"Options.Processes is 10001": {memory, "a", good, &ratelimit.Options{Processes: 10_001}},
	} {
		_, err := ratelimit.New(c.store, c.name, c.limits, c.opts)
		require.ErrorContains(t, err, want)
		require.NotErrorIs(t, err, ratelimit.ErrLimit)
	}
	for want, limits := range map[string][]ratelimit.Limit{
		"a has none":                      {},
		"a: Rate is 0":                    {{Per: time.Second}},
		"a: Rate is -1":                   {{Rate: -1, Per: time.Second}},
		"Rate is 9223372036854775807":     {{Rate: math.MaxInt64, Per: time.Second}},
		"a.b: Per is 0s":                  {{Name: "b", Rate: 1}},
		"Per is -1s":                      {{Rate: 1, Per: -time.Second}},
		"Per is 1.5µs":                    {{Rate: 1, Per: 1500}},
		"Per is 2562047h47m16.854775807s": {{Rate: 1, Per: math.MaxInt64}},
		"Burst is -5":                     {{Rate: 1, Per: time.Second, Burst: -5}},
		"Burst is 1000000000001":          {{Rate: 1, Per: time.Second, Burst: 1_000_000_000_001}},
		"takes more than ten years":       {{Rate: 1, Per: time.Second, Burst: 1_000_000_000_000}},
		"takes more than ten years to":    {{Rate: 1, Per: 87_000 * time.Hour, Burst: 1_000_000_000_000}},
		`Name "über" is not`:              {{Name: "über", Rate: 1, Per: time.Second}},
		"a.b: there are two of this name": {{Name: "b", Rate: 1, Per: time.Second}, {Name: "b", Rate: 2, Per: time.Second}},
	} {
		_, err := ratelimit.New(memory, "a", limits, nil)
		require.ErrorIs(t, err, ratelimit.ErrLimit, want)
		require.ErrorContains(t, err, want)
	}
}

func TestImpossibleCost(t *testing.T) {
	t.Parallel()
	store := httpxtest.NewLimits()
	lim := limiter(t, store, ratelimit.Limit{Name: "a", Rate: 100, Per: time.Hour}, ratelimit.Limit{Name: "b", Rate: 100, Per: time.Hour, Burst: 10})
	for _, n := range []int64{-1, math.MinInt64, 11, math.MaxInt64} {
		_, err := lim.AllowN(t.Context(), "k", n)
		require.ErrorIs(t, err, ratelimit.ErrCost)
	}
	require.Zero(t, store.Takes(), "nothing was asked of the store")
}

func TestTenants(t *testing.T) {
	t.Parallel()
	store := httpxtest.NewLimits()
	lim := limiterWith(t, store, &ratelimit.Options{Tenant: tenantFrom}, ratelimit.Limit{Rate: 1, Per: time.Hour})
	for _, id := range []string{"acme", "globex"} {
		ctx := withTenant(t.Context(), id)
		for _, key := range []string{"", "sms"} {
			d, err := lim.Allow(ctx, key)
			require.NoError(t, err)
			require.True(t, d.Allowed, "%s %q", id, key)
			d, err = lim.Allow(ctx, key)
			require.NoError(t, err)
			require.False(t, d.Allowed, "%s %q", id, key)
		}
	}
	before := store.Takes()
	for _, ctx := range []context.Context{t.Context(), withTenant(t.Context(), "")} {
		_, err := lim.Allow(ctx, "acme")
		require.ErrorIs(t, err, ratelimit.ErrNoTenant)
		require.ErrorIs(t, lim.Wait(ctx, "", 1), ratelimit.ErrNoTenant)
		require.ErrorIs(t, lim.Reset(ctx, ""), ratelimit.ErrNoTenant)
	}
	require.Equal(t, before, store.Takes(), "nothing was asked of the store")
}

// A tenant and a key never make the buckets of another tenant and key, nor those of a key without tenants.
func TestTenantsAndKeysDoNotMeet(t *testing.T) {
	t.Parallel()
	store := ratelimit.NewMemory(nil)
	with := limiterWith(t, store, &ratelimit.Options{Tenant: tenantFrom}, ratelimit.Limit{Rate: 1, Per: time.Hour})
	without := limiter(t, store, ratelimit.Limit{Rate: 1, Per: time.Hour})
	for _, pair := range [][2]string{{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"4:a", "b"}, {"", "2:abc"}, {"", "abc"}} {
		lim := with
		if pair[0] == "" {
			lim = without
		}
		d, err := lim.Allow(withTenant(t.Context(), pair[0]), pair[1])
		require.NoError(t, err)
		require.True(t, d.Allowed, pair)
	}
}

func TestLimitsOfAPlan(t *testing.T) {
	t.Parallel()
	planned := errors.New("planned")
	plans := map[string][]ratelimit.Limit{
		"free": nil, // those of New
		"pro":  {{Rate: 5, Per: time.Hour}},
		"odd":  {{Rate: -5, Per: time.Hour}},
	}
	opts := &ratelimit.Options{Tenant: tenantFrom, Limits: func(ctx context.Context) ([]ratelimit.Limit, error) {
		id, _ := tenantFrom(ctx)
		limits, ok := plans[id]
		if !ok {
			return nil, planned
		}
		return limits, nil
	}}
	lim := limiterWith(t, ratelimit.NewMemory(nil), opts, ratelimit.Limit{Rate: 2, Per: time.Hour})
	allowed := func(id string) (n int) {
		for range 10 {
			d, err := lim.Allow(withTenant(t.Context(), id), "")
			require.NoError(t, err)
			if d.Allowed {
				n++
			}
		}
		return n
	}
	require.Equal(t, 2, allowed("free"))
	require.Equal(t, 5, allowed("pro"))
	plans["free"] = plans["pro"]
	require.Equal(t, 3, allowed("free"), "an upgrade counts what was taken")
	_, err := lim.Allow(withTenant(t.Context(), "odd"), "")
	require.ErrorIs(t, err, ratelimit.ErrLimit)
	_, err = lim.Allow(withTenant(t.Context(), "unknown"), "")
	require.ErrorIs(t, err, planned)
}

// recorder tells what a store gets to see.
type recorder struct {
	*ratelimit.Memory
	seen []string
}

func (r *recorder) Take(ctx context.Context, group string, takes []ratelimit.Take) ([]ratelimit.Span, bool, error) {
	r.seen = append(r.seen, group)
	for _, take := range takes {
		r.seen = append(r.seen, take.Key)
	}
	return r.Memory.Take(ctx, group, takes)
}

func TestStoresSeeNoKeys(t *testing.T) {
	t.Parallel()
	groups := map[string]bool{}
	for _, secret := range [][]byte{nil, []byte("s1"), []byte("s2")} {
		r := &recorder{Memory: ratelimit.NewMemory(nil)}
		lim := limiterWith(t, r, &ratelimit.Options{Tenant: tenantFrom, Secret: secret}, ratelimit.Limit{Rate: 1, Per: time.Hour, Key: "sk_live_1"})
		_, err := lim.Allow(withTenant(t.Context(), "acme"), "ann@example.com")
		require.NoError(t, err)
		require.Len(t, r.seen, 2)
		for _, name := range r.seen {
			require.NotContains(t, name, "ann")
			require.NotContains(t, name, "acme")
			require.NotContains(t, name, "sk_live")
			require.Regexp(t, `^[A-Za-z0-9_.:-]+$`, name)
			groups[name] = true
		}
	}
	require.Len(t, groups, 6, "each secret makes names of its own")
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	var m counter
	store := httpxtest.NewLimits()
	lim := limiterWith(t, store, &ratelimit.Options{DryRun: true, Metrics: &m, Failure: ratelimit.FailClosed}, ratelimit.Limit{Rate: 2, Per: time.Hour})
	for i := range 5 {
		d, err := lim.Allow(t.Context(), "k")
		require.NoError(t, err)
		require.True(t, d.Allowed)
		require.NoError(t, d.Err())
		require.Equal(t, i >= 2, d.DeniedBy == "api")
	}
	store.Fail(errors.New("planned"))
	d, err := lim.Allow(t.Context(), "k")
	require.NoError(t, err)
	require.True(t, d.Allowed && d.Fallback)
	require.Equal(t, map[string]float64{
		"httpx.ratelimit limiter api limit  outcome allowed by store":       2,
		"httpx.ratelimit limiter api limit api outcome would_deny by store": 3,
		"httpx.ratelimit limiter api limit  outcome unavailable by closed":  1,
	}, m.n)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	var m counter
	store := httpxtest.NewLimits()
	limits := []ratelimit.Limit{{Name: "minute", Rate: 5, Per: time.Minute}, {Name: "hour", Rate: 6, Per: time.Hour, Burst: 2}}
	for _, f := range []ratelimit.Failure{ratelimit.FailLocal, ratelimit.FailOpen, ratelimit.FailClosed} {
		lim := limiterWith(t, store, &ratelimit.Options{Metrics: &m, Failure: f}, limits...)
		store.Fail(nil)
		for range 3 {
			_, err := lim.Allow(t.Context(), f.String())
			require.NoError(t, err)
		}
		store.Fail(errors.New("planned"))
		_, err := lim.Allow(t.Context(), f.String())
		require.Equal(t, f == ratelimit.FailClosed, errors.Is(err, ratelimit.ErrUnavailable))
	}
	require.Equal(t, map[string]float64{
		"httpx.ratelimit limiter api limit  outcome allowed by store":        6,
		"httpx.ratelimit limiter api limit api.hour outcome denied by store": 3,
		"httpx.ratelimit limiter api limit  outcome allowed by local":        1,
		"httpx.ratelimit limiter api limit  outcome allowed by open":         1,
		"httpx.ratelimit limiter api limit  outcome unavailable by closed":   1,
	}, m.n)
}
