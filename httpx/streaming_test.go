package httpx_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

// protocols runs a test over HTTP/1.1 and HTTP/2 with the whole default stack in between.
func protocols(t *testing.T, h http.Handler, run func(t *testing.T, url string, c *http.Client)) {
	for _, h2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP1", true: "HTTP2"}[h2], func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(stack(h, httpx.DefaultOptions{}))
			srv.EnableHTTP2 = h2
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
			srv.StartTLS()
			t.Cleanup(srv.Close)
			run(t, srv.URL, srv.Client())
		})
	}
}

func TestStackKeepsStreaming(t *testing.T) {
	t.Parallel()
	read := make(chan struct{}, 2)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		require.NoError(t, rc.SetReadDeadline(time.Now().Add(time.Minute)))
		require.NoError(t, rc.SetWriteDeadline(time.Now().Add(time.Minute)))
		require.NoError(t, rc.EnableFullDuplex())
		_, ok := w.(io.ReaderFrom)
		require.True(t, ok, "sendfile is lost")
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(w, "first")
		require.NoError(t, rc.Flush())
		<-read // the client has the first part while the handler still runs
		w.(http.Flusher).Flush()
		_, err := io.Copy(w, strings.NewReader(" second"))
		require.NoError(t, err)
	})
	protocols(t, h, func(t *testing.T, url string, c *http.Client) {
		hints := 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { hints = code; return nil },
		})
		r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		require.NoError(t, err)
		res, err := c.Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		part := make([]byte, 5)
		_, err = io.ReadFull(res.Body, part)
		require.NoError(t, err)
		read <- struct{}{}
		rest, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "first second", string(part)+string(rest))
		require.Equal(t, http.StatusEarlyHints, hints)
	})
}

func TestStackKeepsWriteDeadline(t *testing.T) {
	t.Parallel()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, http.NewResponseController(w).SetWriteDeadline(time.Now().Add(-time.Second)))
		_, err := w.Write(make([]byte, 1<<20))
		if err == nil {
			err = http.NewResponseController(w).Flush()
		}
		if err == nil { // HTTP/2 tells the handler through its context
			<-r.Context().Done()
		}
	})
	protocols(t, h, func(t *testing.T, url string, c *http.Client) {
		res, err := c.Get(url)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		require.Error(t, err, "the deadline did not reach the connection")
	})
}

func TestStackKeepsHijack(t *testing.T) {
	t.Parallel()
	logs := &logBook{}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if r.ProtoMajor == 2 {
			require.True(t, errors.Is(err, http.ErrNotSupported), "%v", err)
			w.WriteHeader(http.StatusNotImplemented)
			return
		}
		require.NoError(t, err)
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhello")
		require.NoError(t, rw.Flush())
	})
	protocols(t, h, func(t *testing.T, url string, c *http.Client) {
		if strings.HasSuffix(t.Name(), "HTTP2") {
			res, err := c.Get(url)
			require.NoError(t, err)
			defer res.Body.Close()
			require.Equal(t, http.StatusNotImplemented, res.StatusCode)
			return
		}
		raw, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), c.Transport.(*http.Transport).TLSClientConfig)
		require.NoError(t, err)
		defer raw.Close()
		fmt.Fprint(raw, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(raw), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	})
	// A hijacked connection is in the log too, also when its handler panics afterwards.
	url, c := serve(t, stack(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		require.NoError(t, err)
		_ = conn.Close()
		panic("after hijack")
	}), httpx.DefaultOptions{Logger: logs.logger()}))
	_, err := c.Get(url)
	require.Error(t, err)
	require.Eventually(t, func() bool { return len(logs.requests(t)) == 1 }, time.Minute, time.Millisecond)
	require.EqualValues(t, http.StatusSwitchingProtocols, logs.requests(t)[0]["status"])
}

// A panic after the first byte must not look like a short but complete answer.
func TestPanicAfterFirstByteBreaksTheBody(t *testing.T) {
	t.Parallel()
	found := &reports{}
	for name, value := range map[string]any{"value": "boom", "error": io.ErrUnexpectedEOF, "of the runtime": nil} {
		t.Run(name, func(t *testing.T) {
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, "half of the ")
				_ = http.NewResponseController(w).Flush()
				if value == nil {
					_ = []int{}[len(r.URL.Path):][1]
				}
				panic(value)
			})
			srv := httptest.NewUnstartedServer(stack(h, httpx.DefaultOptions{Errors: found}))
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
			srv.EnableHTTP2 = name == "error"
			srv.StartTLS()
			defer srv.Close()
			res, err := srv.Client().Get(srv.URL)
			require.NoError(t, err)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.Error(t, err, "the client takes %q for a whole answer", body)
			require.NotContains(t, string(body), "problem")
		})
	}
	require.Len(t, found.all(), 3)
}

// Files go through ReadFrom where there is one, so that the kernel can copy them, and count all the same.
func TestStackCountsFiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "page.txt")
	require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("x"), 100_000), 0o600))
	logs := &logBook{}
	h := stack(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }), httpx.DefaultOptions{Logger: logs.logger()})
	httpxtest.NewClient(t, h).Get("/").RequireStatus(200)
	url, c := serve(t, h)
	res, err := c.Get(url)
	require.NoError(t, err)
	require.Len(t, text(res), 100_000)
	require.Eventually(t, func() bool { return len(logs.requests(t)) == 2 }, time.Minute, time.Millisecond)
	for _, line := range logs.requests(t) {
		require.EqualValues(t, 100_000, line["bytes"])
		require.EqualValues(t, 200, line["status"])
	}
}

// The planted fault: a middleware that swallows the panic makes the same answer look whole.
func TestPanicAfterFirstByteNeedsTheAbort(t *testing.T) {
	t.Parallel()
	swallow := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { _ = recover() }()
			next.ServeHTTP(w, r)
		})
	}
	url, c := serve(t, swallow(stack(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("boom")
	}), httpx.DefaultOptions{})))
	res, err := c.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	_, err = io.ReadAll(res.Body)
	require.NoError(t, err, "without the abort the body should have looked whole")
}

func TestAbortPassesThroughUnreported(t *testing.T) {
	t.Parallel()
	found := &reports{}
	for _, v := range []error{http.ErrAbortHandler, fmt.Errorf("copy: %w", http.ErrAbortHandler)} {
		h := stack(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(v) }), httpx.DefaultOptions{Errors: found})
		require.PanicsWithValue(t, http.ErrAbortHandler, func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		})
	}
	require.Empty(t, found.all())
}

func TestConnectionIsReusedAfterPanicBeforeFirstByte(t *testing.T) {
	t.Parallel()
	url, c := serve(t, stack(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("Content-Encoding", "gzip")
		panic("secret detail")
	}), httpx.DefaultOptions{}))
	for i := range 2 {
		var reused bool
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
		r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		require.NoError(t, err)
		res, err := c.Do(r)
		require.NoError(t, err)
		body := text(res)
		require.Equal(t, 500, res.StatusCode)
		require.Contains(t, body, `"code":"internal"`)
		require.NotContains(t, body, "secret")
		require.Equal(t, i == 1, reused)
	}
}
