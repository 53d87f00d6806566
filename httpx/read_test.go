package httpx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

type page struct {
	ID    string         `path:"id"`
	Limit int            `query:"limit"`
	Sort  []string       `query:"sort"`
	Zone  string         `header:"x-zone"`
	Since *time.Time     `query:"since"`
	Every *time.Duration `query:"every"`
	Deep  bool           `query:"deep"`
}

func echoPage(_ context.Context, in page) (string, error) { return fmt.Sprintf("%+v", in), nil }

func route(pattern string, h http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle(pattern, h)
	return mux
}

func TestReadBinds(t *testing.T) {
	t.Parallel()
	var got page
	h := route("GET /p/{id}", httpx.Read(func(_ context.Context, in page) (struct{}, error) { got = in; return struct{}{}, nil }, nil))
	c := httpxtest.NewClient(t, h).With("X-Zone", "eu")
	c.Get("/p/a%2Fb?limit=-3&sort=x&sort=y&since=2026-11-24T00:00:00Z&every=90s&deep=true").RequireStatus(200)
	require.Equal(t, "a/b", got.ID)
	require.Equal(t, -3, got.Limit)
	require.Equal(t, []string{"x", "y"}, got.Sort)
	require.Equal(t, "eu", got.Zone)
	require.Equal(t, 2026, got.Since.Year())
	require.Equal(t, 90*time.Second, *got.Every)
	require.True(t, got.Deep)
	c.Get("/p/x").RequireStatus(200)
	require.Nil(t, got.Since)

	for _, tc := range []struct{ query, parameter, code string }{
		{"limit=x", "limit", "invalid"},
		{"limit=1&limit=2", "limit", "invalid"},
		{"limit=99999999999999999999", "limit", "invalid"},
		{"limit=", "limit", "invalid"},
		{"deep=1", "deep", "invalid"},
		{"since=now", "since", "invalid"},
		{"Limit=1", "Limit", "unknown"},
		{"id=1", "id", "unknown"},
		{"sort=" + strings.Repeat("&sort=", 100), "sort", "invalid"},
	} {
		p := c.Get("/p/x?"+tc.query).RequireProblem(400, "invalid_parameters")
		e := p["errors"].([]any)[0].(map[string]any)
		require.Equal(t, tc.parameter, e["parameter"], tc.query)
		require.Equal(t, tc.code, e["code"], tc.query)
	}
	unknown := c.Get("/p/x?a=1&b=2").RequireProblem(400, "invalid_parameters")["errors"].([]any)
	require.Len(t, unknown, 2)
	require.Equal(t, "The query parameters are deep, every, limit, since, sort.", unknown[0].(map[string]any)["detail"])
	c.Get("/p/x?a=%zz").RequireProblem(400, "malformed_query")
	c.Get("/p/x?a=1;b=2").RequireProblem(400, "malformed_query")

	notes := httpxtest.NewClient(t, route("GET /notes/{id}", httpx.Read((&Notes{}).Get, nil)))
	notes.Get("/notes/abc").RequireProblem(404, "not_found")
	notes.Get("/notes/7").RequireProblem(404, "note_not_found")
}

func TestReadBindsNumbers(t *testing.T) {
	t.Parallel()
	c := httpxtest.NewClient(t, httpx.Read(func(_ context.Context, in struct {
		F float32 `query:"f"`
		U uint8   `query:"u"`
	},
	) (string, error) {
		return fmt.Sprint(in.F, in.U), nil
	}, nil))
	require.Equal(t, `"1.5 255"`, string(c.Get("/?f=1.5&u=255").RequireStatus(200).Body))
	for _, query := range []string{"f=NaN", "f=Inf", "f=1e99", "f=x", "u=256", "u=-1"} {
		c.Get("/?"+query).RequireProblem(400, "invalid_parameters")
	}
}

