// Package smtpmail sends e-mail to an SMTP server (RFC 5321), one connection per
// message, with TLS, STARTTLS (RFC 3207) and AUTH (RFC 4954).
//
// SMTP has no idempotency key. The Message-ID is derived from the delivery's key,
// so that readers and servers which drop repeated ids show a repeated message once.
package smtpmail

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/notify"
)

const op = "smtpmail: send"

// TLSMode says how the connection is protected.
type TLSMode int

// The modes of [Options].TLS.
const (
	// TLSAuto: TLS from the first byte on port 465, else STARTTLS, which the
	// server must then offer.
	TLSAuto TLSMode = iota
	// TLSImplicit: TLS from the first byte on any port (RFC 8314).
	TLSImplicit
	// TLSNone: no TLS at all, for a server on this machine or a private network.
	// A password is then sent to a loopback address only.
	TLSNone
)

// Options configure [New].
type Options struct {
	// Username and Password log in with AUTH PLAIN or LOGIN. Empty: no login.
	Username, Password string
	// TLS is how the connection is protected. Zero means [TLSAuto].
	TLS TLSMode
	// TLSConfig adds to the defaults (TLS 1.2, the host of addr). nil: defaults.
	TLSConfig *tls.Config
	// Hello is the name this side gives in EHLO. Empty means "localhost".
	Hello string
	// Timeout bounds one message from dialling to the server's answer, in addition
	// to the context. Zero means 30 seconds, negative no limit.
	Timeout time.Duration
	// Dial opens the connection. nil means a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (o *Options) timeout() time.Duration {
	if o.Timeout == 0 {
		return 30 * time.Second
	}
	return o.Timeout
}

func (o *Options) hello() string {
	if o.Hello == "" {
		return "localhost"
	}
	return o.Hello
}

// Mailer is a [notify.EmailSender]. Create it with [New]; it is safe for
// concurrent use and keeps no connection open.
type Mailer struct {
	addr, host string
	from       notify.Address
	implicit   bool
	opts       Options
}

var _ notify.EmailSender = (*Mailer)(nil)

// New returns a mailer for the server at addr ("smtp.example.com:587"). It does
// not connect. opts may be nil.
func New(addr string, from notify.Address, opts *Options) (*Mailer, error) {
	if opts == nil {
		opts = &Options{}
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "" {
		return nil, errors.New("smtpmail: addr is not host:port")
	}
	if err := from.Validate(); err != nil {
		return nil, fmt.Errorf("smtpmail: from: %w", err)
	}
	s := &Mailer{addr: addr, host: host, from: from, opts: *opts}
	switch {
	case opts.TLS < TLSAuto || opts.TLS > TLSNone:
		return nil, errors.New("smtpmail: Options.TLS is not one of the modes")
	case (opts.Username == "") != (opts.Password == ""):
		return nil, errors.New("smtpmail: Options.Username and Options.Password come together")
	case opts.Password != "" && opts.TLS == TLSNone && !isLoopback(host):
		return nil, errors.New("smtpmail: Options.TLS is TLSNone: the password would cross the network unprotected")
	case strings.ContainsFunc(opts.hello(), func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("smtpmail: Options.Hello is not a host name")
	}
	s.implicit = opts.TLS == TLSImplicit || opts.TLS == TLSAuto && port == "465"
	return s, nil
}

// SendEmail sends m and returns its Message-ID. Success means that the server took
// responsibility for the message (RFC 5321 §4.2.5), not that it was delivered.
func (s *Mailer) SendEmail(ctx context.Context, m notify.Email) (string, error) {
	if err := m.Validate(); err != nil {
		return "", err
	}
	if limit := s.opts.timeout(); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if m.Key == "" {
		m.Key = rand.Text()
	}
	id := "<" + messageKey(m.Key) + "@" + s.from.Email[strings.LastIndexByte(s.from.Email, '@')+1:] + ">"
	data, err := encode(s.from, m, id, time.Now())
	if err != nil {
		return "", fmt.Errorf("smtpmail: encode: %w", err)
	}
	c := conversation{mailer: s, secrets: []string{m.To.Email, s.from.Email, s.opts.Username, s.opts.Password}}
	if err := c.run(ctx, m.To.Email, data); err != nil {
		return "", c.classify(ctx, err)
	}
	return id, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
