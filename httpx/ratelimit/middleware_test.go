package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

func ok(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// get sends a request from an address through a handler.
func get(h http.Handler, path, addr string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr = addr
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func byIP(t *testing.T, store ratelimit.Store, opts *ratelimit.Options, limits ...ratelimit.Limit) httpx.Middleware {
	t.Helper()
	return limiterWith(t, store, opts, limits...).Middleware(&ratelimit.MiddlewareOptions{Key: ratelimit.ByClientIP})
}

// It works around any handler of net/http, without another middleware of httpx.
func TestMiddlewareAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := http.NewServeMux()
		mux.Handle("GET /x", byIP(t, ratelimit.NewMemory(nil), nil, ratelimit.Limit{Rate: 100, Per: time.Minute, Burst: 2},
			ratelimit.Limit{Name: "day", Rate: 1000, Per: 24 * time.Hour})(http.HandlerFunc(ok)))
		for _, want := range []string{`"api";r=1;t=1, "api.day";r=999;t=87`, `"api";r=0;t=1, "api.day";r=998;t=87`} {
			resp := get(mux, "/x", "192.0.2.1:1234")
			require.Equal(t, http.StatusNoContent, resp.StatusCode)
			require.Equal(t, `"api";q=100;w=60, "api.day";q=1000;w=86400`, resp.Header.Get("RateLimit-Policy"))
			require.Equal(t, want, resp.Header.Get("RateLimit"))
			require.Empty(t, resp.Header.Get("Retry-After"))
		}
		resp := get(mux, "/x", "192.0.2.1:999")
		require.Equal(t, http.StatusTooManyRequests, resp.StatusCode)
		require.Equal(t, `"api";r=0;t=1, "api.day";r=998;t=87`, resp.Header.Get("RateLimit"))
		require.Equal(t, "1", resp.Header.Get("Retry-After"), "0.6 s are rounded up")
		require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
		require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
		var body bytes.Buffer
		_, err := body.ReadFrom(resp.Body)
		require.NoError(t, err)
		require.JSONEq(t, `{"type": "https://iana.org/assignments/http-problem-types#quota-exceeded", "title": "Too Many Requests",
			"status": 429, "code": "rate_limited", "detail": "Too many requests: try again in 1 s.", "violated-policies": ["api"]}`, body.String())
		require.Equal(t, http.StatusNoContent, get(mux, "/x", "192.0.2.2:1").StatusCode, "another address")
		<-time.After(600 * time.Millisecond)
		require.Equal(t, http.StatusNoContent, get(mux, "/x", "192.0.2.1:1").StatusCode)
	})
}

func TestWindows(t *testing.T) {
	t.Parallel()
	for want, limit := range map[string]ratelimit.Limit{
		`"api";q=100;w=60`:             {Rate: 100, Per: time.Minute},
		`"api";q=10;w=1`:               {Rate: 1, Per: 100 * time.Millisecond},
		`"api";q=4;w=2`:                {Rate: 3, Per: 1500 * time.Millisecond},
		`"api";q=999999999999999;w=1`:  {Rate: 1_000_000_000_000, Per: time.Microsecond, Burst: 5},
		`"api";q=1;w=31536000`:         {Rate: 1, Per: 365 * 24 * time.Hour},
		`"api";q=1000000000000;w=3600`: {Rate: 1_000_000_000_000, Per: time.Hour},
	} {
		h := byIP(t, ratelimit.NewMemory(nil), nil, limit)(http.HandlerFunc(ok))
		require.Equal(t, want, get(h, "/", "192.0.2.1:1").Header.Get("RateLimit-Policy"))
	}
}

func TestMiddlewareInTheDefaultStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		var m counter
		store := httpxtest.NewLimits()
		mux := http.NewServeMux()
		mux.Handle("GET /dear", limiterWith(t, store, nil, ratelimit.Limit{Rate: 10, Per: time.Hour}).
			Middleware(&ratelimit.MiddlewareOptions{Key: ratelimit.ByClientIP, Cost: 6})(http.HandlerFunc(ok)))
		h := httpx.Default(mux, &httpx.DefaultOptions{
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Logger: slog.New(slog.NewTextHandler(&logs, nil)), Metrics: &m,
		})
		send := func(client string) *http.Response {
			r := httptest.NewRequest(http.MethodGet, "/dear", nil)
			r.RemoteAddr = "10.0.0.1:1"
			r.Header.Set("X-Forwarded-For", client)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Result()
		}
		require.Equal(t, http.StatusNoContent, send("192.0.2.1").StatusCode)
		resp := send("203.0.113.9, 192.0.2.1")
		require.Equal(t, http.StatusTooManyRequests, resp.StatusCode, "the address that the proxy vouches for")
		require.Equal(t, `"api";r=4;t=360`, resp.Header.Get("RateLimit"))
		require.Equal(t, "720", resp.Header.Get("Retry-After"), "when there are six")
		require.Equal(t, http.StatusNoContent, send("192.0.2.2").StatusCode)
		require.Contains(t, logs.String(), "code=rate_limited rate_limit=api")
		require.Contains(t, logs.String(), `route="GET /dear"`)
		require.EqualValues(t, 1, m.n["httpx.requests method GET route GET /dear status 429"])
	})
}

func TestMiddlewareOfTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := byIP(t, ratelimit.NewMemory(nil), nil, ratelimit.Limit{Name: "ip", Rate: 4, Per: time.Hour})
		inner := limiterWith(t, ratelimit.NewMemory(nil), &ratelimit.Options{Tenant: tenantFrom}, ratelimit.Limit{Rate: 2, Per: time.Hour}).Middleware(nil)
		tenant := httpx.Tenant(func(r *http.Request) (string, error) { return r.URL.Query().Get("tenant"), nil }, withTenant)
		h := outer(tenant(inner(http.HandlerFunc(ok))))
		codes := ""
		for _, path := range []string{"/?tenant=acme", "/?tenant=acme", "/?tenant=acme", "/?tenant=globex", "/?tenant=globex"} {
			codes += " " + get(h, path, "192.0.2.1:1").Status[:3]
		}
		require.Equal(t, " 204 204 429 204 429", codes)
		resp := get(h, "/?tenant=globex", "192.0.2.2:1")
		require.Equal(t, []string{`"api.ip";r=3;t=900`, `"api";r=0;t=1800`}, resp.Header.Values("RateLimit"))
		require.Equal(t, []string{`"api.ip";q=4;w=3600`, `"api";q=2;w=3600`}, resp.Header.Values("RateLimit-Policy"))

		// Without a tenant nothing passes, and somebody is told.
		var told reports
		h = httpx.Recover(&httpx.RecoverOptions{Errors: &told})(inner(http.HandlerFunc(ok)))
		require.Equal(t, http.StatusInternalServerError, get(h, "/", "192.0.2.1:1").StatusCode)
		require.Len(t, told.errs, 1)
		require.ErrorIs(t, told.errs[0], ratelimit.ErrNoTenant)
	})
}

func TestMiddlewareWithoutTheStore(t *testing.T) {
	t.Parallel()
	store := httpxtest.NewLimits()
	store.Fail(errors.New("dial tcp 10.9.8.7: refused"))
	limit := ratelimit.Limit{Rate: 1, Per: time.Hour}

	h := byIP(t, store, &ratelimit.Options{Failure: ratelimit.FailClosed}, limit)(http.HandlerFunc(ok))
	resp := get(h, "/", "192.0.2.1:1")
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Equal(t, "1", resp.Header.Get("Retry-After"))
	require.Empty(t, resp.Header.Get("RateLimit"))
	var body bytes.Buffer
	_, err := body.ReadFrom(resp.Body)
	require.NoError(t, err)
	require.Contains(t, body.String(), `"code":"rate_limit_unavailable"`)
	require.NotContains(t, body.String(), "10.9.8.7")

	h = byIP(t, store, &ratelimit.Options{Failure: ratelimit.FailOpen}, limit)(http.HandlerFunc(ok))
	for range 5 {
		resp = get(h, "/", "192.0.2.1:1")
		require.Equal(t, http.StatusNoContent, resp.StatusCode)
		require.Empty(t, resp.Header.Get("RateLimit"))
	}

	h = byIP(t, store, nil, limit)(http.HandlerFunc(ok))
	require.Equal(t, http.StatusNoContent, get(h, "/", "192.0.2.1:1").StatusCode)
	require.Equal(t, http.StatusTooManyRequests, get(h, "/", "192.0.2.1:1").StatusCode)
}

func TestMiddlewareDryRun(t *testing.T) {
	t.Parallel()
	h := byIP(t, ratelimit.NewMemory(nil), &ratelimit.Options{DryRun: true}, ratelimit.Limit{Rate: 1, Per: time.Hour})(http.HandlerFunc(ok))
	for range 3 {
		resp := get(h, "/", "192.0.2.1:1")
		require.Equal(t, http.StatusNoContent, resp.StatusCode)
		require.Empty(t, resp.Header, "clients see nothing")
	}
}

