package httpx_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

var local = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} // where httptest's requests come from

func TestDefaultPanicsWithoutHandler(t *testing.T) {
	t.Parallel()
	require.Panics(t, func() { httpx.Default(nil, nil) })
}

func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /a", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /a", func(http.ResponseWriter, *http.Request) {})
	inner := http.NewServeMux()
	inner.HandleFunc("GET /b", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/v1/", http.StripPrefix("/v1", inner))
	mux.HandleFunc("GET /own", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "my own page", http.StatusNotFound) })
	mux.HandleFunc("GET /silent", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(http.StatusNotFound)
	})
	mux.HandleFunc("GET /panics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		panic("between header and body")
	})
	mux.HandleFunc("GET /undecided", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		httpx.WriteError(w, r, httpx.NewProblem(410, "gone", ""))
	})
	mux.Handle("GET /files/", http.FileServer(http.Dir(t.TempDir())))
	c := httpxtest.NewClient(t, stack(mux, httpx.DefaultOptions{}))

	c.Get("/missing").RequireProblem(404, "not_found")
	c.Get("/panics").RequireProblem(500, "internal")
	c.Get("/undecided").RequireProblem(410, "gone")
	c.Get("/v1/missing").RequireProblem(404, "not_found")
	c.Get("/files/missing").RequireProblem(404, "not_found")
	r := c.Do("DELETE", "/a", nil)
	require.Equal(t, "Allowed here: GET, HEAD, POST.", r.RequireProblem(405, "method_not_allowed")["detail"])
	r.RequireHeader("Allow", "GET, HEAD, POST")
	c.Do("POST", "/v1/b", "{}").RequireHeader("Allow", "GET, HEAD").RequireProblem(405, "method_not_allowed")
	require.Equal(t, "my own page\n", string(c.Get("/own").RequireStatus(404).Body), "a handler's own page was replaced")
	require.Empty(t, c.Get("/silent").RequireStatus(404).Body)
	require.Empty(t, c.Do("HEAD", "/missing", nil).RequireStatus(404).Body)
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for _, tc := range []struct {
		trusted []netip.Prefix
		sent    string
		taken   bool
	}{
		{local, "abc-DEF_123", true},
		{nil, "abc-DEF_123", false}, // anybody could choose ids that collide in the log
		{local, "short", false},
		{local, strings.Repeat("x", 65), false},
		{local, "abc\ndef-injected", false},
		{local, "", false},
	} {
		h := stack(http.NotFoundHandler(), httpx.DefaultOptions{TrustedProxies: tc.trusted})
		got := httpxtest.NewClient(t, h).With("X-Request-Id", tc.sent).Get("/").Header.Get("X-Request-Id")
		require.Equal(t, tc.taken, got == tc.sent, "%q", tc.sent)
		if !tc.taken {
			require.Regexp(t, uuid, got)
			require.False(t, seen[got])
			seen[got] = true
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Frame-Options", "SAMEORIGIN") })
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("x") })
	h := stack(mux, httpx.DefaultOptions{TrustedProxies: local, Headers: map[string]string{"referrer-policy": "no-referrer", "X-Extra": "1", "Cross-Origin-Opener-Policy": ""}})
	c := httpxtest.NewClient(t, h)
	for _, path := range []string{"/page", "/missing", "/panic"} {
		r := c.Get(path)
		r.RequireHeader("X-Content-Type-Options", "nosniff").RequireHeader("Referrer-Policy", "no-referrer").RequireHeader("X-Extra", "1")
		require.Contains(t, r.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
		require.NotContains(t, r.Header, "Cross-Origin-Opener-Policy")
		require.NotContains(t, r.Header, "Strict-Transport-Security", "HSTS on plain HTTP")
	}
	c.Get("/page").RequireHeader("X-Frame-Options", "SAMEORIGIN")
	require.NotEmpty(t, c.With("X-Forwarded-Proto", "https").Get("/page").Header.Get("Strict-Transport-Security"))
	untrusted := httpxtest.NewClient(t, stack(mux, httpx.DefaultOptions{})).With("X-Forwarded-Proto", "https")
	require.NotContains(t, untrusted.Get("/page").Header, "Strict-Transport-Security")
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	entered := 0
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ignores", func(w http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
	mux.HandleFunc("POST /answers", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			httpx.WriteError(w, r, fmt.Errorf("read: %w", err))
			return
		}
		entered++
		fmt.Fprint(w, n)
	})
	mux.Handle("POST /upload", httpx.BodyLimit(1000)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, len(b), err)
	})))
	c := httpxtest.NewClient(t, stack(mux, httpx.DefaultOptions{MaxBody: 100}))
	exact, over := strings.Repeat("x", 100), strings.Repeat("x", 101)
	require.Equal(t, "100", string(c.Post("/answers", exact).RequireStatus(200).Body))
	for _, path := range []string{"/ignores", "/answers"} {
		c.Post(path, over).RequireProblem(413, "body_too_large")
		c.Post(path, io.MultiReader(strings.NewReader(over))).RequireProblem(413, "body_too_large") // without Content-Length
	}
	require.Equal(t, 1, entered)
	require.Equal(t, "101 <nil>", string(c.Post("/upload", over).Body), "a nearer limit did not replace the outer one")

	unlimited := httpxtest.NewClient(t, stack(mux, httpx.DefaultOptions{MaxBody: -1}))
	unlimited.Post("/answers", strings.Repeat("x", 2<<20)).RequireStatus(200)
	standard := httpxtest.NewClient(t, stack(mux, httpx.DefaultOptions{}))
	standard.Post("/answers", strings.Repeat("x", 1<<20)).RequireStatus(200)
	standard.Post("/answers", strings.Repeat("x", 1<<20+1)).RequireProblem(413, "body_too_large")
}

