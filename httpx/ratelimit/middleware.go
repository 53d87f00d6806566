package ratelimit

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/ashlar-go/ashlar/httpx"
)

// MiddlewareOptions configures [Limiter.Middleware]. Nil is ready for use where the limiter has [Options].Tenant.
type MiddlewareOptions struct {
	// Key says whose request it is: [ByClientIP], or any function; its error is answered (see httpx.WriteError). Nil means
	// the tenant's alone, and needs Options.Tenant.
	Key func(*http.Request) (string, error)

	// Cost is how many units a request takes; at most the burst of each limit. Zero means 1. Negative is refused.
	Cost int64
}

// quotaExceeded is the problem type of draft-ietf-httpapi-ratelimit-headers-11.
const quotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded"

// Middleware lets requests pass as AllowN does, and answers the others: 429 with the code rate_limited, 503 with the code
// rate_limit_unavailable where the limiter is [FailClosed], both with Retry-After in whole seconds, rounded up. All answers
// that limits decided about have the fields RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers-11, added
// to those of other limiters that the request passes; in a dry run there are none. Put a limit per address before
// authentication, one per tenant behind it; a route that costs more gets a Middleware of its own. The access log says which
// limit denied.
//
// It panics when opts have a negative cost, one above the burst of a limit given to New while there is no Options.Limits, or
// no key and there is no Options.Tenant.
func (l *Limiter) Middleware(opts *MiddlewareOptions) httpx.Middleware {
	key, cost := func(*http.Request) (string, error) { return "", nil }, int64(1)
	if opts != nil && opts.Key != nil {
		key = opts.Key
	} else if l.opts.Tenant == nil {
		panic("ratelimit: Middleware needs MiddlewareOptions.Key or Options.Tenant: whose requests are counted?")
	}
	if opts != nil && opts.Cost != 0 {
		cost = opts.Cost
	}
	if cost < 0 {
		panic("ratelimit: MiddlewareOptions.Cost is negative")
	}
	for _, r := range l.rules {
		if l.opts.Limits == nil && cost > r.burst {
			panic(fmt.Sprintf("ratelimit: MiddlewareOptions.Cost is %d, and %s has a burst of %d: no request could pass", cost, r.name, r.burst))
		}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who, err := key(r)
			var d Decision
			if err == nil {
				d, err = l.AllowN(r.Context(), who, cost)
			}
			if errors.Is(err, ErrUnavailable) {
				err = &httpx.Problem{
					Status: http.StatusServiceUnavailable, Code: "rate_limit_unavailable", Err: err,
					Detail: "Requests cannot be counted at the moment.", Header: retryAfter(breakerPause),
				}
			}
			if err != nil {
				httpx.WriteError(w, r, err)
				return
			}
			if d.DeniedBy != "" {
				httpx.InfoFrom(r.Context()).Log(slog.String("rate_limit", d.DeniedBy))
			}
			if !l.opts.DryRun {
				describe(w.Header(), d.States)
			}
			if !d.Allowed {
				httpx.WriteError(w, r, denied(d))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func denied(d Decision) *httpx.Problem {
	return &httpx.Problem{
		Type: quotaExceeded, Status: http.StatusTooManyRequests, Code: "rate_limited", Err: d.Err(),
		Detail:     fmt.Sprintf("Too many requests: try again in %d s.", seconds(d.RetryAfter)),
		Extensions: map[string]any{"violated-policies": []string{d.DeniedBy}},
		Header:     retryAfter(d.RetryAfter),
	}
}

func retryAfter(d time.Duration) http.Header {
	return http.Header{"Retry-After": {strconv.FormatInt(seconds(d), 10)}}
}

// seconds rounds up: who comes back after so many is not too early.
func seconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return n
}

// describe adds the fields of the draft, which are lists of strings with parameters (RFC 9651). q and w are the Rate and the
// Per of a limit, in whole seconds. r is what is left now, and t when there will be more: until then a client cannot use
// more than r, which is what the draft means by it. Retry-After is never earlier than the t of a limit that denies; those
// that would have let the request pass may have a later one.
func describe(h http.Header, states []State) {
	if len(states) == 0 {
		return
	}
	policy, limit := make([]byte, 0, 64), make([]byte, 0, 64)
	for i, s := range states {
		if i > 0 {
			policy, limit = append(policy, ", "...), append(limit, ", "...)
		}
		q, w := window(s.Limit)
		policy = strconv.AppendQuote(policy, s.Name)
		policy = strconv.AppendInt(append(policy, ";q="...), q, 10)
		policy = strconv.AppendInt(append(policy, ";w="...), w, 10)
		limit = strconv.AppendQuote(limit, s.Name)
		limit = strconv.AppendInt(append(limit, ";r="...), s.Remaining, 10)
		if s.Next > 0 {
			limit = strconv.AppendInt(append(limit, ";t="...), seconds(s.Next), 10)
		}
	}
	h["Ratelimit-Policy"] = append(h["Ratelimit-Policy"], string(policy))
	h["Ratelimit"] = append(h["Ratelimit"], string(limit))
}

// window is a limit as so many units in so many whole seconds, rounded to the client's disadvantage.
func window(l Limit) (units, secs int64) {
	const maxInteger = 999_999_999_999_999 // of a structured field
	secs = seconds(l.Per)
	if l.Per%time.Second == 0 {
		return l.Rate, secs
	}
	return int64(min(float64(l.Rate)*float64(secs)/l.Per.Seconds(), maxInteger)), secs
}

// ByClientIP is a key for [MiddlewareOptions]: the address that httpx.ClientIP found, or, without that middleware, the
// peer's, which is the proxy's where there is one. An IPv6 address counts as its /64, which is what one customer of a
// provider has at least; many have a /56 or /48, that is hundreds of those, so a limit on what costs money or mail wants
// another one beside it that counts everybody. Where no address is known it is [ErrNoClientIP].
func ByClientIP(r *http.Request) (string, error) {
	ip := httpx.InfoFrom(r.Context()).ClientIP()
	if !ip.IsValid() {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return "", ErrNoClientIP
		}
		ip = peer.Addr()
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		return netip.PrefixFrom(ip, 64).Masked().String(), nil
	}
	return ip.String(), nil
}