func TestReadConditional(t *testing.T) {
	t.Parallel()
	for _, cache := range []httpx.Cache{nil, &httpxtest.Cache{}} {
		opts := &httpx.ReadOptions{}
		if cache != nil {
			opts = &httpx.ReadOptions{Cache: cache, Fresh: time.Minute}
		}
		c := httpxtest.NewClient(t, stack(route("/n/{id}", httpx.Read(echoID, opts)), httpx.DefaultOptions{}))
		first := c.Get("/n/1").RequireStatus(200)
		etag := first.Header.Get("Etag")
		require.Regexp(t, `^"[\w-]{22}"$`, etag)
		same := c.With("If-None-Match", `"x", W/`+etag).Get("/n/1").RequireStatus(304)
		require.Empty(t, same.Body)
		require.Equal(t, etag, same.Header.Get("Etag"))
		require.Equal(t, first.Header.Get("Cache-Control"), same.Header.Get("Cache-Control"))
		c.With("If-None-Match", `"x"`).Get("/n/1").RequireStatus(200)
		require.NotEqual(t, etag, c.Get("/n/2").Header.Get("Etag"))

		head := c.Do("HEAD", "/n/1", nil).RequireStatus(200)
		require.Empty(t, head.Body)
		for _, name := range []string{"Etag", "Content-Type", "Content-Length", "Cache-Control"} {
			require.Equal(t, first.Header.Get(name), head.Header.Get(name), name)
		}
		c.Do("POST", "/n/1", "{}").RequireHeader("Allow", "GET, HEAD").RequireProblem(405, "method_not_allowed")
		c.With("Accept", "text/html").Get("/n/1").RequireProblem(406, "not_acceptable")
	}
}

func echoID(_ context.Context, in struct {
	ID string `path:"id"`
},
) (string, error) {
	return in.ID, nil
}

func TestReadEmptyListIsAList(t *testing.T) {
	t.Parallel()
	c := httpxtest.NewClient(t, httpx.Read(func(context.Context, struct{}) ([]Note, error) { return nil, nil }, nil))
	require.Equal(t, "[]", string(c.Get("/").RequireStatus(200).Body))
}

func TestReadCacheLifetime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		cache := &httpxtest.Cache{}
		h := httpx.Read(func(context.Context, struct{}) (int64, error) { return n.Add(1), nil },
			&httpx.ReadOptions{Cache: cache, Fresh: time.Minute, Stale: 5 * time.Minute, Scope: httpx.Public})
		c := httpxtest.NewClient(t, h)
		want := func(body, status, age string) {
			t.Helper()
			r := c.Get("/").RequireStatus(200).RequireHeader("Cache-Status", status).RequireHeader("Age", age)
			require.Equal(t, body, string(r.Body))
			r.RequireHeader("Cache-Control", "public, max-age=60, stale-while-revalidate=300")
			require.Empty(t, r.Header.Get("Vary"))
		}
		want("1", "ashlar; fwd=miss; stored", "")
		pass(20 * time.Second)
		want("1", "ashlar; hit; ttl=40", "20")
		pass(50*time.Second + time.Millisecond)
		want("1", "ashlar; hit; ttl=-11", "70")
		synctest.Wait()
		want("2", "ashlar; hit; ttl=60", "0")
		pass(time.Hour)
		want("3", "ashlar; fwd=miss; stored", "")
		require.Equal(t, 3, cache.Loads())
	})
}