// The client must not be told to send a body that is refused.
func TestBodyLimitBeforeContinue(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle("POST /", httpx.Write(nil, func(context.Context, NewNote) (Note, error) { return Note{}, nil }, nil))
	url, c := serve(t, stack(mux, httpx.DefaultOptions{MaxBody: 100}))
	body := &countReader{Reader: strings.NewReader(strings.Repeat("x", 1<<20))}
	r, err := http.NewRequest("POST", url, body)
	require.NoError(t, err)
	r.ContentLength = 1 << 20
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Expect", "100-continue")
	c.Transport.(*http.Transport).ExpectContinueTimeout = 1 << 40
	res, err := c.Do(r)
	require.NoError(t, err)
	require.Contains(t, text(res), "body_too_large")
	require.Zero(t, body.n)
}

// What is left of a body that is too large must not be taken for the next request, nor read to its end.
func TestBodyLimitClosesTheConnection(t *testing.T) {
	t.Parallel()
	mux := route("POST /", httpx.Write(nil, func(context.Context, NewNote) (Note, error) { return Note{}, nil }, nil))
	url, c := serve(t, stack(mux, httpx.DefaultOptions{MaxBody: 100}))
	res, err := c.Post(url, "application/json", io.MultiReader(strings.NewReader(strings.Repeat("x", 200))))
	require.NoError(t, err)
	require.Contains(t, text(res), "body_too_large")
	require.True(t, res.Close)
}

type countReader struct {
	io.Reader
	n int
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	logs, found := &logBook{}, &reports{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /u/{id}", func(w http.ResponseWriter, r *http.Request) {
		httpx.InfoFrom(r.Context()).SetPrincipal("user:7")
		fmt.Fprint(w, "12345")
	})
	mux.HandleFunc("GET /fail", func(w http.ResponseWriter, r *http.Request) { httpx.WriteError(w, r, errors.New("db is down")) })
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("boom") })
	c := httpxtest.NewClient(t, stack(mux, httpx.DefaultOptions{Logger: logs.logger(), Errors: found}))
	c.Get("/u/reset-token-abc?token=s3cr3t")
	c.Get("/fail").RequireProblem(500, "internal")
	c.Get("/panic").RequireProblem(500, "internal")
	c.Get("/nowhere")

	lines := logs.requests(t)
	require.Len(t, lines, 4)
	ok := lines[0]
	require.Equal(t, "GET /u/{id}", ok["route"], "the pattern is lost behind the copies that Deadline and others make")
	require.EqualValues(t, 200, ok["status"])
	require.EqualValues(t, 5, ok["bytes"])
	require.Equal(t, "192.0.2.1", ok["ip"])
	require.Equal(t, "user:7", ok["principal"])
	require.NotEmpty(t, ok["request_id"])
	require.Contains(t, ok, "dur")
	require.NotContains(t, logs.String(), "s3cr3t")
	require.NotContains(t, logs.String(), "reset-token", "paths carry secrets too")
	require.Equal(t, "db is down", lines[1]["err"])
	require.Equal(t, "ERROR", lines[1]["level"])
	require.Equal(t, "GET /panic", lines[2]["route"])
	require.Equal(t, "panic: boom", lines[2]["err"])
	require.EqualValues(t, 404, lines[3]["status"])
	require.Equal(t, "not_found", lines[3]["code"])
	require.Len(t, found.all(), 2)
	require.Empty(t, found.with[0])
	require.Contains(t, found.with[1], "default_test.go", "the stack does not lead to the handler")
}

// The log tells the status that the client saw.
func TestAccessLogStatus(t *testing.T) {
	t.Parallel()
	logs := &logBook{}
	url, c := serve(t, stack(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "ok")
		w.WriteHeader(http.StatusInternalServerError)
	}), httpx.DefaultOptions{Logger: logs.logger()}))
	res, err := c.Get(url)
	require.NoError(t, err)
	require.Equal(t, "ok", text(res))
	require.Equal(t, http.StatusCreated, res.StatusCode)
	require.Eventually(t, func() bool { return len(logs.requests(t)) == 1 }, time.Minute, time.Millisecond)
	require.EqualValues(t, http.StatusCreated, logs.requests(t)[0]["status"])
}