func TestMiddlewareRefuses(t *testing.T) {
	t.Parallel()
	lim := limiter(t, ratelimit.NewMemory(nil), ratelimit.Limit{Rate: 1, Per: time.Hour})
	require.PanicsWithValue(t, "ratelimit: Middleware needs MiddlewareOptions.Key or Options.Tenant: whose requests are counted?", func() { lim.Middleware(nil) })
	require.Panics(t, func() { lim.Middleware(&ratelimit.MiddlewareOptions{Key: ratelimit.ByClientIP, Cost: -1}) })
	require.Panics(t, func() { lim.Middleware(&ratelimit.MiddlewareOptions{Key: ratelimit.ByClientIP, Cost: 2}) }, "more than there ever is")

	h := lim.Middleware(&ratelimit.MiddlewareOptions{Key: func(*http.Request) (string, error) {
		return "", httpx.NewProblem(http.StatusUnauthorized, "no_key", "")
	}})(http.HandlerFunc(ok))
	require.Equal(t, http.StatusUnauthorized, get(h, "/", "192.0.2.1:1").StatusCode)
}

func TestByClientIP(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.1:80":                 "192.0.2.1",
		"[::ffff:192.0.2.1]:80":        "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:80":    "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::]:80":     "2001:db8:1:2::/64",
		"[2001:db8:1:3::]:80":          "2001:db8:1:3::/64",
		"[fe80::1%eth0]:80":            "fe80::/64",
		"@":                            "",
		"":                             "",
		"192.0.2.1":                    "",
		strings.Repeat("1", 10) + ":1": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = addr
		got, err := ratelimit.ByClientIP(r)
		require.Equal(t, want, got)
		require.Equal(t, want == "", errors.Is(err, ratelimit.ErrNoClientIP), addr)
	}
	h := byIP(t, ratelimit.NewMemory(nil), nil, ratelimit.Limit{Rate: 1, Per: time.Hour})(http.HandlerFunc(ok))
	require.Equal(t, http.StatusInternalServerError, get(h, "/", "@").StatusCode, "nobody passes unseen")
}

// The endpoints of httpx do not notice it: an answer from the cache has the fields of the request at hand.
func TestMiddlewareAroundReadAndWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type in struct {
			N int `query:"n"`
		}
		limit := byIP(t, ratelimit.NewMemory(nil), nil, ratelimit.Limit{Rate: 4, Per: time.Hour})
		cache, loads := &httpxtest.Cache{}, 0
		mux := http.NewServeMux()
		mux.Handle("GET /x", limit(httpx.Read(func(_ context.Context, i in) (int, error) { loads++; return i.N, nil },
			&httpx.ReadOptions{Cache: cache, Fresh: time.Hour, Scope: httpx.Public})))
		mux.Handle("POST /x", limit(httpx.Write(nil, func(context.Context, struct{}) (int, error) { return 7, nil }, nil)))
		client := httpxtest.NewClient(t, httpx.Default(mux, nil))
		first := client.Get("/x?n=7").RequireStatus(http.StatusOK)
		second := client.With("If-None-Match", first.Header.Get("ETag")).Get("/x?n=7").RequireStatus(http.StatusNotModified)
		require.Equal(t, 1, loads)
		require.Equal(t, `"api";r=3;t=900`, first.Header.Get("RateLimit"))
		require.Equal(t, `"api";r=2;t=900`, second.Header.Get("RateLimit"))
		require.Equal(t, `"api";r=1;t=900`, client.Post("/x", struct{}{}).RequireStatus(http.StatusOK).Header.Get("RateLimit"))
		client.Get("/x?n=7").RequireStatus(http.StatusOK)
		client.Get("/x?n=7").RequireProblem(http.StatusTooManyRequests, "rate_limited")
		require.Equal(t, 1, loads)
	})
}

// reports is what the errors seam was told.
type reports struct{ errs []error }

func (r *reports) Report(_ context.Context, err error, _ []byte) { r.errs = append(r.errs, err) }

// Retry-After is when the same request passes: not before the limit that denies has more, whatever the others say.
func TestRetryAfterIsOfTheLimitThatDenies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := byIP(t, ratelimit.NewMemory(nil), nil, ratelimit.Limit{Name: "second", Rate: 1, Per: 2 * time.Second},
			ratelimit.Limit{Name: "day", Rate: 10, Per: 24 * time.Hour})(http.HandlerFunc(ok))
		require.Equal(t, http.StatusNoContent, get(h, "/", "192.0.2.1:1").StatusCode)
		resp := get(h, "/", "192.0.2.1:1")
		require.Equal(t, http.StatusTooManyRequests, resp.StatusCode)
		require.Equal(t, `"api.second";r=0;t=2, "api.day";r=9;t=8640`, resp.Header.Get("RateLimit"))
		require.Equal(t, "2", resp.Header.Get("Retry-After"))
		<-time.After(2 * time.Second)
		require.Equal(t, http.StatusNoContent, get(h, "/", "192.0.2.1:1").StatusCode)
	})
}
