package httpx_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx"
)

// logBook keeps what was logged.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBook) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// requests returns the access log lines.
func (l *logBook) requests(t *testing.T) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for _, line := range bytes.Split([]byte(l.String()), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var m map[string]any
		require.NoError(t, json.Unmarshal(line, &m))
		if m["msg"] == "request" {
			lines = append(lines, m)
		}
	}
	return lines
}

// reports keeps what was reported.
type reports struct {
	mu   sync.Mutex
	errs []error
	with []string
}

func (r *reports) Report(_ context.Context, err error, stack []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
	r.with = append(r.with, string(stack))
}

func (r *reports) all() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]error(nil), r.errs...)
}

// serve starts a real server of h and returns its URL and a client of its own.
func serve(t *testing.T, h http.Handler) (string, *http.Client) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL, srv.Client()
}

// running is a Run under test.
type running struct {
	url    string
	cancel context.CancelFunc
	done   chan error
}

// start runs h on a free port; opts.Ready is overwritten.
func start(t *testing.T, h http.Handler, opts httpx.RunOptions) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, done: make(chan error, 1)}
	ready := make(chan net.Addr, 1)
	opts.Ready = func(a net.Addr) { ready <- a }
	opts.Logger = quiet()
	go func() { r.done <- httpx.Run(ctx, "127.0.0.1:0", h, &opts) }()
	select {
	case a := <-ready:
		r.url = "http://" + a.String()
	case err := <-r.done:
		t.Fatalf("Run returned before it was ready: %v", err)
	}
	t.Cleanup(cancel)
	return r
}

// wait returns what Run returned.
func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("Run did not return")
		return nil
	}
}

// pass lets virtual time go by; it is used inside synctest bubbles only.
func pass(d time.Duration) { <-time.After(d) }

func stack(mux http.Handler, opts httpx.DefaultOptions) http.Handler {
	if opts.Logger == nil {
		opts.Logger = quiet()
	}
	return httpx.Default(mux, &opts)
}
