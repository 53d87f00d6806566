package httpx_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

// planted is a cache that answers with what it was given, and notes what it is asked.
type planted struct {
	val    []byte
	stored time.Time
	status string

	mu   sync.Mutex
	keys []string
	tags [][]string
	kept []string // what loads returned, if status is "miss"
}

func (p *planted) GetOrLoad(ctx context.Context, key string, _, _ time.Duration, tags []string, load func(context.Context) ([]byte, error)) ([]byte, time.Time, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys, p.tags = append(p.keys, key), append(p.tags, tags)
	if p.val != nil {
		return p.val, p.stored, p.status, nil
	}
	val, err := load(ctx)
	if err == nil {
		p.kept = append(p.kept, string(val))
	}
	return val, time.Now(), p.status, err
}

// A hit is sent as it was stored, with the entity tag made at the fill: nothing is decoded, encoded or hashed for it.
func TestReadHitIsNotDecoded(t *testing.T) {
	t.Parallel()
	cache := &planted{val: []byte(`1"0123456789abcdefABCDEF"not even JSON`), stored: time.Now(), status: "hit"}
	c := httpxtest.NewClient(t, httpx.Read(echoPage, &httpx.ReadOptions{Cache: cache, Fresh: time.Minute}))
	r := c.Get("/").RequireStatus(200).RequireHeader("Etag", `"0123456789abcdefABCDEF"`)
	require.Equal(t, "not even JSON", string(r.Body))
	same := c.With("If-None-Match", `"0123456789abcdefABCDEF"`).Get("/").RequireStatus(304).RequireHeader("Etag", `"0123456789abcdefABCDEF"`)
	require.Empty(t, same.Body)
	require.Empty(t, same.Header.Get("Content-Type"))
	require.Equal(t, r.Header.Get("Cache-Status"), same.Header.Get("Cache-Status"))
	require.Equal(t, r.Header.Get("Vary"), same.Header.Get("Vary"), "RFC 9110 section 15.4.5 wants it in a 304 too")
}

// Preconditions in the order of RFC 9110 section 13.2.2: If-Match, by strong comparison, before If-None-Match, by weak.
func TestReadPreconditions(t *testing.T) {
	t.Parallel()
	for _, opts := range []*httpx.ReadOptions{nil, {Cache: &httpxtest.Cache{}, Fresh: time.Minute}} {
		c := httpxtest.NewClient(t, stack(route("/n/{id}", httpx.Read(echoID, opts)), httpx.DefaultOptions{}))
		etag := c.Get("/n/1").RequireStatus(200).Header.Get("Etag")
		for _, tc := range []struct {
			match, noneMatch string
			want             int
		}{
			{"", etag, 304},
			{"", "W/" + etag, 304},
			{"", `"x", "y" , ` + etag, 304},
			{"", "*", 304},
			{"", `"x"`, 200},
			{"", strings.Trim(etag, `"`), 200},
			{"", strings.ToUpper(etag), 200},
			{etag, "", 200},
			{"*", "", 200},
			{`"x", ` + etag, "", 200},
			{`"x"`, "", 412},
			{"W/" + etag, "", 412},
			{`"x"`, etag, 412},
			{etag, etag, 304},
		} {
			with := c
			if tc.match != "" {
				with = with.With("If-Match", tc.match)
			}
			if tc.noneMatch != "" {
				with = with.With("If-None-Match", tc.noneMatch)
			}
			for _, method := range []string{"GET", "HEAD"} {
				r := with.Do(method, "/n/1", nil)
				require.Equal(t, tc.want, r.Status, "%s, If-Match %s, If-None-Match %s", method, tc.match, tc.noneMatch)
				if method == "HEAD" || tc.want == 304 {
					require.Empty(t, r.Body)
				}
			}
		}
		c.With("If-Match", `"x"`).Get("/n/1").RequireHeader("Etag", "").RequireProblem(412, "precondition_failed")
		c.With("If-None-Match", `"x"`).With("If-None-Match", etag).Get("/n/1").RequireStatus(304)
	}
}

// What HEAD loads answers GET, and the other way round.
func TestReadHeadSharesTheEntry(t *testing.T) {
	t.Parallel()
	cache := &httpxtest.Cache{}
	c := httpxtest.NewClient(t, route("GET /n/{id}", httpx.Read(echoID, &httpx.ReadOptions{Cache: cache, Fresh: time.Hour})))
	require.Empty(t, c.Do("HEAD", "/n/1", nil).RequireStatus(200).RequireHeader("Cache-Status", "ashlar; fwd=miss; stored").RequireHeader("Content-Length", "3").Body)
	require.Equal(t, `"1"`, string(c.Get("/n/1").RequireHeader("Age", "0").Body))
	c.Do("HEAD", "/n/1", nil).RequireHeader("Age", "0").RequireHeader("Content-Length", "3")
	require.Equal(t, 1, cache.Loads())
}

