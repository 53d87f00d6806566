package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

var errPlanned = errors.New("planned failure")

func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := httpxtest.NewLimits()
		store.Fail(errPlanned)
		limits := []ratelimit.Limit{{Name: "minute", Rate: 100, Per: time.Minute}, {Name: "burst", Rate: 10, Per: time.Second, Burst: 40}}

		open := limiterWith(t, store, &ratelimit.Options{Failure: ratelimit.FailOpen}, limits...)
		for range 1000 {
			d, err := open.Allow(t.Context(), "k")
			require.NoError(t, err)
			require.Equal(t, ratelimit.Decision{Allowed: true, Fallback: true}, d)
		}

		closed := limiterWith(t, store, &ratelimit.Options{Failure: ratelimit.FailClosed}, limits...)
		for i := range 10 {
			d, err := closed.Allow(t.Context(), "k")
			require.ErrorIs(t, err, ratelimit.ErrUnavailable)
			require.Equal(t, i < 3, errors.Is(err, errPlanned), "the store's error while it is asked")
			require.Zero(t, d)
		}

		// Four processes: a quarter of the rate and of the burst each.
		local := limiterWith(t, store, &ratelimit.Options{Processes: 4}, limits...)
		allowed := 0
		for range 100 {
			d, err := local.Allow(t.Context(), "k")
			require.NoError(t, err)
			require.True(t, d.Fallback)
			if d.Allowed {
				allowed++
			} else {
				require.Equal(t, "api.burst", d.DeniedBy)
				require.Equal(t, 400*time.Millisecond, d.RetryAfter, "10 a second are 2.5 a second here")
			}
		}
		require.Equal(t, 10, allowed)

		// A call that costs more than such a quarter passes when the bucket is full.
		d, err := local.AllowN(t.Context(), "dear", 40)
		require.NoError(t, err)
		require.True(t, d.Allowed)
		d, err = local.Allow(t.Context(), "dear")
		require.NoError(t, err)
		require.False(t, d.Allowed)
	})
}

// Many processes and long limits: nothing overflows.
func TestLocalShareOfHugeLimits(t *testing.T) {
	t.Parallel()
	store := httpxtest.NewLimits()
	store.Fail(errPlanned)
	lim := limiterWith(t, store, &ratelimit.Options{Processes: 10_000}, ratelimit.Limit{Rate: 3, Per: 10 * 365 * 24 * time.Hour})
	d, err := lim.AllowN(t.Context(), "k", 3)
	require.NoError(t, err)
	require.True(t, d.Allowed)
	d, err = lim.AllowN(t.Context(), "k", 3)
	require.NoError(t, err)
	require.False(t, d.Allowed)
	require.Greater(t, d.RetryAfter, 100*365*24*time.Hour)
	h := lim.Middleware(&ratelimit.MiddlewareOptions{Cost: 3, Key: func(*http.Request) (string, error) { return "k", nil }})(http.HandlerFunc(ok))
	require.Equal(t, "9223372037", get(h, "/", "192.0.2.1:1").Header.Get("Retry-After"))
}

// A store that hangs costs the timeout three times, and then one call in each second.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		store := httpxtest.NewLimits()
		lim := limiterWith(t, store, &ratelimit.Options{Logger: slog.New(slog.NewTextHandler(&logs, nil))}, ratelimit.Limit{Rate: 1000, Per: time.Second})
		call := func(fallback bool) time.Duration {
			t.Helper()
			start := time.Now()
			d, err := lim.Allow(t.Context(), "k")
			require.NoError(t, err)
			require.Equal(t, fallback, d.Fallback)
			return time.Since(start)
		}
		require.Zero(t, call(false))
		store.Hang()
		for range 3 {
			require.Equal(t, 100*time.Millisecond, call(true))
		}
		asked := store.Takes()
		for range 100 {
			require.Zero(t, call(true))
		}
		require.Equal(t, asked, store.Takes(), "nobody asks")
		<-time.After(time.Second)
		require.Equal(t, 100*time.Millisecond, call(true), "one tries")
		require.Zero(t, call(true))
		store.Fail(nil)
		require.Zero(t, call(true), "within the second it is not known")
		<-time.After(time.Second)
		require.Zero(t, call(false))
		require.Zero(t, call(false))
		require.Equal(t, 1, strings.Count(logs.String(), "the store does not answer"), logs.String())
		require.Equal(t, 1, strings.Count(logs.String(), "the store is back"))
	})
}

// What callers do says nothing about the store.
func TestCallersThatLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := httpxtest.NewLimits()
		lim := limiterWith(t, store, &ratelimit.Options{Timeout: -1}, ratelimit.Limit{Rate: 10, Per: time.Second})
		store.Hang()
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, cancel)
			_, err := lim.Allow(ctx, "k")
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, ratelimit.ErrUnavailable)
		}
		store.Fail(nil)
		d, err := lim.Allow(t.Context(), "k")
		require.NoError(t, err)
		require.False(t, d.Fallback, "the store was not given up")

		store.Hang()
		for range 3 { // a caller with little time sees that the store is slow
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err := lim.Allow(ctx, "k")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
		d, err = lim.Allow(t.Context(), "k")
		require.NoError(t, err)
		require.True(t, d.Fallback)

		// One that leaves while it tries whether the store is back leaves the attempt to the next.
		<-time.After(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		_, err = lim.Allow(ctx, "k")
		require.ErrorIs(t, err, context.Canceled)
		store.Fail(nil)
		d, err = lim.Allow(t.Context(), "k")
		require.NoError(t, err)
		require.False(t, d.Fallback)
	})
}

// A store that answers for other buckets than those that it was asked for is one that fails.
func TestNonsenseFromTheStore(t *testing.T) {
	t.Parallel()
	lim := limiterWith(t, nonsense{}, &ratelimit.Options{Failure: ratelimit.FailClosed}, ratelimit.Limit{Rate: 1, Per: time.Second})
	_, err := lim.Allow(t.Context(), "k")
	require.ErrorIs(t, err, ratelimit.ErrUnavailable)
	require.ErrorContains(t, err, "answers for 0 of 1 buckets")

	for _, b := range []ratelimit.Span{{Micros: -1}, {Micros: math.MaxInt64}, {Parts: -1}, {Micros: 1, Parts: math.MaxInt64}, {Micros: math.MinInt64, Parts: math.MinInt64}} {
		lim := limiter(t, nonsense{answer: []ratelimit.Span{b}}, ratelimit.Limit{Rate: 7, Per: time.Second})
		d, err := lim.Allow(t.Context(), "k")
		require.NoError(t, err)
		require.True(t, d.Allowed)
		require.True(t, d.States[0].Remaining >= 0 && d.States[0].Remaining <= 7, "%v: %+v", b, d)
	}
}

type nonsense struct {
	ratelimit.Store
	answer []ratelimit.Span
}

func (n nonsense) Take(context.Context, string, []ratelimit.Take) ([]ratelimit.Span, bool, error) {
	return n.answer, true, nil
}

func TestReset(t *testing.T) {
	t.Parallel()
	store := httpxtest.NewLimits()
	lim := limiter(t, store, ratelimit.Limit{Rate: 1, Per: time.Hour})
	for range 2 {
		d, err := lim.Allow(t.Context(), "ann")
		require.NoError(t, err)
		require.True(t, d.Allowed)
		require.NoError(t, lim.Reset(t.Context(), "ann"))
	}
	store.Fail(errPlanned)
	require.ErrorIs(t, lim.Reset(t.Context(), "ann"), errPlanned)
}