// Log handlers that add the request id ask Info, which must not be locked while they run.
func TestAccessLogHandlerMayAskInfo(t *testing.T) {
	t.Parallel()
	logs := &logBook{}
	h := stack(http.NotFoundHandler(), httpx.DefaultOptions{Logger: slog.New(asking{slog.NewJSONHandler(logs, nil)})})
	synctest.Test(t, func(t *testing.T) { // a deadlock ends the bubble at once
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}()
		<-done
	})
	line := logs.requests(t)[0]
	require.Equal(t, line["request_id"], line["trace"])
}

// asking is a log handler that adds what it finds in the context.
type asking struct{ slog.Handler }

func (a asking) Handle(ctx context.Context, r slog.Record) error {
	r.AddAttrs(slog.String("trace", httpx.InfoFrom(ctx).RequestID()))
	return a.Handler.Handle(ctx, r)
}

func TestAccessLogWithURL(t *testing.T) {
	t.Parallel()
	logs := &logBook{}
	c := httpxtest.NewClient(t, stack(http.NotFoundHandler(), httpx.DefaultOptions{Logger: logs.logger(), LogURL: true}))
	c.Get("/search?page=2&access_token=s3cr3t&API-Key=s3cr3t&q=ann%40example.com&%73ignature=s3cr3t&bad=%zz")
	line := logs.requests(t)[0]
	require.Equal(t, "/search", line["path"])
	require.Equal(t, "page=2&access_token=REDACTED&API-Key=REDACTED&q=REDACTED&signature=REDACTED", line["query"])
	c.Get("/search?page=2&q=" + strings.Repeat("a", 1010) + "ann.smith%40example.com")
	require.Equal(t, "page=2", logs.requests(t)[1]["query"], "half an address is one too")
}

type panicReporter struct{}

func (panicReporter) Report(context.Context, error, []byte) { panic("the reporter is broken too") }

func TestBrokenReporterDoesNotBreakTheAnswer(t *testing.T) {
	t.Parallel()
	h := stack(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("x") }), httpx.DefaultOptions{Errors: panicReporter{}})
	httpxtest.NewClient(t, h).Get("/").RequireProblem(500, "internal")
}

type counts struct {
	mu sync.Mutex
	m  map[string]float64
}

func (c *counts) Add(_ context.Context, name string, n float64, kv ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[name+fmt.Sprint(kv)] += n
}

func TestMetricsCountPanicsAndBoundTheirLabels(t *testing.T) {
	t.Parallel()
	m := &counts{m: map[string]float64{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/u/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") == "0" {
			panic("boom")
		}
	})
	c := httpxtest.NewClient(t, stack(mux, httpx.DefaultOptions{Metrics: m}))
	for i := range 3 {
		c.Get(fmt.Sprintf("/u/%d", i))
		c.Do(fmt.Sprintf("M%d", i), "/u/9", nil)
		c.Get(fmt.Sprintf("/scan/%d", i))
	}
	require.EqualValues(t, 2, m.m["httpx.requests[method GET route /u/{id} status 200]"])
	require.EqualValues(t, 1, m.m["httpx.requests[method GET route /u/{id} status 500]"])
	require.EqualValues(t, 3, m.m["httpx.requests[method other route /u/{id} status 200]"])
	require.EqualValues(t, 3, m.m["httpx.requests[method GET route  status 404]"])
	require.Len(t, m.m, 8)
}

// Each middleware must also work alone, and twice.
func TestMiddlewaresAlone(t *testing.T) {
	t.Parallel()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.InfoFrom(r.Context()).Log()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		_, _ = w.Write(bytes.ToUpper(b))
	})
	for name, mw := range map[string]httpx.Middleware{
		"ClientIP": httpx.ClientIP(nil), "RequestID": httpx.RequestID(), "AccessLog": httpx.AccessLog(&httpx.AccessLogOptions{Logger: quiet()}),
		"no Metrics": httpx.Metrics(nil), "Metrics": httpx.Metrics(&counts{m: map[string]float64{}}), "Recover": httpx.Recover(nil), "SecureHeaders": httpx.SecureHeaders(nil),
		"BodyLimit": httpx.BodyLimit(0), "Deadline": httpx.Deadline(1 << 40), "Problems": httpx.Problems(),
	} {
		t.Run(name, func(t *testing.T) {
			c := httpxtest.NewClient(t, mw(mw(h)))
			require.Equal(t, "HI", string(c.Post("/", "hi").RequireStatus(200).Body))
		})
	}
	w := httptest.NewRecorder()
	httpx.InfoFrom(context.Background()).SetPrincipal("nobody reads this")
	httpx.WriteError(w, httptest.NewRequest("GET", "/", nil), errors.New("x"))
	require.Equal(t, 500, w.Code)
}
