package httpx

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// HealthOptions configures [NewHealth]; nil and the zero value are ready for use.
type HealthOptions struct {
	// Timeout bounds each check. Zero means 2 s, negative means none: a check that hangs then hangs all probes.
	Timeout time.Duration

	// MaxAge is how long a result is reused, so that probes cannot overload what they check. Zero means 1 s, negative means never.
	MaxAge time.Duration

	// Detail reports whether the caller may see which checks fail. Nil means nobody.
	Detail func(*http.Request) bool

	// Logger is told when a check starts to fail and when it recovers. Nil means slog.Default().
	Logger *slog.Logger
}

// Health answers the probes of a load balancer or an orchestrator. Give it to [RunOptions], so that readiness ends before the
// server stops. It is safe for concurrent use; use [NewHealth].
type Health struct {
	opts     HealthOptions
	checks   []*check
	draining atomic.Bool

	mu      sync.Mutex
	at      time.Time
	failing []string
}

type check struct {
	name    string
	fn      func(context.Context) error
	running atomic.Bool
	failed  bool // guarded by Health.mu
}

// NewHealth returns a Health that is ready while all checks return nil, such as {"postgres": pool.Ping}. Nil checks mean always ready.
func NewHealth(checks map[string]func(context.Context) error, opts *HealthOptions) *Health {
	h := &Health{}
	if opts != nil {
		h.opts = *opts
	}
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		if checks[name] == nil {
			panic("httpx: NewHealth: check " + name + " is nil")
		}
		h.checks = append(h.checks, &check{name: name, fn: checks[name]})
	}
	return h
}

// Live answers 200 as long as the process can answer at all; it looks at nothing else, so that a lost database does not make an
// orchestrator restart healthy processes. Mount it at GET /livez.
func (h *Health) Live() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.answer(w, r, http.StatusOK, `{"status":"ok"}`) })
}

// Ready answers 200 when all checks pass and 503 when one fails, takes too long or panics, or when the server is draining.
// Checks run in parallel; a check that ignores its context is not started again before it has returned. Mount it at GET /readyz.
func (h *Health) Ready() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.draining.Load() {
			h.answer(w, r, http.StatusServiceUnavailable, `{"status":"draining"}`)
			return
		}
		failing := h.run(context.WithoutCancel(r.Context()))
		if len(failing) == 0 {
			h.answer(w, r, http.StatusOK, `{"status":"ok"}`)
			return
		}
		p := NewProblem(http.StatusServiceUnavailable, "not_ready", "")
		if h.opts.Detail != nil && h.opts.Detail(r) {
			p.Extensions = map[string]any{"failing": failing}
		}
		writeProblem(w, r, p)
	})
}

// Drain makes Ready answer 503 from now on. [Run] calls it; call it yourself when another server runs the handlers.
func (h *Health) Drain() { h.draining.Store(true) }

func (h *Health) answer(w http.ResponseWriter, r *http.Request, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(body))
	}
}

// run returns the names of the failing checks. Concurrent callers wait for one round and share it.
func (h *Health) run(ctx context.Context) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	maxAge := durationOr(h.opts.MaxAge, time.Second)
	if !h.at.IsZero() && time.Since(h.at) < maxAge {
		return h.failing
	}
	if timeout := durationOr(h.opts.Timeout, 2*time.Second); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	results := make([]chan error, len(h.checks))
	for i, c := range h.checks {
		results[i] = c.start(ctx)
	}
	h.failing = nil
	for i, c := range h.checks {
		var err error
		select {
		case err = <-results[i]:
		case <-ctx.Done():
			select { // a result that is there counts, even if the time is up
			case err = <-results[i]:
			default:
				err = ctx.Err()
			}
		}
		if err != nil {
			h.failing = append(h.failing, c.name)
		}
		h.logChange(ctx, c, err)
	}
	h.at = time.Now()
	return h.failing
}

// start runs the check once; its goroutine ends when the check returns.
func (c *check) start(ctx context.Context) chan error {
	result := make(chan error, 1)
	if !c.running.CompareAndSwap(false, true) {
		result <- context.DeadlineExceeded
		return result
	}
	go func() {
		defer c.running.Store(false)
		defer func() {
			if v := recover(); v != nil {
				result <- panicError(v)
			}
		}()
		result <- c.fn(ctx)
	}()
	return result
}

func (h *Health) logChange(ctx context.Context, c *check, err error) {
	switch {
	case err != nil && !c.failed:
		loggerOr(h.opts.Logger).LogAttrs(ctx, slog.LevelWarn, "health check fails", slog.String("check", c.name), slog.String("err", err.Error()))
	case err == nil && c.failed:
		loggerOr(h.opts.Logger).LogAttrs(ctx, slog.LevelInfo, "health check passes again", slog.String("check", c.name))
	}
	c.failed = err != nil
}

func durationOr(d, zero time.Duration) time.Duration {
	if d == 0 {
		return zero
	}
	return d
}
