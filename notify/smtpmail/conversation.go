package smtpmail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/internal/redact"
)

// errNoTLS and errNoAuth are refusals of our own.
var (
	errNoTLS  = errors.New("the server does not offer STARTTLS; set Options.TLS if that is intended")
	errNoAuth = errors.New("the server offers neither AUTH PLAIN nor LOGIN")
)

// maxAnswers bounds what a server may say, TLS handshake included.
const maxAnswers = 1 << 20

// boundedConn fails once the server has said too much: net/textproto would read a
// line of any length.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("the server's answers are too long")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// stage is how far a conversation has come: what a refusal is about depends on it.
type stage int

const (
	greeting stage = iota // before AUTH: the server itself
	identity              // AUTH and MAIL: who sends
	message               // RCPT and DATA: this message
	sent                  // the final dot went out
)

// conversation is one connection with one message.
type conversation struct {
	mailer  *Mailer
	secrets []string
	stage   stage
}

func (c *conversation) run(ctx context.Context, to string, data []byte) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// net/smtp knows no context: its end makes every read and write fail at once.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	client, err := smtp.NewClient(conn, c.mailer.host)
	if err != nil {
		return err
	}
	if err := c.open(client); err != nil {
		return err
	}
	c.stage = identity
	if err := client.Mail(c.mailer.from.Email); err != nil {
		return err
	}
	c.stage = message
	if err := client.Rcpt(to); err != nil {
		return err
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // still without the final dot, so the server must discard it
	}
	c.stage = sent
	if err := w.Close(); err != nil {
		return err
	}
	client.Quit() // the message is accepted; a failed farewell changes nothing
	return nil
}

func (c *conversation) dial(ctx context.Context) (net.Conn, error) {
	dial := c.mailer.opts.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", c.mailer.addr)
	if err != nil {
		return nil, err
	}
	conn = &boundedConn{Conn: conn, left: maxAnswers}
	if !c.mailer.implicit {
		return conn, nil
	}
	secure := tls.Client(conn, c.mailer.tlsConfig())
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secure, nil
}

// open greets, protects and logs in.
func (c *conversation) open(client *smtp.Client) error {
	s := c.mailer
	if err := client.Hello(s.opts.hello()); err != nil {
		return err
	}
	if !s.implicit && s.opts.TLS != TLSNone {
		if ok, _ := client.Extension("STARTTLS"); !ok {
			return errNoTLS
		}
		if err := client.StartTLS(s.tlsConfig()); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if s.opts.Username == "" {
		return nil
	}
	auth, err := s.auth(client)
	if err != nil {
		return err
	}
	c.stage = identity
	return client.Auth(auth)
}

func (s *Mailer) tlsConfig() *tls.Config {
	cfg := &tls.Config{}
	if s.opts.TLSConfig != nil {
		cfg = s.opts.TLSConfig.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = s.host
	}
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS12
	}
	return cfg
}

func (s *Mailer) auth(client *smtp.Client) (smtp.Auth, error) {
	_, offered := client.Extension("AUTH")
	for mechanism := range strings.FieldsSeq(strings.ToUpper(offered)) {
		switch mechanism {
		case "PLAIN":
			return smtp.PlainAuth("", s.opts.Username, s.opts.Password, s.host), nil
		case "LOGIN":
			return &loginAuth{user: s.opts.Username, password: s.opts.Password}, nil
		}
	}
	return nil, errNoAuth
}

// loginAuth is the LOGIN mechanism, a draft that never became an RFC and that some
// large servers offer alone. New has made sure that the line is protected.
type loginAuth struct {
	user, password string
	step           int
}

func (a *loginAuth) Start(*smtp.ServerInfo) (string, []byte, error) { return "LOGIN", nil, nil }

func (a *loginAuth) Next(_ []byte, more bool) ([]byte, error) {
	a.step++
	switch {
	case !more:
		return nil, nil
	case a.step == 1:
		return []byte(a.user), nil
	case a.step == 2:
		return []byte(a.password), nil
	}
	return nil, errors.New("the server asks for more than a name and a password")
}

// classify follows RFC 5321 §4.2.1 (4yz transient, 5yz permanent) and the enhanced
// codes of RFC 3463 (x.7.y security or policy).
func (c *conversation) classify(ctx context.Context, err error) error {
	e := &notify.Error{Op: op, Kind: notify.ErrUnavailable, Retryable: true}
	var reply *textproto.Error
	switch {
	case errors.As(err, &reply):
		e.Kind, e.Retryable = c.kindOf(reply)
		err = &textproto.Error{Code: reply.Code, Msg: redact.Text(reply.Msg, c.secrets...)}
	case errors.Is(err, errNoTLS), errors.Is(err, errNoAuth):
		e.Kind = notify.ErrUnauthorized
	case c.stage == sent:
		e.Kind = notify.ErrUncertain
	}
	// A dead context shows up as an i/o timeout on the connection.
	if cause := ctx.Err(); cause != nil && reply == nil && !errors.Is(err, cause) {
		err = cause
	}
	e.Err = redact.Error(err, c.secrets...)
	return e
}

// kindOf: a permanent refusal is a verdict on the message only once the server has
// seen one. Before, it is about this sender (RFC 5321 §3.1, §3.3), and mail must
// not be given up because of a wrong password or a blocked network.
func (c *conversation) kindOf(reply *textproto.Error) (kind error, retryable bool) {
	switch code := reply.Code; {
	case code == 530 || code == 534 || code == 535 || code == 538:
		return notify.ErrUnauthorized, true
	case strings.HasPrefix(reply.Msg, "4.7."):
		return notify.ErrRateLimited, true
	case code >= 500 && code < 600 && c.stage == identity:
		return notify.ErrUnauthorized, true
	case code >= 500 && code < 600 && c.stage >= message:
		return notify.ErrRejected, false
	case c.stage == sent && (code < 400 || code >= 600): // an answer that is no SMTP
		return notify.ErrUncertain, true
	}
	return notify.ErrUnavailable, true
}
