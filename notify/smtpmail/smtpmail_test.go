package smtpmail_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/notifytest"
	"github.com/ashlar-go/ashlar/notify/smtpmail"
)

var (
	from = notify.Address{Name: "Acme \"Ops\", Inc.", Email: "hi@acme.example"}
	ann  = notify.Email{Key: "d1", To: notify.Address{Name: "Ann", Email: "ann@recipient.example"}, Subject: "Hi", Text: "x"}
)

// decode reads a mail with the standard library, which shares no code with the encoder.
func decode(data []byte) (m notify.Email, err error) {
	msg, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return m, err
	}
	to, err := msg.Header.AddressList("To")
	if err != nil || len(to) != 1 {
		return m, fmt.Errorf("To: %v", err)
	}
	sender, err := msg.Header.AddressList("From")
	if err != nil || len(sender) != 1 || sender[0].Name != from.Name || sender[0].Address != from.Email {
		return m, fmt.Errorf("From: %v", err)
	}
	if _, err := msg.Header.Date(); err != nil {
		return m, err
	}
	for name, values := range msg.Header {
		known := " From To Subject Date Message-Id Mime-Version Auto-Submitted Content-Type Content-Transfer-Encoding "
		if len(values) != 1 || !strings.Contains(known, " "+name+" ") {
			return m, fmt.Errorf("header %s appears %d times", name, len(values))
		}
	}
	m.To = notify.Address{Name: to[0].Name, Email: to[0].Address}
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject")); err != nil {
		return m, err
	}
	return m, decodeBody(&m, msg.Header.Get("Content-Type"), msg.Header.Get("Content-Transfer-Encoding"), msg.Body)
}

func decodeBody(m *notify.Email, contentType, encoding string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return err
	}
	if kind == "multipart/alternative" {
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := decodeBody(m, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p); err != nil {
				return err
			}
		}
	}
	if encoding != "quoted-printable" || params["charset"] != "utf-8" {
		return fmt.Errorf("encoding %q, type %q", encoding, contentType)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(body))
	switch kind {
	case "text/plain":
		m.Text = string(text)
	case "text/html":
		m.HTML = string(text)
	default:
		return errors.New("unknown type " + kind)
	}
	return err
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, configure := range map[string]func(*server){
		"STARTTLS and PLAIN":     nil,
		"implicit TLS and LOGIN": func(s *server) { s.implicit, s.auth = true, "LOGIN" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			notifytest.RunEmail(t, func(t *testing.T) notifytest.EmailHarness {
				s := start(t, configure)
				opts := s.options()
				if s.implicit {
					opts.TLS = smtpmail.TLSImplicit
				}
				return notifytest.EmailHarness{Sender: s.mailer(opts), Received: s.emails, Next: s.Next, Secrets: []string{password, user, from.Email}}
			}, notifytest.Features{NoDedupe: true})
		})
	}
}

func TestEnvelopeAndMessageID(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *server) { s.plaintext, s.auth = true, "" })
	m := s.mailer(&smtpmail.Options{TLS: smtpmail.TLSNone})
	id, err := m.SendEmail(t.Context(), ann)
	require.NoError(t, err)
	require.Equal(t, "<d1@acme.example>", id)
	again, err := m.SendEmail(t.Context(), ann)
	require.NoError(t, err)
	require.Equal(t, id, again, "a repeated delivery must be recognisable")
	require.True(t, strings.HasPrefix(s.received[0].from, "FROM:<hi@acme.example>"))
	require.Contains(t, string(s.received[0].data), "\r\nMessage-ID: "+id+"\r\n")

	unnamed := ann
	unnamed.Key = ""
	one, err := m.SendEmail(t.Context(), unnamed)
	require.NoError(t, err)
	two, err := m.SendEmail(t.Context(), unnamed)
	require.NoError(t, err)
	require.NotEqual(t, one, two)
}

func TestDowngradeIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *server) { s.plaintext = true }) // as if somebody had cut STARTTLS out
	_, err := s.mailer(s.options()).SendEmail(t.Context(), ann)
	require.ErrorIs(t, err, notify.ErrUnauthorized)
	require.ErrorContains(t, err, "STARTTLS")
	require.Empty(t, s.received)
}

func TestCertificateIsVerified(t *testing.T) {
	t.Parallel()
	for _, implicit := range []bool{false, true} {
		s := start(t, func(s *server) { s.implicit = implicit })
		opts := s.options()
		opts.TLSConfig = nil
		if implicit {
			opts.TLS = smtpmail.TLSImplicit
		}
		_, err := s.mailer(opts).SendEmail(t.Context(), ann)
		require.ErrorIs(t, err, notify.ErrUnavailable)
		require.ErrorContains(t, err, "certificate")
		require.Empty(t, s.received)
	}
}

