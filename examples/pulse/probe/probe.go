// Package probe asks a URL whether it works, without letting anybody use
// pulse to look into the network that it runs in.
package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
)

const (
	// Timeout is how long a site may take to answer.
	Timeout = 10 * time.Second

	maxRedirects = 5
	maxBody      = 64 << 10 // read so that the connection can be used again
)

// ErrPrivate says that a name leads to an address inside somebody's network.
var ErrPrivate = errors.New("the address is private")

// Options say how to probe; the zero value is for the open internet.
type Options struct {
	// AllowPrivate lets probes reach loopback and private addresses. False
	// refuses them: whoever may name a URL could read the network pulse is in.
	AllowPrivate bool
}

// Prober checks URLs. It is safe for concurrent use.
type Prober struct{ client *http.Client }

// New returns a Prober; nil means the zero options.
func New(opts *Options) *Prober {
	dialer := &net.Dialer{Timeout: Timeout}
	if opts == nil || !opts.AllowPrivate {
		// Checked for every address that is dialled, after the name was
		// resolved: no redirect and no second DNS answer gets around it.
		dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			return refusePrivate(address)
		}
	}
	return &Prober{client: &http.Client{
		Timeout: Timeout,
		Transport: &http.Transport{
			DialContext:           dialer.DialContext,
			TLSHandshakeTimeout:   Timeout,
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
			ResponseHeaderTimeout: Timeout,
			MaxIdleConnsPerHost:   1,
			MaxIdleConns:          200,
			IdleConnTimeout:       time.Minute,
			ForceAttemptHTTP2:     true,

			MaxResponseHeaderBytes: 64 << 10,

			// No Proxy: the environment's proxy would dial for us, unchecked.
		},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return fmt.Errorf("stopped after %d redirects", maxRedirects)
			}
			return nil
		},
	}}
}

// reserved are the ranges that netip has no question for.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),    // IETF protocols, RFC 6890
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation, RFC 5737
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks, RFC 2544
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"),     // Teredo and other tunnels
	netip.MustParsePrefix("2002::/16"),     // 6to4
	netip.MustParsePrefix("2001:db8::/32"), // documentation
	netip.MustParsePrefix("3fff::/20"),     // documentation, RFC 9637
}

// global is where all public IPv6 addresses are (RFC 4291, section 2.4). The
// rest leads back to IPv4 (NAT64), is deprecated, or is not assigned.
var global = netip.MustParsePrefix("2000::/3")

func refusePrivate(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q", ErrPrivate, address)
	}
	a := ap.Addr().Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !global.Contains(a) {
		return ErrPrivate
	}
	for _, r := range reserved {
		if r.Contains(a) {
			return ErrPrivate
		}
	}
	return nil
}

// Check asks the URL once. It always has an answer: what went wrong is the
// result's Failure, in words fit for a status page. Only ctx's end is an
// error, because it says nothing about the site.
func (p *Prober) Check(ctx context.Context, target string) (uptime.Result, error) {
	start := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return uptime.Result{At: start.UTC(), Failure: "the URL is not valid"}, nil
	}
	req.Header.Set("User-Agent", "pulse (+https://github.com/ashlar-go/ashlar)")
	res, err := p.client.Do(req)
	r := uptime.Result{At: start.UTC(), Latency: time.Since(start)}
	if err != nil {
		if ctx.Err() != nil {
			return uptime.Result{}, context.Cause(ctx)
		}
		r.Failure = explain(err)
		return r, nil
	}
	defer res.Body.Close()
	// Whether the rest arrives does not matter: the site has answered.
	_, _ = io.CopyN(io.Discard, res.Body, maxBody)
	r.Status = res.StatusCode
	if res.StatusCode >= 400 {
		r.Failure = fmt.Sprintf("HTTP %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	}
	return r, nil
}

// explain puts an error into words without addresses, which are nobody's
// business on a public page.
func explain(err error) string {
	var dns *net.DNSError
	var netErr net.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, ErrPrivate):
		return "refused: " + ErrPrivate.Error()
	case errors.As(err, &dns):
		return "the name does not resolve"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(err, &certificate):
		return "the TLS certificate is not valid"
	case errors.As(err, &netErr) && netErr.Timeout():
		return "no answer within " + Timeout.String()
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed without an answer"
	}
	return "the request failed"
}
