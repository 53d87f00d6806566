package httpx

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
)

// Info is what is known about one request. The outermost middleware puts it into the context, inner layers and handlers fill
// it, and the access log, metrics and problems read it. One mutable value survives requests being copied by middlewares in
// between, which the Pattern field of http.Request does not. It is safe for concurrent use.
type Info struct {
	mu sync.Mutex
	known
}

// known is what an Info guards.
type known struct {
	id        string
	ip        netip.Addr
	trusted   bool
	secure    bool
	route     string
	tenant    string
	principal string
	code      string
	cache     string
	err       error
	attrs     []slog.Attr
	reporter  reporter
	logger    *slog.Logger
	mappers   []func(error) *Problem
}

type infoKey struct{}

// maxAttrs bounds what handlers can add to one log line.
const maxAttrs = 32

// InfoFrom returns the Info of the request that ctx belongs to. Outside a request (a job, a test) it returns an empty Info that
// nobody reads; it never returns nil.
func InfoFrom(ctx context.Context) *Info {
	if info, ok := ctx.Value(infoKey{}).(*Info); ok {
		return info
	}
	return &Info{}
}

// withInfo returns the request's Info, and the request carrying it.
func withInfo(r *http.Request) (*http.Request, *Info) {
	if info, ok := r.Context().Value(infoKey{}).(*Info); ok {
		return r, info
	}
	info := &Info{}
	return r.WithContext(context.WithValue(r.Context(), infoKey{}, info)), info
}

// RequestID returns the id set by [RequestID], or "".
func (i *Info) RequestID() string { return get(i, &i.id) }

// ClientIP returns the address found by [ClientIP]; the zero Addr when it is unknown (a Unix socket, no middleware).
func (i *Info) ClientIP() netip.Addr { return get(i, &i.ip) }

// Secure reports whether the client speaks TLS, to this server or to a trusted proxy in front of it.
func (i *Info) Secure() bool { return get(i, &i.secure) }

// Route returns the matched ServeMux pattern, or "" before routing and for unknown paths.
func (i *Info) Route() string { return get(i, &i.route) }

// Tenant returns the tenant set by [Tenant], or "".
func (i *Info) Tenant() string { return get(i, &i.tenant) }

// Principal returns who makes the request, as set by SetPrincipal, or "".
func (i *Info) Principal() string { return get(i, &i.principal) }

// SetPrincipal says who makes the request, as one stable id such as "user:42". Authentication calls it; Read then caches
// per principal instead of not at all. It appears in the access log: use an id, never an e-mail address.
func (i *Info) SetPrincipal(id string) { set(i, &i.principal, id) }

// Log adds attributes to the request's access log line; at most 32 are kept.
func (i *Info) Log(attrs ...slog.Attr) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.attrs = append(i.attrs, attrs[:min(len(attrs), maxAttrs-len(i.attrs))]...)
}

func get[T any](i *Info, field *T) T {
	i.mu.Lock()
	defer i.mu.Unlock()
	return *field
}

func set[T any](i *Info, field *T, v T) {
	i.mu.Lock()
	defer i.mu.Unlock()
	*field = v
}

// sawRoute keeps the first pattern seen: the innermost layer reports first, and it alone knows the mux that answered.
func (i *Info) sawRoute(pattern string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.route == "" {
		i.route = pattern
	}
}

// snapshot returns a copy to read without the lock: what loggers do with it may ask this Info again.
func (i *Info) snapshot() known {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.known
}

func (i *Info) fail(code string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.code = code
	if err != nil {
		i.err = err
	}
}

// panicked logs and reports a panic where it was recovered: its stack is known only there.
func (i *Info) panicked(ctx context.Context, err error, stack []byte) {
	loggerOr(get(i, &i.logger)).LogAttrs(ctx, slog.LevelError, "panic", slog.String("request_id", i.RequestID()),
		slog.String("route", i.Route()), slog.String("err", err.Error()), slog.String("stack", string(stack)))
	i.report(ctx, err, stack)
}

func (i *Info) report(ctx context.Context, err error, stack []byte) {
	to := get(i, &i.reporter)
	if to == nil {
		return
	}
	// A reporter that panics must not replace the error it was given.
	defer func() { _ = recover() }()
	to.Report(ctx, err, stack)
}
