package main

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	redisrate "github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	ulule "github.com/ulule/limiter/v3"
	ululeredis "github.com/ulule/limiter/v3/drivers/store/redis"

	"github.com/ashlar-go/ashlar/httpx/ratelimit"
	"github.com/ashlar-go/ashlar/httpx/redishttp"
)

// Limits that nobody meets: all sides write each time.
const (
	limitRate  = 1_000_000
	limitBurst = 10_000_000
)

var errLimited = errors.New("a call of the benchmark was denied")

// benchLimits compares one decision over Redis with those of redis_rate and ulule/limiter, for 64 keys in turn.
func benchLimits(ctx context.Context, l *lab) error {
	rdb := redis.NewClient(&redis.Options{Addr: l.redis.Addr, PoolSize: 100, ContextTimeoutEnabled: true})
	defer rdb.Close()
	if err := rdb.FlushAll(ctx).Err(); err != nil {
		return err
	}
	one, two, err := ourLimits(rdb)
	if err != nil {
		return err
	}
	peer := redisrate.NewLimiter(rdb)
	peerLimit := redisrate.Limit{Rate: limitRate, Burst: limitBurst, Period: time.Second}
	redisRate := func(ctx context.Context, i int) error {
		r, err := peer.Allow(ctx, limitKey(i), peerLimit)
		return limited(err, r != nil && r.Allowed == 1)
	}
	redisRateTwice := func(ctx context.Context, i int) error {
		return errors.Join(redisRate(ctx, i), redisRate(ctx, i+1))
	}
	ululeStore, err := ululeredis.NewStore(rdb)
	if err != nil {
		return err
	}
	window := ulule.New(ululeStore, ulule.Rate{Period: time.Hour, Limit: 1 << 40})
	ululeGet := func(ctx context.Context, i int) error {
		c, err := window.Get(ctx, limitKey(i))
		return limited(err, !c.Reached)
	}
	return errors.Join(
		l.ratio(ctx, "httpx.ratelimit_rate_vs_redis_rate", together(one), together(redisRate)),
		l.ratio(ctx, "httpx.ratelimit_rate_vs_ulule", together(one), together(ululeGet)),
		l.paired(ctx, "httpx.ratelimit_latency_vs_redis_rate", one, redisRate),
		l.paired(ctx, "httpx.ratelimit_latency_vs_ulule", one, ululeGet),
		l.paired(ctx, "httpx.ratelimit_two_limits_latency_vs_redis_rate", two, redisRateTwice),
		l.reading(ctx, "httpx.ratelimit_allocs", "allocs", allocs(5000, one)),
		l.reading(ctx, "httpx.ratelimit_extra_allocs_vs_redis_rate", "allocs", extraAllocs(5000, one, redisRate)),
		l.reading(ctx, "httpx.ratelimit_extra_allocs_vs_ulule", "allocs", extraAllocs(5000, one, ululeGet)),
	)
}

// ourLimits returns calls that ask for one limit and for two at once.
func ourLimits(rdb *redis.Client) (one, two call, err error) {
	store, err := redishttp.NewLimits(rdb, nil)
	if err != nil {
		return nil, nil, err
	}
	a := ratelimit.Limit{Name: "a", Rate: limitRate, Per: time.Second, Burst: limitBurst}
	b := a
	b.Name = "b"
	// The default timeout would let a pause of the machine end the run; a longer one costs the same.
	opts := &ratelimit.Options{Failure: ratelimit.FailClosed, Timeout: 5 * time.Second}
	single, err := ratelimit.New(store, "bench", []ratelimit.Limit{a}, opts)
	if err != nil {
		return nil, nil, err
	}
	double, err := ratelimit.New(store, "bench", []ratelimit.Limit{a, b}, opts)
	asks := func(lim *ratelimit.Limiter) call {
		return func(ctx context.Context, i int) error {
			d, err := lim.Allow(ctx, limitKey(i))
			return limited(err, d.Allowed)
		}
	}
	return asks(single), asks(double), err
}

// together is the calls a second of 16 callers.
func together(f call) measure {
	return func(ctx context.Context) (float64, error) {
		const callers, each = 16, 2000
		errs := make([]error, callers)
		var all sync.WaitGroup
		start := time.Now()
		for c := range callers {
			all.Go(func() {
				for i := 0; i < each && errs[c] == nil; i++ {
					errs[c] = f(ctx, c+i)
				}
			})
		}
		all.Wait()
		return callers * each / time.Since(start).Seconds(), errors.Join(errs...)
	}
}

func limitKey(i int) string { return "user:" + strconv.Itoa(i%64) }

func limited(err error, allowed bool) error {
	if err == nil && !allowed {
		return errLimited
	}
	return err
}
