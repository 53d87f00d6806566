package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache/cacheui"
	"github.com/ashlar-go/ashlar/examples/pulse/web"
	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobsui"
)

// opsSite is pulse with the pages for operators behind a password, or none.
func opsSite(t *testing.T, password string) http.Handler {
	w := newWorld(t)
	ui, err := jobsui.New(map[string]*jobs.Queue{"pulse": w.app.Queue}, nil)
	require.NoError(t, err)
	caches, err := cacheui.New(w.app.Hub, nil)
	require.NoError(t, err)
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "jobs_depth") })
	return web.New(w.app, web.Options{
		Health: httpx.NewHealth(nil, nil), Jobs: web.Operators(password, ui), Cache: web.Operators(password, caches), Metrics: web.Operators(password, metrics),
	})
}

func ask(h http.Handler, method, path, host string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader("action=pause&queue=1"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Host = host
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTheDashboardIsForOperators(t *testing.T) {
	t.Parallel()
	h := opsSite(t, "open sesame")
	login := func(password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth("ann", password) }
	}
	for _, change := range []func(*http.Request){nil, login(""), login("open sesam"), login("open sesame ")} {
		for _, path := range []string{"/ops/jobs/", "/ops/jobs/pulse/jobs", "/ops/jobs/style.css", "/ops/cache/", "/ops/cache/style.css", "/ops/metrics"} {
			w := ask(h, "GET", path, "pulse.example.com", change)
			require.Equal(t, http.StatusUnauthorized, w.Code, path)
			require.Contains(t, w.Header().Get("WWW-Authenticate"), "Basic")
		}
		require.Equal(t, http.StatusUnauthorized, ask(h, "POST", "/ops/jobs/pulse/control", "pulse.example.com", change).Code)
	}
	w := ask(h, "GET", "/ops/jobs/", "pulse.example.com", login("open sesame"))
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), `href="pulse/"`)
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'", "the dashboard's own, stricter policy")
	require.Equal(t, http.StatusSeeOther, ask(h, "POST", "/ops/jobs/pulse/control", "pulse.example.com", login("open sesame")).Code)
	w = ask(h, "POST", "/ops/jobs/pulse/control", "pulse.example.com", func(r *http.Request) {
		login("open sesame")(r)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	})
	require.Equal(t, http.StatusForbidden, w.Code, "a page of another site presses the button")
	w = ask(h, "GET", "/ops/cache/", "pulse.example.com", login("open sesame"))
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), "Answered without a load")
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'", "the page's own, stricter policy")
	require.Equal(t, "jobs_depth", ask(h, "GET", "/ops/metrics", "pulse.example.com", login("open sesame")).Body.String())
	for _, path := range []string{"/ops/jobs", "/ops/cache"} {
		require.Contains(t, ask(h, "GET", "/", "pulse.example.com", nil).Body.String(), `href="`+path+`/"`)
		require.Equal(t, http.StatusMovedPermanently, ask(h, "GET", path, "pulse.example.com", nil).Code)
	}
}

func TestOnlyOperatorsHaveNoDeadline(t *testing.T) {
	t.Parallel()
	bounded := map[string]bool{}
	page := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, bounded[r.URL.Path] = r.Context().Deadline() })
	h := web.New(newWorld(t).app, web.Options{Health: httpx.NewHealth(nil, nil), Jobs: web.Operators("", page), Checkout: page})
	ask(h, "POST", "/ops/jobs/pulse/jobs", "localhost", nil)
	ask(h, "POST", "/checkout/1", "localhost", nil)
	require.Equal(t, map[string]bool{"/pulse/jobs": false, "/checkout/1": true}, bounded)
}

func TestWithoutAPasswordTheDashboardIsForThisMachine(t *testing.T) {
	t.Parallel()
	h := opsSite(t, "")
	for host, want := range map[string]int{
		"localhost:8080": 200, "127.0.0.1:8080": 200, "[::1]:8080": 200, "localhost": 200, "[::1]": 200,
		"evil.example.com": 403, "localhost.evil.example.com:8080": 403, "10.0.0.1:8080": 403, "": 403,
	} {
		for _, path := range []string{"/ops/jobs/", "/ops/cache/", "/ops/metrics"} {
			require.Equal(t, want, ask(h, "GET", path, host, nil).Code, host)
		}
	}
}

func TestThereIsNoDashboardUnlessItIsGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.Get("/ops/jobs/").RequireStatus(http.StatusNotFound)
	w.client.Get("/ops/cache/").RequireStatus(http.StatusNotFound)
	w.client.Get("/ops/metrics").RequireStatus(http.StatusNotFound)
	require.NotContains(t, string(w.client.Get("/").Body), "/ops/")
}
