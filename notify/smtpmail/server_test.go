package smtpmail_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/notifytest"
	"github.com/ashlar-go/ashlar/notify/smtpmail"
)

const (
	user     = "mailer"
	password = "secret-smtp-password"
)

// server is an SMTP server on the loopback interface, strict about the protocol.
type server struct {
	t        *testing.T
	listener net.Listener
	cert     tls.Certificate
	roots    *x509.CertPool

	implicit  bool   // TLS from the first byte
	plaintext bool   // no STARTTLS offered
	auth      string // mechanisms offered
	// refuse holds the answer to a verb, "220" being the greeting.
	refuse map[string]string

	conns    sync.WaitGroup
	mu       sync.Mutex
	next     notifytest.Behaviour
	received []envelope
	open     map[net.Conn]bool
}

type envelope struct {
	from, to string
	data     []byte
}

func start(t *testing.T, configure func(*server)) *server {
	s := &server{t: t, auth: "PLAIN LOGIN", open: map[net.Conn]bool{}}
	s.cert, s.roots = certificate(t)
	if configure != nil {
		configure(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	if s.implicit {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{s.cert}})
	}
	s.listener = l
	s.conns.Go(s.serve)
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for c := range s.open {
			c.Close()
		}
		s.mu.Unlock()
		s.conns.Wait()
	})
	return s
}

func (s *server) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[conn] = true
		s.mu.Unlock()
		s.conns.Go(func() {
			defer func() {
				conn.Close()
				s.mu.Lock()
				delete(s.open, conn)
				s.mu.Unlock()
			}()
			(&session{server: s, conn: conn, secure: s.implicit}).run()
		})
	}
}

func (s *server) Next(b notifytest.Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = b
}

// is consumes the behaviour b if it is due.
func (s *server) is(b notifytest.Behaviour) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != b {
		return false
	}
	s.next = ""
	return true
}

func (s *server) options() *smtpmail.Options {
	return &smtpmail.Options{
		Username: user, Password: password, TLSConfig: &tls.Config{RootCAs: s.roots},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if s.is(notifytest.Refuse) {
				return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
}

func (s *server) mailer(opts *smtpmail.Options) *smtpmail.Mailer {
	m, err := smtpmail.New(s.listener.Addr().String(), from, opts)
	require.NoError(s.t, err)
	return m
}

// session is one connection.
type session struct {
	*server
	conn     net.Conn
	secure   bool
	loggedIn bool
	mail     envelope
}

func (c *session) run() {
	text := textproto.NewConn(c.conn)
	reply := func(format string, args ...any) { text.PrintfLine(format, args...) }
	if no := c.refuse["220"]; no != "" {
		reply("%s", no)
		return
	}
	reply("220 fake ESMTP")
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(line, " ")
		if no := c.refuse[strings.ToUpper(verb)]; no != "" {
			reply("%s", no)
			continue
		}
		switch strings.ToUpper(verb) {
		case "EHLO":
			reply("250-fake")
			if !c.secure && !c.plaintext {
				reply("250-STARTTLS")
			}
			if c.auth != "" && (c.secure || c.plaintext) {
				reply("250-AUTH %s", c.auth)
			}
			reply("250 SIZE 10000000")
		case "STARTTLS":
			reply("220 go ahead")
			secure := tls.Server(c.conn, &tls.Config{Certificates: []tls.Certificate{c.cert}})
			if secure.Handshake() != nil {
				return
			}
			c.conn, c.secure, text = secure, true, textproto.NewConn(secure)
		case "AUTH":
			c.login(text, arg)
		case "MAIL":
			if c.auth != "" && !c.loggedIn {
				reply("530 5.7.0 Authentication required")
				continue
			}
			c.mail = envelope{from: arg}
			reply("250 ok")
		case "RCPT":
			switch {
			case c.is(notifytest.Reject):
				reply("550-5.1.1 %s: no such mailbox,", arg)
				reply("550 5.1.1 sorry %s", arg)
			case c.is(notifytest.Throttle):
				reply("450 4.7.1 %s: slow down", arg)
			default:
				c.mail.to = arg
				reply("250 ok")
			}
		case "DATA":
			reply("354 go ahead")
			if !c.data(text, reply) {
				return
			}
		case "QUIT":
			reply("221 bye")
			return
		default:
			reply("500 5.5.1 what is %q?", line)
		}
	}
}

func (c *session) data(text *textproto.Conn, reply func(string, ...any)) bool {
	var err error
	if c.mail.data, err = readData(text.R); err != nil {
		if !errors.Is(err, errGaveUp) {
			c.t.Error(err)
		}
		return false
	}
	switch {
	case c.is(notifytest.Break):
		reply("451 4.3.0 no disk space for %s", c.mail.to)
		return true
	case c.is(notifytest.Hang):
		text.ReadLine() // until the other side gives up
		return false
	}
	c.mu.Lock()
	c.received = append(c.received, c.mail)
	c.mu.Unlock()
	if c.is(notifytest.LoseAnswer) {
		return false
	}
	reply("250 2.0.0 queued")
	return true
}

// errGaveUp: the client went away before the final dot, so there is no message.
var errGaveUp = errors.New("no final dot")

// readData undoes dot-stuffing (RFC 5321 §4.5.2) and refuses what a strict server
// refuses: bare line feeds, long lines, bytes that are not ASCII.
func readData(r *bufio.Reader) ([]byte, error) {
	var data []byte
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, errGaveUp
		}
		body, ok := strings.CutSuffix(line, "\r\n")
		switch {
		case !ok || strings.Contains(body, "\r"):
			return nil, fmt.Errorf("bare line end in %q", line)
		case len(line) > 1000:
			return nil, fmt.Errorf("line of %d bytes", len(line))
		case strings.ContainsFunc(body, func(r rune) bool { return r > '~' }):
			return nil, fmt.Errorf("byte outside ASCII in %q", line)
		case body == ".":
			return data, nil
		}
		data = append(data, strings.TrimPrefix(line, ".")...)
	}
}

func (c *session) login(text *textproto.Conn, arg string) {
	ask := func(prompt string) string {
		text.PrintfLine("334 %s", base64.StdEncoding.EncodeToString([]byte(prompt)))
		line, _ := text.ReadLine()
		answer, _ := base64.StdEncoding.DecodeString(line)
		return string(answer)
	}
	mechanism, initial, _ := strings.Cut(arg, " ")
	var name, pass string
	switch mechanism {
	case "PLAIN":
		raw, _ := base64.StdEncoding.DecodeString(initial)
		if parts := strings.Split(string(raw), "\x00"); len(parts) == 3 {
			name, pass = parts[1], parts[2]
		}
	case "LOGIN":
		name = ask("Username:")
		pass = ask("Password:")
	}
	if name != user || pass != password || c.is(notifytest.Unauthorized) {
		text.PrintfLine("535 5.7.8 wrong password %s of %s", pass, name)
		return
	}
	c.loggedIn = true
	text.PrintfLine("235 welcome")
}

// certificate is self-signed for 127.0.0.1.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// emails decodes what was received with the standard library's readers.
func (s *server) emails() (list []notify.Email) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.received {
		m, err := decode(e.data)
		if err != nil {
			s.t.Errorf("undecodable mail: %v\n%.2000s", err, e.data)
			continue
		}
		require.Equal(s.t, "TO:<"+m.To.Email+">", e.to)
		list = append(list, m)
	}
	return list
}
