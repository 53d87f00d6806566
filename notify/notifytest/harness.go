package notifytest

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/ashlar-go/ashlar/notify"
)

// Behaviour is what the provider behind an adapter does with the next message.
// An adapter's test translates it for its fake server.
type Behaviour string

// The behaviours that the suites ask for.
const (
	Reject       Behaviour = "reject"       // refuses the message for good, quoting the recipient
	Unauthorized Behaviour = "unauthorized" // refuses the credentials, quoting them
	Throttle     Behaviour = "throttle"     // asks to come back later
	Break        Behaviour = "break"        // fails without accepting
	Refuse       Behaviour = "refuse"       // accepts no connection
	LoseAnswer   Behaviour = "lose answer"  // accepts the message, then drops the connection
	Hang         Behaviour = "hang"         // takes the message and does not answer
)

// EmailHarness is an adapter and its fake provider.
type EmailHarness struct {
	Sender notify.EmailSender
	// Received decodes what the provider has accepted so far, from the wire. Kind,
	// Tenant and Key need not survive.
	Received func() []notify.Email
	// Next sets the behaviour for the next message only.
	Next func(Behaviour)
	// Secrets must not appear in any error.
	Secrets []string
}

// SMSHarness is the same for SMS.
type SMSHarness struct {
	Sender   notify.SMSSender
	Received func() []notify.SMS
	Next     func(Behaviour)
	Secrets  []string
}

// Features declare what a provider cannot do. The zero value is full support.
type Features struct {
	// NoDedupe: the provider has no idempotency key, so a message sent again after
	// a lost answer arrives twice.
	NoDedupe bool
	// NoFaults: there is no provider that could fail (an inbox in memory).
	NoFaults bool
	// Bubble runs each case in a testing/synctest bubble; open must then do no I/O.
	Bubble bool
}

// probe is one adapter as the cases see it, whatever its channel.
type probe struct {
	secrets  []string
	next     func(Behaviour)
	send     func(ctx context.Context, key, text string) (id string, err error)
	received func() []string // the texts
}

const (
	emailTo = "ann.probe@recipient.example"
	phoneTo = "+14155550123"
)

// RunEmail runs the conformance suite of [notify.EmailSender]. open returns an
// isolated, empty provider for each case.
func RunEmail(t *testing.T, open func(t *testing.T) EmailHarness, f Features) {
	run := func(t *testing.T, name, why string, body func(*testing.T, EmailHarness)) {
		f.run(t, name, why, func(t *testing.T) { body(t, open(t)) })
	}
	for _, c := range emailCases {
		run(t, c.name, c.why, c.body)
	}
	for _, c := range commonCases {
		if f.NoFaults && c.faulty {
			continue
		}
		run(t, c.name, c.why, func(t *testing.T, h EmailHarness) {
			c.body(t, f, probe{
				secrets: append([]string{emailTo, "ann.probe", "Ann Probe"}, h.Secrets...),
				next:    h.Next,
				send: func(ctx context.Context, key, text string) (string, error) {
					return h.Sender.SendEmail(ctx, notify.Email{Key: key, To: notify.Address{Name: "Ann Probe", Email: emailTo}, Subject: "Probe", Text: text})
				},
				received: func() (texts []string) {
					for _, m := range h.Received() {
						texts = append(texts, normal(m.Text))
					}
					return texts
				},
			})
		})
	}
}

// RunSMS runs the conformance suite of [notify.SMSSender].
func RunSMS(t *testing.T, open func(t *testing.T) SMSHarness, f Features) {
	run := func(t *testing.T, name, why string, body func(*testing.T, SMSHarness)) {
		f.run(t, name, why, func(t *testing.T) { body(t, open(t)) })
	}
	for _, c := range smsCases {
		run(t, c.name, c.why, c.body)
	}
	for _, c := range commonCases {
		if f.NoFaults && c.faulty {
			continue
		}
		run(t, c.name, c.why, func(t *testing.T, h SMSHarness) {
			c.body(t, f, probe{
				secrets: append([]string{phoneTo, phoneTo[1:]}, h.Secrets...),
				next:    h.Next,
				send: func(ctx context.Context, key, text string) (string, error) {
					return h.Sender.SendSMS(ctx, notify.SMS{Key: key, To: phoneTo, Text: text})
				},
				received: func() (texts []string) {
					for _, m := range h.Received() {
						texts = append(texts, m.Text)
					}
					return texts
				},
			})
		})
	}
}

func (f Features) run(t *testing.T, name, why string, body func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		defer func() {
			if t.Failed() {
				t.Log("this case exists because: " + why)
			}
		}()
		if f.Bubble {
			synctest.Test(t, body)
			return
		}
		body(t)
	})
}