// Every input that fn can see must lead to its own entry.
func TestReadKeys(t *testing.T) {
	t.Parallel()
	cache := &httpxtest.Cache{}
	opts := &httpx.ReadOptions{Cache: cache, Fresh: time.Hour}
	inner := http.NewServeMux()
	inner.Handle("GET /p/{id}", httpx.Read(echoPage, opts))
	mux := http.NewServeMux()
	mux.Handle("/", inner)
	mux.Handle("/admin/", http.StripPrefix("/admin", inner))
	mux.Handle("GET /q/{id}", httpx.Read(echoPage, opts))
	other := func(_ context.Context, in page) (string, error) { return "other", nil }
	second := route("GET /p/{id}", httpx.Read(other, opts)) // the same pattern, path and types in another mux
	mux.Handle("GET /x/{a}/{id}", httpx.Read(echoPage, opts))
	swapped := route("GET /x/{id}/{a}", httpx.Read(echoPage, opts))
	byHeader := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // a router that does not look at the path
		r.SetPathValue("id", r.Header.Get("X-Zone"))
		httpx.Read(func(_ context.Context, in struct {
			ID string `path:"id"`
		},
		) (string, error) {
			return in.ID, nil
		}, opts).ServeHTTP(w, r)
	})
	c := httpxtest.NewClient(t, mux)
	requests := []func() *httpxtest.Response{
		func() *httpxtest.Response { return c.Get("/p/1") },
		func() *httpxtest.Response { return c.Get("/p/2") },
		func() *httpxtest.Response { return c.Get("/p/1%2F2") },
		func() *httpxtest.Response { return c.Get("/p/1?limit=1") },
		func() *httpxtest.Response { return c.Get("/p/1?limit=2") },
		func() *httpxtest.Response { return c.Get("/p/1?sort=a&sort=b") },
		func() *httpxtest.Response { return c.Get("/p/1?sort=b&sort=a") },
		func() *httpxtest.Response { return c.Get("/p/1?sort=a%26sort=b") },
		func() *httpxtest.Response { return c.With("X-Zone", "eu").Get("/p/1") },
		func() *httpxtest.Response { return c.With("X-Zone", "us").Get("/p/1") },
		func() *httpxtest.Response { return c.Get("/admin/p/1") },
		func() *httpxtest.Response { return c.Get("/q/1") },
		func() *httpxtest.Response { return httpxtest.NewClient(t, second).Get("/p/1") },
		func() *httpxtest.Response { return c.Get("/x/1/2") },
		func() *httpxtest.Response { return httpxtest.NewClient(t, swapped).Get("/x/1/2") },
		func() *httpxtest.Response { return httpxtest.NewClient(t, byHeader).With("X-Zone", "1").Get("/") },
		func() *httpxtest.Response { return httpxtest.NewClient(t, byHeader).With("X-Zone", "2").Get("/") },
	}
	for i, request := range requests {
		request().RequireStatus(200)
		require.Equal(t, i+1, cache.Keys(), "request %d shares an entry with another", i)
	}
	for i, request := range requests {
		require.Contains(t, request().Header.Get("Cache-Status"), "; hit;", "request %d", i)
	}
	c.With("X-Unbound", "1").Get("/p/1?").RequireHeader("Age", "0")
	require.Contains(t, c.Get("/p/1?limit=1").Header.Get("Cache-Status"), "; hit;")
	require.Equal(t, len(requests), cache.Keys(), "what fn cannot see must not make entries")
}

// as sets the principal as authentication would.
func as(principal string, h http.Handler) http.Handler {
	return httpx.RequestID()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.InfoFrom(r.Context()).SetPrincipal(principal)
		h.ServeHTTP(w, r)
	}))
}

func TestReadScopes(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	fn := func(context.Context, struct{}) (int64, error) { return n.Add(1), nil }
	get := func(h http.Handler, principal string) string {
		return string(httpxtest.NewClient(t, as(principal, h)).With("Cookie", "session=1").Get("/").RequireStatus(200).Body)
	}
	own := httpx.Read(fn, &httpx.ReadOptions{Cache: &httpxtest.Cache{}, Fresh: time.Hour})
	require.NotEqual(t, get(own, "ann"), get(own, "bob"), "one principal got another's answer")
	require.Equal(t, get(own, "ann"), get(own, "ann"))
	shared := httpx.Read(fn, &httpx.ReadOptions{Cache: &httpxtest.Cache{}, Fresh: time.Hour, Scope: httpx.PerTenant})
	require.Equal(t, get(shared, "ann"), get(shared, "bob"))

	// Nobody said who asks, but the request carries something that could make a difference.
	for _, header := range []string{
		"Cookie", "Authorization", "X-Api-Key", "X-Auth-Token", "X-Session", "X-Forwarded-User", "X-Forwarded-Email",
		"X-Consumer-Id", "X-Forwarded-Groups", "X-Role", "X-Goog-Iap-Jwt-Assertion", "X-Ms-Client-Principal-Id", "X-Amzn-Oidc-Data", "X-Forwarded-Client-Cert",
	} {
		c := httpxtest.NewClient(t, own).With(header, "x")
		first := c.Get("/").RequireHeader("Cache-Status", "ashlar; fwd=bypass").RequireHeader("Cache-Control", "private, no-cache").RequireHeader("Vary", "Authorization, Cookie")
		require.NotEqual(t, first.Body, c.Get("/").Body, header)
	}
	byCert := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
		own.ServeHTTP(w, r)
	})
	httpxtest.NewClient(t, byCert).Get("/").RequireHeader("Cache-Status", "ashlar; fwd=bypass")
	anonymous := httpxtest.NewClient(t, own).With("User-Agent", "x").With("Sec-Websocket-Key", "x")
	require.Equal(t, anonymous.Get("/").Body, anonymous.Get("/").Body)
}

