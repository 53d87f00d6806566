// Package httpsend is what the HTTP adapters share: a bounded client, and the
// classification of answers and of silence.
package httpsend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/internal/redact"
)

const (
	maxAnswer     = 64 << 10
	maxRetryAfter = 24 * time.Hour
)

// Client returns a copy of base (nil: one with the default transport and a
// timeout of 30 seconds) that follows no redirect, since that would hand the
// message to another host, and reads at most 64 KiB of an answer.
func Client(base *http.Client) *http.Client {
	c := http.Client{Timeout: 30 * time.Second}
	if base != nil {
		c = *base
	}
	next := c.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	c.Transport = bounded{next}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(req)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxAnswer), res.Body}
	}
	return res, err
}

// Call watches one request, to tell "never sent" from "sent, but no answer".
type Call struct {
	op      string
	secrets []string
	written atomic.Bool
}

// Track returns a context for the request. The secrets never appear in errors.
func Track(ctx context.Context, op string, secrets ...string) (context.Context, *Call) {
	c := &Call{op: op, secrets: secrets}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				c.written.Store(true)
			}
		},
	}), c
}

// Failed classifies a request without an answer. Once the whole request was
// written the provider may have acted on it.
func (c *Call) Failed(err error) error {
	// *url.Error prints the URL, which holds the account.
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	kind := notify.ErrUnavailable
	if c.written.Load() {
		kind = notify.ErrUncertain
	}
	return &notify.Error{Op: c.op, Kind: kind, Retryable: true, Err: redact.Error(err, c.secrets...)}
}

// Refused classifies an answer other than 2xx. detail is the provider's own
// explanation; it is cleaned and shortened. cause, if not nil, is the SDK's error.
func (c *Call) Refused(status int, header http.Header, detail string, cause error) error {
	e := &notify.Error{Op: c.op, Kind: notify.ErrRejected}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		e.Kind, e.Retryable = notify.ErrUnauthorized, true
	case status == http.StatusTooManyRequests:
		e.Kind, e.Retryable = notify.ErrRateLimited, true
	case status == http.StatusRequestTimeout:
		e.Kind, e.Retryable = notify.ErrUnavailable, true
	case status < 400 || status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		// Not the API: a wrong BaseURL or account, or a portal. No verdict on the message.
		e.Kind, e.Retryable = notify.ErrUnavailable, true
	case status == http.StatusBadGateway || status == http.StatusGatewayTimeout: // the gateway does not know either
		e.Kind, e.Retryable = notify.ErrUncertain, true
	case status >= 500:
		e.Kind, e.Retryable = notify.ErrUnavailable, true
	}
	if e.Retryable {
		e.RetryAfter = retryAfter(header, time.Now())
	}
	text := fmt.Sprintf("HTTP status %d", status)
	if detail = redact.Text(detail, c.secrets...); detail != "" {
		text += ": " + detail
	}
	e.Err = &answer{text: text, cause: cause}
	return e
}

type answer struct {
	text  string
	cause error
}

func (a *answer) Error() string { return a.text }
func (a *answer) Unwrap() error { return a.cause }

// retryAfter reads Retry-After (RFC 9110 §10.2.3), or else SendGrid's
// X-RateLimit-Reset, a Unix time. Nonsense counts as absent.
func retryAfter(h http.Header, now time.Time) time.Duration {
	var wait time.Duration
	if v := strings.TrimSpace(h.Get("Retry-After")); v != "" {
		if s, err := strconv.ParseInt(v, 10, 32); err == nil {
			wait = time.Duration(s) * time.Second
		} else if at, err := http.ParseTime(v); err == nil {
			wait = at.Sub(now)
		}
	} else if s, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil {
		wait = time.Unix(s, 0).Sub(now)
	}
	if wait < 0 || wait > maxRetryAfter {
		return 0
	}
	return wait
}
