package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"os"
	"strings"
	"sync"
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
		for range 10 {
			d, err := closed.Allow(t.Context(), "k")
			require.ErrorIs(t, err, ratelimit.ErrUnavailable)
			require.ErrorIs(t, err, errPlanned)
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
		require.Equal(t, 1, strings.Count(logs.String(), "the store fails"), logs.String())
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

		// Nor does what is too short for them, even if it is nearly as long as the timeout.
		lim = limiterWith(t, store, nil, ratelimit.Limit{Rate: 10, Per: time.Second})
		store.Hang()
		for _, d := range []time.Duration{time.Millisecond, 99 * time.Millisecond, 99 * time.Millisecond, 99 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			_, err := lim.Allow(ctx, "k")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
		store.Fail(nil)
		d, err = lim.Allow(t.Context(), "k")
		require.NoError(t, err)
		require.False(t, d.Fallback, "the store was not given up")

		// Who leaves while it tries whether the store is back leaves the attempt to the next.
		store.Hang()
		for range 3 {
			d, err = lim.Allow(t.Context(), "k")
			require.NoError(t, err)
			require.True(t, d.Fallback)
		}
		for _, leave := range []func(ctx context.Context) (context.Context, context.CancelFunc){
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(time.Millisecond, cancel)
				return ctx, cancel
			},
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Millisecond)
			},
		} {
			<-time.After(time.Second)
			ctx, cancel := leave(t.Context())
			_, err = lim.Allow(ctx, "k")
			require.ErrorIs(t, err, ctx.Err())
			cancel()
		}
		store.Fail(nil)
		d, err = lim.Allow(t.Context(), "k")
		require.NoError(t, err)
		require.False(t, d.Fallback)
	})
}

// dueCtx is a context past its deadline that has not noticed yet.
type dueCtx struct{ context.Context }

func (dueCtx) Deadline() (time.Time, bool) { return time.Now(), true }

func TestDeadlineThatTheStoreSeesFirst(t *testing.T) {
	t.Parallel()
	store := httpxtest.NewLimits()
	store.Fail(os.ErrDeadlineExceeded)
	_, err := limiter(t, store, ratelimit.Limit{Rate: 10, Per: time.Second}).Allow(dueCtx{t.Context()}, "k")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// Errors that come at once cost nobody a wait: everybody goes on asking, and who can be answered is.
func TestQuickFailuresOpenNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		store := httpxtest.NewLimits()
		lim := limiterWith(t, store, &ratelimit.Options{Logger: slog.New(slog.NewTextHandler(&logs, nil))}, ratelimit.Limit{Rate: 1000, Per: time.Second})
		call := func(fallback bool) {
			t.Helper()
			d, err := lim.Allow(t.Context(), "k")
			require.NoError(t, err)
			require.Equal(t, fallback, d.Fallback)
		}
		for range 100 {
			store.Fail(errPlanned)
			for range 10 {
				call(true)
			}
			store.Fail(nil)
			call(false)
			<-time.After(100 * time.Millisecond)
		}
		require.Equal(t, 1100, store.Takes())
		require.InDelta(t, 10, strings.Count(logs.String(), "the store fails"), 1, "once a second:\n%s", logs.String())
		require.Equal(t, strings.Count(logs.String(), "the store fails"), strings.Count(logs.String(), "the store is back"))

		// One that hung and now fails at once hangs no more.
		store.Hang()
		for range 4 {
			call(true)
		}
		<-time.After(time.Second)
		store.Fail(errPlanned)
		call(true)
		store.Fail(nil)
		call(false)
	})
}

// parts is a store of which one part may hang: that of the group that was asked for first.
type parts struct {
	*httpxtest.Limits
	first string
}

func (p *parts) Take(ctx context.Context, group string, takes []ratelimit.Take) ([]ratelimit.Span, bool, error) {
	if p.first == "" {
		p.first = group
	}
	if group == p.first {
		return p.Limits.Take(ctx, group, takes)
	}
	return p.Memory.Take(ctx, group, takes)
}

// A part of the store that hangs costs those whose keys are there, and no others.
func TestPartOfTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &parts{Limits: httpxtest.NewLimits()}
		lim := limiterWith(t, store, nil, ratelimit.Limit{Rate: 1000, Per: time.Second})
		call := func(key string, fallback bool) {
			d, err := lim.Allow(t.Context(), key)
			if err != nil || d.Fallback != fallback {
				t.Errorf("%s: %+v, %v", key, d, err)
			}
		}
		call("hangs", false)
		store.Hang()
		var all sync.WaitGroup
		defer all.Wait()
		for i := range 100 {
			all.Go(func() {
				<-time.After(time.Duration(i) * 10 * time.Millisecond)
				call("hangs", true)
			})
		}
		for range 20 {
			<-time.After(50*time.Millisecond + time.Microsecond)
			call("works", false)
		}
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
	denies bool
}

func (n nonsense) Take(context.Context, string, []ratelimit.Take) ([]ratelimit.Span, bool, error) {
	return n.answer, !n.denies, nil
}

// A store that denies what fits by its own answer fails: whoever waited for it would ask at once, for ever.
func TestDenialWithoutAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fits := range []ratelimit.Span{{}, {Micros: 1}, {Micros: -1}, {Micros: math.MinInt64, Parts: math.MinInt64}} {
			store := nonsense{answer: []ratelimit.Span{fits}, denies: true}
			limit := ratelimit.Limit{Rate: 2, Per: time.Second}
			lim := limiterWith(t, store, &ratelimit.Options{Failure: ratelimit.FailClosed}, limit)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			for _, err := range []error{lim.Wait(ctx, "k", 1), lim.Wait(ctx, "k", 0)} {
				require.ErrorIs(t, err, ratelimit.ErrUnavailable)
				require.ErrorContains(t, err, "of api, which by its own answer fit")
			}
			start := time.Now()
			lim = limiter(t, store, limit)
			for range 12 {
				require.NoError(t, lim.Wait(ctx, "k", 1))
			}
			require.Equal(t, 5*time.Second, time.Since(start), "by the limit in this process")
			cancel()
		}
	})
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
