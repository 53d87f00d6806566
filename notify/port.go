package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Limits of one message. A mail of more than 100 kB is clipped by common
// readers; a text of more than 1600 characters is refused by carriers.
const (
	maxSubject = 255
	maxBody    = 1 << 20
	maxSMS     = 1600
	maxKey     = 128
)

// Channel is a way to reach a person.
type Channel string

// The channels of this package.
const (
	ChannelEmail Channel = "email"
	ChannelSMS   Channel = "sms"
)

// Email is one mail to one person, ready to be sent.
type Email struct {
	// Key identifies this delivery: it is the same on every retry and unique
	// otherwise. Adapters pass it on so that a provider or a reader can drop a
	// repetition and status reports can be matched. At most 128 bytes of printable
	// ASCII without spaces; empty: none.
	Key     string
	Kind    string // of the notification
	Tenant  string // empty in a single-tenant program
	To      Address
	Subject string
	Text    string // Text or HTML must be set
	HTML    string
}

// Validate reports what is wrong with m; the error wraps [ErrInvalid]. Adapters
// call it before any I/O: a message that passes cannot inject a header or command.
func (m Email) Validate() error {
	err := cmp.Or(
		m.To.check("Email.To"), checkLine("Email.Subject", m.Subject, maxSubject),
		checkBody("Email.Text", m.Text, maxBody), checkBody("Email.HTML", m.HTML, maxBody),
		checkMeta("Email", m.Key, m.Kind, m.Tenant))
	switch {
	case err != nil:
	case m.Subject == "":
		err = errors.New("Email.Subject is empty")
	case m.Text == "" && m.HTML == "":
		err = errors.New("Email has neither Text nor HTML")
	}
	if err != nil {
		return invalid("notify: email", err)
	}
	return nil
}

// SMS is one text message to one phone, ready to be sent.
type SMS struct {
	Key    string // see [Email].Key
	Kind   string
	Tenant string
	To     string // E.164
	Text   string // at most 1600 characters
}

// Validate reports what is wrong with m; the error wraps [ErrInvalid].
func (m SMS) Validate() error {
	err := cmp.Or(
		checkPhone("SMS.To", m.To), checkBody("SMS.Text", m.Text, 4*maxSMS),
		checkMeta("SMS", m.Key, m.Kind, m.Tenant))
	switch {
	case err != nil:
	case m.Text == "":
		err = errors.New("SMS.Text is empty")
	case utf8.RuneCountInString(m.Text) > maxSMS:
		err = fmt.Errorf("SMS.Text is longer than %d characters", maxSMS)
	}
	if err != nil {
		return invalid("notify: sms", err)
	}
	return nil
}

// checkMeta: the key ends up in headers (Message-ID), hence ASCII without spaces.
func checkMeta(field, key, kind, tenant string) error {
	for i := range len(key) {
		if c := key[i]; c <= ' ' || c > '~' {
			return fmt.Errorf("%s.Key has a character other than printable ASCII", field)
		}
	}
	if len(key) > maxKey {
		return fmt.Errorf("%s.Key is longer than %d bytes", field, maxKey)
	}
	return cmp.Or(checkLine(field+".Kind", kind, 64), checkLine(field+".Tenant", tenant, 255))
}

// EmailSender is the port of an e-mail provider. SendEmail returns once the
// provider has accepted the message, with the provider's id for it (which may be
// empty); on failure it returns an [*Error]. Implementations are safe for
// concurrent use, honour ctx and prove themselves with notifytest.RunEmail.
type EmailSender interface {
	SendEmail(ctx context.Context, m Email) (id string, err error)
}

// EmailFunc makes an [EmailSender] of a function.
type EmailFunc func(ctx context.Context, m Email) (id string, err error)

// SendEmail calls f.
func (f EmailFunc) SendEmail(ctx context.Context, m Email) (string, error) { return f(ctx, m) }

// SMSSender is the port of an SMS provider, with the same contract as
// [EmailSender]; the suite is notifytest.RunSMS.
type SMSSender interface {
	SendSMS(ctx context.Context, m SMS) (id string, err error)
}

// SMSFunc makes an [SMSSender] of a function.
type SMSFunc func(ctx context.Context, m SMS) (id string, err error)

// SendSMS calls f.
func (f SMSFunc) SendSMS(ctx context.Context, m SMS) (string, error) { return f(ctx, m) }