// Caches between the program and the client must keep apart what the program keeps apart.
func TestReadVaries(t *testing.T) {
	t.Parallel()
	type zoned struct {
		Zone string `header:"x-zone"`
	}
	fn := func(_ context.Context, in zoned) (string, error) { return in.Zone, nil }
	for scope, want := range map[httpx.Scope]string{httpx.Public: "X-Zone", httpx.PerTenant: "Authorization, Cookie, X-Zone"} {
		h := httpx.Read(fn, &httpx.ReadOptions{Cache: &httpxtest.Cache{}, Fresh: time.Hour, Scope: scope})
		httpxtest.NewClient(t, h).With("X-Zone", "eu").Get("/").RequireStatus(200).RequireHeader("Vary", want)
	}
}

func TestReadTenant(t *testing.T) {
	t.Parallel()
	calls := 0
	fn := func(ctx context.Context, _ struct{}) (string, error) {
		calls++
		id, _ := tenantFrom(ctx)
		return id, nil
	}
	unscoped := &httpxtest.Cache{} // does not know tenants: the option alone must keep them apart
	h := httpx.Read(fn, &httpx.ReadOptions{Cache: unscoped, Fresh: time.Hour, Tenant: tenantFrom})
	for _, id := range []string{"acme", "globex"} {
		c := httpxtest.NewClient(t, httpx.Tenant(func(*http.Request) (string, error) { return id, nil }, withTenant)(h))
		require.Equal(t, `"`+id+`"`, string(c.Get("/").RequireStatus(200).Body))
	}
	httpxtest.NewClient(t, h).Get("/").RequireProblem(500, "internal")
	require.Equal(t, 2, calls)
	for _, id := range []string{"initech", "umbrella"} { // known to the option alone
		c := httpxtest.NewClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(withTenant(r.Context(), id)))
		}))
		require.Equal(t, `"`+id+`"`, string(c.Get("/").RequireStatus(200).Body))
	}
	calls = 2

	forgotten := httpx.Read(fn, &httpx.ReadOptions{Cache: unscoped, Fresh: time.Hour, Scope: httpx.PerTenant}) // neither knows tenants
	for _, id := range []string{"acme", "globex"} {
		c := httpxtest.NewClient(t, httpx.Tenant(func(*http.Request) (string, error) { return id, nil }, withTenant)(forgotten))
		require.Equal(t, `"`+id+`"`, string(c.Get("/").RequireStatus(200).Body))
	}
	require.Equal(t, 4, calls)

	scoped := &httpxtest.Cache{Tenant: tenantFrom}
	byCache := httpx.Read(fn, &httpx.ReadOptions{Cache: scoped, Fresh: time.Hour})
	httpxtest.NewClient(t, byCache).Get("/").RequireProblem(500, "internal")
	require.Equal(t, 4, calls, "fn ran without a tenant")
}

func TestReadErrorsAreNotCached(t *testing.T) {
	t.Parallel()
	failing := true
	found := &reports{}
	fn := func(context.Context, struct{}) (string, error) {
		if failing {
			return "", httpx.NewProblem(404, "gone_fishing", "")
		}
		return "ok", nil
	}
	cache := &httpxtest.Cache{}
	c := httpxtest.NewClient(t, stack(httpx.Read(fn, &httpx.ReadOptions{Cache: cache, Fresh: time.Hour}), httpx.DefaultOptions{Errors: found}))
	c.Get("/").RequireProblem(404, "gone_fishing")
	failing = false
	require.Equal(t, `"ok"`, string(c.Get("/").RequireStatus(200).Body))
	cache.Fail(errors.New("cache: redis at 10.0.0.7 is down"))
	require.NotContains(t, string(c.Get("/").Body), "10.0.0.7")
	c.Get("/").RequireProblem(500, "internal")
	require.Len(t, found.all(), 2)
}

