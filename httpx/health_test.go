package httpx_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var err error
		calls := 0
		logs := &logBook{}
		detail := false
		h := httpx.NewHealth(map[string]func(context.Context) error{
			"postgres": func(context.Context) error { mu.Lock(); defer mu.Unlock(); calls++; return err },
			"redis":    func(context.Context) error { return nil },
		}, &httpx.HealthOptions{Detail: func(*http.Request) bool { return detail }, Logger: logs.logger()})
		ready, live := httpxtest.NewClient(t, h.Ready()), httpxtest.NewClient(t, h.Live())
		ready.Get("/").RequireStatus(200)
		ready.Get("/").RequireStatus(200)
		require.Equal(t, 1, calls, "probes within a second share a result")

		mu.Lock()
		err = errors.New("password authentication failed for user app")
		mu.Unlock()
		pass(time.Second)
		p := ready.Get("/").RequireProblem(503, "not_ready")
		require.NotContains(t, p, "failing", "anybody learns what this service is made of")
		detail = true
		require.Equal(t, []any{"postgres"}, ready.Get("/").RequireProblem(503, "not_ready")["failing"])
		require.NotContains(t, string(ready.Get("/").Body), "password")
		require.Contains(t, logs.String(), "password authentication failed")
		live.Get("/").RequireStatus(200)

		mu.Lock()
		err = nil
		mu.Unlock()
		pass(time.Second)
		ready.Get("/").RequireStatus(200)
		require.Contains(t, logs.String(), "passes again")
	})
}

func TestHealthOfSlowBrokenAndStuckChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, stuck := make(chan struct{}), atomic.Int64{}
		h := httpx.NewHealth(map[string]func(context.Context) error{
			"slow":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			"panic": func(context.Context) error { panic("boom") },
			"stuck": func(context.Context) error { stuck.Add(1); <-release; return nil },
			"ok":    func(context.Context) error { pass(time.Second); return nil },
		}, &httpx.HealthOptions{Detail: func(*http.Request) bool { return true }, Logger: quiet()})
		c := httpxtest.NewClient(t, h.Ready())
		for range 5 {
			began := time.Now()
			p := c.Get("/").RequireProblem(503, "not_ready")
			require.Equal(t, []any{"panic", "slow", "stuck"}, p["failing"])
			require.Equal(t, 2*time.Second, time.Since(began), "checks do not run in parallel, or not within the limit")
			pass(time.Minute)
		}
		require.EqualValues(t, 1, stuck.Load(), "each probe leaves another goroutine behind")
		close(release)
	})
}

func TestHealthNeedsChecks(t *testing.T) {
	t.Parallel()
	require.Panics(t, func() { httpx.NewHealth(map[string]func(context.Context) error{"x": nil}, nil) })
	httpxtest.NewClient(t, httpx.NewHealth(nil, nil).Ready()).Do("HEAD", "/", nil).RequireStatus(200)
}