// Each status in the words of RFC 9211: an item of a structured field list.
func TestReadCacheStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for status, want := range map[string][2]string{
			"hit":        {"ashlar; hit; ttl=50", "10"},
			"stale":      {"ashlar; hit; ttl=50", "10"},
			"miss":       {"ashlar; fwd=miss; stored", ""},
			"unstored":   {"ashlar; fwd=miss; stored=?0", ""},
			"collapsed":  {"ashlar; fwd=miss; collapsed", ""},
			"bypass":     {"ashlar; fwd=bypass", ""},
			"":           {"", ""},
			`"é\` + "\n": {`ashlar; detail="\"??\\?"`, ""},
			"remote, and very talkative about how it went": {`ashlar; detail="remote, and very talkative about how it "`, ""},
		} {
			cache := &planted{val: []byte(`1"0123456789abcdefABCDEF"x`), stored: time.Now().Add(-10 * time.Second), status: status}
			h := httpx.Read(echoPage, &httpx.ReadOptions{Cache: cache, Fresh: time.Minute})
			httpxtest.NewClient(t, h).Get("/").RequireStatus(200).RequireHeader("Cache-Status", want[0]).RequireHeader("Age", want[1])
		}
	})
}

// A load that an invalidation overtakes is answered and not stored, and the client is told so.
func TestReadUnstored(t *testing.T) {
	t.Parallel()
	cache := &httpxtest.Cache{}
	overtaken := true
	h := httpx.Read(func(ctx context.Context, in struct{}) (string, error) {
		if overtaken {
			return "old", cache.InvalidateTags(ctx, "a")
		}
		return "new", nil
	}, &httpx.ReadOptions{Cache: cache, Fresh: time.Hour, Tags: []string{"a"}})
	c := httpxtest.NewClient(t, h)
	c.Get("/").RequireStatus(200).RequireHeader("Cache-Status", "ashlar; fwd=miss; stored=?0")
	overtaken = false
	require.Equal(t, `"new"`, string(c.Get("/").RequireHeader("Cache-Status", "ashlar; fwd=miss; stored").Body))
}

// Tags are expanded from the input, and drop what carries them and nothing else.
func TestReadTags(t *testing.T) {
	t.Parallel()
	cache := &httpxtest.Cache{}
	h := route("GET /n/{id}", httpx.Read(echoID, &httpx.ReadOptions{Cache: cache, Fresh: time.Hour, Tags: []string{"notes", "note:{id}"}}))
	c := httpxtest.NewClient(t, h)
	status := func(path string) string { return c.Get(path).RequireStatus(200).Header.Get("Cache-Status") }
	for _, path := range []string{"/n/1", "/n/2"} {
		require.Contains(t, status(path), "fwd=miss")
		require.Contains(t, status(path), "hit")
	}
	require.NoError(t, cache.InvalidateTags(t.Context(), "note:1"))
	require.Contains(t, status("/n/1"), "fwd=miss")
	require.Contains(t, status("/n/2"), "hit")
	require.NoError(t, cache.InvalidateTags(t.Context(), "notes"))
	require.Contains(t, status("/n/1"), "fwd=miss")
	require.Contains(t, status("/n/2"), "fwd=miss")
}

// withHeader sets a response header around h, as a session or a policy would.
func withHeader(name, value string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, value)
		h.ServeHTTP(w, r)
	})
}

// Headers belong to one answer: they are not stored, and what must not be kept is kept nowhere.
func TestReadStoresNoHeaders(t *testing.T) {
	t.Parallel()
	cache := &planted{status: "miss"}
	h := httpx.Read(echoPage, &httpx.ReadOptions{Cache: cache, Fresh: time.Hour, Scope: httpx.Public})
	c := httpxtest.NewClient(t, h)
	c.Get("/").RequireHeader("Cache-Control", "public, max-age=3600").RequireHeader("Set-Cookie", "")

	withCookie := httpxtest.NewClient(t, withHeader("Set-Cookie", "session=of-ann", h))
	withCookie.Get("/").RequireHeader("Set-Cookie", "session=of-ann").RequireHeader("Cache-Control", "private, no-cache")
	require.Len(t, cache.kept, 2)
	for _, val := range cache.kept {
		require.NotContains(t, val, "of-ann")
	}

	for _, value := range []string{"no-store", "private, No-Store", "max-age=0, no-store"} {
		secret := httpxtest.NewClient(t, withHeader("Cache-Control", value, h))
		secret.Get("/").RequireStatus(200).RequireHeader("Cache-Control", value).RequireHeader("Cache-Status", "ashlar; fwd=bypass")
	}
	require.Len(t, cache.kept, 2, "an answer that must not be stored was")
	httpxtest.NewClient(t, withHeader("Cache-Control", "max-age=60", h)).Get("/").RequireHeader("Cache-Control", "public, max-age=3600")
	require.Len(t, cache.kept, 3)

	// The client's own wishes are for the caches on its way.
	for _, wish := range []string{"no-cache", "no-store", "max-age=0"} {
		c.With("Cache-Control", wish).Get("/").RequireHeader("Cache-Status", "ashlar; fwd=miss; stored")
	}
}

// Keys have one length, so that no store refuses or cuts them.
func TestReadKeysAreBounded(t *testing.T) {
	t.Parallel()
	cache := &planted{status: "miss"}
	h := route("GET /p/{id}", httpx.Read(echoPage, &httpx.ReadOptions{Cache: cache, Fresh: time.Hour}))
	long := strings.Repeat("x", 100_000)
	httpxtest.NewClient(t, h).Get("/p/1").RequireStatus(200)
	httpxtest.NewClient(t, h).Get("/p/" + long + "?sort=" + long).RequireStatus(200)
	httpxtest.NewClient(t, h).Get("/p/" + long + "?sort=" + long + "y").RequireStatus(200)
	httpxtest.NewClient(t, h).With("X-Zone", long).Get("/p/1").RequireStatus(200)
	seen := map[string]bool{}
	for _, key := range cache.keys {
		require.Len(t, key, len("httpx:")+43)
		seen[key] = true
	}
	require.Len(t, seen, 4)
}

// Public answers of two tenants are apart even in a cache that knows no tenants.
func TestReadPublicKeepsTenantsApart(t *testing.T) {
	t.Parallel()
	h := httpx.Read(func(ctx context.Context, _ struct{}) (string, error) {
		id, _ := tenantFrom(ctx)
		return id, nil
	}, &httpx.ReadOptions{Cache: &httpxtest.Cache{}, Fresh: time.Hour, Scope: httpx.Public})
	for _, id := range []string{"acme", "globex"} {
		c := httpxtest.NewClient(t, httpx.Tenant(func(*http.Request) (string, error) { return id, nil }, withTenant)(h))
		require.Equal(t, `"`+id+`"`, string(c.Get("/").RequireStatus(200).Body))
	}
}

// crowd sends n requests at once to a cached endpoint whose function waits for release, the first with ctx, and returns what they got.
func crowd(t *testing.T, ctx context.Context, n int, meanwhile func(), fn func(context.Context) (string, error), opts httpx.DefaultOptions) (codes map[int]int, runs int64) {
	t.Helper()
	var ran atomic.Int64
	release := make(chan struct{})
	cache := &httpxtest.Cache{}
	h := stack(httpx.Read(func(ctx context.Context, _ struct{}) (string, error) {
		ran.Add(1)
		<-release
		return fn(ctx)
	}, &httpx.ReadOptions{Cache: cache, Fresh: time.Hour}), opts)
	var mu sync.Mutex
	var wg sync.WaitGroup
	codes = map[int]int{}
	for i := range n {
		wg.Go(func() {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			if i == 0 {
				r = r.WithContext(ctx)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			mu.Lock()
			defer mu.Unlock()
			codes[w.Code]++
		})
		synctest.Wait()
	}
	meanwhile()
	synctest.Wait()
	close(release)
	wg.Wait()
	return codes, ran.Load()
}

func TestReadRunsOnceForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		codes, runs := crowd(t, t.Context(), 50, func() {}, func(context.Context) (string, error) { return "ok", nil }, httpx.DefaultOptions{})
		require.Equal(t, map[int]int{200: 50}, codes)
		require.EqualValues(t, 1, runs)
	})
}

// The client that came first goes away: the others get what was loaded for it.
func TestReadFirstClientLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		codes, runs := crowd(t, ctx, 10, leave, func(ctx context.Context) (string, error) { return "ok", ctx.Err() }, httpx.DefaultOptions{})
		require.Equal(t, map[int]int{200: 9, 499: 1}, codes)
		require.EqualValues(t, 1, runs)
	})
}

// A panic is everybody's 500 and one report, and nothing is stored.
func TestReadPanicIsSharedAndReportedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		found := &reports{}
		codes, runs := crowd(t, t.Context(), 10, func() {}, func(context.Context) (string, error) { panic("boom") }, httpx.DefaultOptions{Errors: found})
		require.Equal(t, map[int]int{500: 10}, codes)
		require.EqualValues(t, 1, runs)
		require.Len(t, found.all(), 1)
	})
}
