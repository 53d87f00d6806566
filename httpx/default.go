package httpx

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"
)

// DefaultOptions configures [Default]; nil and the zero value are ready for use.
type DefaultOptions struct {
	// Logger receives access log and panics. Nil means slog.Default().
	Logger *slog.Logger

	// LogURL adds path and redacted query to the access log. False means route patterns only. See [AccessLogOptions].
	LogURL bool

	// Errors is told about panics and unexpected errors. Nil means nobody.
	Errors interface {
		Report(ctx context.Context, err error, stack []byte)
	}

	// Metrics counts requests; see [Metrics]. Nil means no metrics.
	Metrics interface {
		Add(ctx context.Context, name string, n float64, kv ...string)
	}

	// TrustedProxies are the networks of the proxies in front of this server; only their headers are believed. Nil means none.
	TrustedProxies []netip.Prefix

	// ClientIPHeader is where they put the client's address. Zero means X-Forwarded-For; see [ClientIPOptions].
	ClientIPHeader string

	// MaxBody bounds request bodies in bytes. Zero means 1 MiB, negative means no limit.
	MaxBody int64

	// Deadline bounds the time of a request. Zero means 30 s, negative means none.
	Deadline time.Duration

	// Headers changes the security headers: a value replaces or adds one, "" removes it. Nil means the defaults of [SecureHeaders].
	Headers map[string]string

	// MapErrors turns errors of other packages into problems; see [Problems]. Nil means none.
	MapErrors []func(error) *Problem
}

// Default puts the middlewares that every service needs around h, in the order that works. From the outside in:
// [ClientIP], [RequestID], [AccessLog], [Metrics], [Recover], [SecureHeaders], [BodyLimit], [Deadline], [Problems].
// Nothing in it buffers a response or hides what http.ResponseController offers. It panics when h is nil.
func Default(h http.Handler, opts *DefaultOptions) http.Handler {
	if h == nil {
		panic("httpx: Default needs a handler")
	}
	if opts == nil {
		opts = &DefaultOptions{}
	}
	timeout := opts.Deadline
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	h = Problems(opts.MapErrors...)(h)
	if timeout > 0 {
		h = Deadline(timeout)(h)
	}
	h = BodyLimit(opts.MaxBody)(h)
	h = SecureHeaders(opts.Headers)(h)
	h = Recover(&RecoverOptions{Logger: opts.Logger, Errors: opts.Errors})(h)
	h = Metrics(opts.Metrics)(h)
	h = AccessLog(&AccessLogOptions{Logger: opts.Logger, URL: opts.LogURL})(h)
	h = RequestID()(h)
	return ClientIP(&ClientIPOptions{TrustedProxies: opts.TrustedProxies, Header: opts.ClientIPHeader})(h)
}