func TestReadPanicInsideTheCache(t *testing.T) {
	t.Parallel()
	found, logs := &reports{}, &logBook{}
	h := httpx.Read(func(context.Context, struct{}) (string, error) { panic("boom") }, &httpx.ReadOptions{Cache: &httpxtest.Cache{}, Fresh: time.Hour})
	c := httpxtest.NewClient(t, stack(h, httpx.DefaultOptions{Errors: found, Logger: logs.logger()}))
	c.Get("/").RequireProblem(500, "internal")
	require.Len(t, found.all(), 1, "reported more than once")
	require.Contains(t, found.with[0], "read_test.go", "the stack does not lead to the function")
	require.Contains(t, logs.String(), "read_test.go", "without a reporter the stack is lost")
}

func TestReadRefusesForeignValues(t *testing.T) {
	t.Parallel()
	for _, val := range []string{
		`{"not":"ours"}`, `{"not":"ours","and":"longer than a header"}`, "1", `1"0123456789abcdefABCDEF`,
		`2"0123456789abcdefABCDEF"another version`, `1'0123456789abcdefABCDEF"x`, `1"0123456789abcdefABCDEF'x`,
	} {
		cache := &planted{val: []byte(val), stored: time.Now(), status: "hit"}
		c := httpxtest.NewClient(t, httpx.Read(echoPage, &httpx.ReadOptions{Cache: cache, Fresh: time.Hour}))
		c.Get("/").RequireProblem(500, "internal")
	}
}

func TestReadPanicsOnMisuse(t *testing.T) {
	t.Parallel()
	cache := &httpxtest.Cache{}
	ok := func(context.Context, page) (string, error) { return "", nil }
	for name, misuse := range map[string]func(){
		"input is no struct": func() { httpx.Read(func(context.Context, string) (string, error) { return "", nil }, nil) },
		"nil function":       func() { httpx.Read[page, string](nil, nil) },
		"no Fresh":           func() { httpx.Read(ok, &httpx.ReadOptions{Cache: cache}) },
		"public tenant":      func() { httpx.Read(ok, &httpx.ReadOptions{Scope: httpx.Public, Tenant: tenantFrom}) },
		"tag names nothing":  func() { httpx.Read(ok, &httpx.ReadOptions{Tags: []string{"note:{ID}"}}) },
		"tag is not closed":  func() { httpx.Read(ok, &httpx.ReadOptions{Tags: []string{"note:{id"}}) },
		"map parameter": func() {
			httpx.Read(func(context.Context, struct {
				M map[string]int `query:"m"`
			},
			) (string, error) {
				return "", nil
			}, nil)
		},
		"two tags": func() {
			httpx.Read(func(context.Context, struct {
				M string `query:"m" path:"m"`
			},
			) (string, error) {
				return "", nil
			}, nil)
		},
		"parameters behind an embedded pointer": func() {
			httpx.Read(func(context.Context, struct{ *page }) (string, error) { return "", nil }, nil)
		},
		"same name twice": func() {
			httpx.Read(func(context.Context, struct {
				A string `query:"m"`
				B string `query:"m"`
			},
			) (string, error) {
				return "", nil
			}, nil)
		},
	} {
		require.Panics(t, misuse, name)
	}
	// A route without the wildcard cannot be seen at registration; it must not look like an empty id.
	httpxtest.NewClient(t, route("GET /p/{other}", httpx.Read(ok, nil))).Get("/p/1").RequireProblem(500, "internal")
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	op := httpx.Read(echoPage, nil).Describe()
	require.Equal(t, "page", op.In.Name())
	require.Equal(t, "string", op.Out.Name())
	require.False(t, op.Write)
	require.Len(t, op.Params, 7)
	require.Equal(t, "X-Zone", op.Params[3].Name)
	op = httpx.Write(nil, (&Notes{}).Create, &httpx.WriteOptions{Location: "/notes/{id}"}).Describe()
	require.True(t, op.Write && op.Body)
	require.Equal(t, 201, op.Status)
}

// Handlers are plain functions for any mux: the values they bind come from http.Request.PathValue.
func TestReadUnderAnotherRouter(t *testing.T) {
	t.Parallel()
	h := httpx.Read(echoID, nil)
	r := httptest.NewRequest("GET", "/whatever", nil)
	r.SetPathValue("id", "from another router")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, `"from another router"`, w.Body.String())
}
