package stripebilling

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/stripe/stripe-go/v76"

	"github.com/ashlar-go/ashlar/billing"
)

// call runs one request and repeats it while that is sensible, the context lasts and retries are left. The
// request must carry the same idempotency key each time.
func (p *Provider) call(ctx context.Context, op string, request func() error) error {
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return p.classify(op, err)
		}
		err := request()
		if err == nil {
			return nil
		}
		typed := p.classify(op, err)
		if !typed.Retryable || attempt >= p.opts.retries() {
			return typed
		}
		d := pause(attempt, header(err))
		if d > maxPause {
			return typed // repeating sooner than asked for would make an overload worse
		}
		wait := time.NewTimer(d)
		select {
		case <-ctx.Done():
			wait.Stop()
			return typed
		case <-wait.C:
		}
	}
}

// maxPause is the longest wait between two attempts: somebody is waiting for the page.
const maxPause = 5 * time.Second

// pause is what the server asks for, or doubles from 200 ms up to maxPause, with jitter so that clients
// spread out.
func pause(attempt int, h http.Header) time.Duration {
	if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil && s >= 0 {
		return time.Duration(min(s, 3600)) * time.Second
	}
	d := min(200*time.Millisecond<<min(attempt, 5), maxPause)
	return d/2 + rand.N(d/2)
}

func header(err error) http.Header {
	if se, ok := errors.AsType[*stripe.Error](err); ok && se.LastResponse != nil {
		return se.LastResponse.Header
	}
	return nil
}

func (p *Provider) fail(op string, kind error, detail string) *billing.Error {
	return &billing.Error{Op: "stripe: " + op, Kind: kind, Detail: detail}
}

// classify turns what the SDK returns into a billing.Error, with Stripe's rules as described at
// https://docs.stripe.com/api/errors and https://docs.stripe.com/error-low-level.
func (p *Provider) classify(op string, err error) *billing.Error {
	out := p.fail(op, billing.ErrUnavailable, "")
	out.Err = err
	se, ok := errors.AsType[*stripe.Error](err)
	if !ok {
		// No answer, or one that is not Stripe's: a proxy's page, a broken body.
		out.Retryable = !errors.Is(err, context.Canceled)
		out.Detail = connectionDetail(err)
		return out
	}
	out.Detail = fmt.Sprintf("HTTP %d", se.HTTPStatusCode)
	for _, f := range [][2]string{{"code", string(se.Code)}, {"param", se.Param}, {"request", se.RequestID}} {
		if f[1] != "" {
			out.Detail += " " + f[0] + " " + f[1]
		}
	}
	switch status := se.HTTPStatusCode; {
	case se.Code == stripe.ErrorCodeResourceMissing, status == http.StatusNotFound:
		out.Kind = billing.ErrNotFound
	case se.Type == stripe.ErrorTypeIdempotency && status != http.StatusConflict:
		out.Kind = billing.ErrConflict
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		out.Kind = billing.ErrAuth
	case status == http.StatusConflict:
		out.Kind, out.Retryable = billing.ErrConflict, true // the key's first request is still running
	case status == http.StatusTooManyRequests:
		out.Kind, out.Retryable = billing.ErrRateLimited, true
	case status >= 500:
		out.Retryable = true
	default:
		out.Kind = billing.ErrInvalid
	}
	switch header(err).Get("Stripe-Should-Retry") {
	case "true":
		out.Retryable = true
	case "false":
		out.Retryable = false
	}
	return out
}

// connectionDetail says what is safe of a transport error: no URL, no body.
func connectionDetail(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "context canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	}
	if ne, ok := errors.AsType[*net.OpError](err); ok {
		return ne.Error()
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		if ue.Timeout() {
			return "timed out"
		}
		return "connection failed"
	}
	return "the answer was not Stripe's"
}

// bounded caps response bodies, which the SDK reads whole.
type bounded struct{ next http.RoundTripper }

const maxResponse = 4 << 20

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	next := b.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxResponse), resp.Body}
	return resp, nil
}