func TestPasswordNeverCrossesTheNetworkInTheClear(t *testing.T) {
	t.Parallel()
	_, err := smtpmail.New("mail.example.com:25", from, &smtpmail.Options{Username: user, Password: password, TLS: smtpmail.TLSNone})
	require.ErrorContains(t, err, "unprotected")
	require.NotContains(t, err.Error(), password)
}

func TestServersThatSpeakNonsense(t *testing.T) {
	t.Parallel()
	for name, greeting := range map[string]string{
		"endless line": strings.Repeat("x", 2<<20), "not SMTP": "HTTP/1.1 400 Bad Request\r\n\r\n", "busy": "421 4.3.2 shutting down\r\n", "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			done := make(chan struct{})
			go func() {
				defer close(done)
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				io.WriteString(conn, greeting)
			}()
			m, err := smtpmail.New(l.Addr().String(), from, &smtpmail.Options{TLS: smtpmail.TLSNone})
			require.NoError(t, err)
			_, err = m.SendEmail(t.Context(), ann)
			require.ErrorIs(t, err, notify.ErrUnavailable)
			require.True(t, notify.Retryable(err))
			require.Less(t, len(err.Error()), 1000)
			if name == "endless line" {
				require.ErrorContains(t, err, "too long", "2 MiB are not read")
			}
			<-done
		})
	}
}

// A provider that refuses us says nothing about the message: it must stay in the
// queue until the configuration is right.
func TestOnlyRefusedMessagesAreGivenUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		verb, answer string
		want         error
		retryable    bool
	}{
		{"220", "554 5.7.1 your network is blocked", notify.ErrUnavailable, true},
		{"220", "421 4.3.2 shutting down", notify.ErrUnavailable, true},
		{"STARTTLS", "502 5.5.1 not today", notify.ErrUnavailable, true},
		{"AUTH", "535 5.7.8 wrong password", notify.ErrUnauthorized, true},
		{"AUTH", "554 5.7.0 account disabled", notify.ErrUnauthorized, true},
		{"AUTH", "454 4.7.0 later", notify.ErrRateLimited, true},
		{"MAIL", "550 5.7.60 not allowed to send as this sender", notify.ErrUnauthorized, true},
		{"MAIL", "452 4.3.1 full", notify.ErrUnavailable, true},
		{"RCPT", "550 5.1.1 no such mailbox", notify.ErrRejected, false},
		{"RCPT", "530 5.7.0 log in first", notify.ErrUnauthorized, true},
		{"DATA", "554 5.6.0 no valid recipients", notify.ErrRejected, false},
	} {
		t.Run(c.verb+" "+c.answer, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(s *server) { s.refuse = map[string]string{c.verb: c.answer} })
			_, err := s.mailer(s.options()).SendEmail(t.Context(), ann)
			require.ErrorIs(t, err, c.want)
			require.Equal(t, c.retryable, notify.Retryable(err))
			require.Empty(t, s.emails())
		})
	}
}

// Over a pipe, in virtual time: the server takes the message and says no more.
func TestOwnTimeout(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]time.Duration{0: 30 * time.Second, time.Minute: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{t: t, plaintext: true, next: notifytest.Hang}
			m, err := smtpmail.New("127.0.0.1:25", from, &smtpmail.Options{
				TLS: smtpmail.TLSNone, Timeout: timeout,
				Dial: func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					s.conns.Go(func() {
						defer theirs.Close()
						(&session{server: s, conn: theirs}).run()
					})
					return ours, nil
				},
			})
			require.NoError(t, err)
			start := time.Now()
			_, err = m.SendEmail(t.Context(), ann)
			require.ErrorIs(t, err, notify.ErrUncertain)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, want, time.Since(start))
			s.conns.Wait()
		})
	}
}

func TestNewChecksArguments(t *testing.T) {
	t.Parallel()
	for _, bad := range []struct {
		addr string
		from notify.Address
		opts smtpmail.Options
	}{
		{"mail.example.com", from, smtpmail.Options{}},
		{":25", from, smtpmail.Options{}},
		{"mail.example.com:25", notify.Address{}, smtpmail.Options{}},
		{"mail.example.com:25", from, smtpmail.Options{TLS: 9}},
		{"mail.example.com:25", from, smtpmail.Options{Username: "x"}},
		{"mail.example.com:25", from, smtpmail.Options{Hello: "a b"}},
	} {
		_, err := smtpmail.New(bad.addr, bad.from, &bad.opts)
		require.Error(t, err)
	}
	_, err := smtpmail.New("mail.example.com:25", from, nil)
	require.NoError(t, err)
}
