package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/notify/internal/redact"
)

// taskDeliver is the one background task so far; RunTask refuses other names, so
// that later ones can be added without touching anybody's glue.
const taskDeliver = "notify.deliver"

const (
	taskVersion = 1
	maxPayload  = 6*(2*maxBody+maxSMS) + 1<<16 // JSON may spend six bytes on one
)

// delivery is one rendered message to one person on one channel: the unit that is
// queued and retried. It holds no reference to the caller's data, so a record
// deleted meanwhile does not matter.
type delivery struct {
	Version int     `json:"v"`
	Key     string  `json:"key"`
	Kind    string  `json:"kind"`
	Tenant  string  `json:"tenant,omitempty"`
	Channel Channel `json:"channel"`
	ID      string  `json:"id,omitempty"` // of the recipient
	Name    string  `json:"name,omitempty"`
	To      string  `json:"to"` // e-mail address or phone number
	content
}

func newDelivery(tenant, kind, key string, channel Channel, to Recipient, c content) *delivery {
	return &delivery{
		Version: taskVersion, Key: key, Kind: kind, Tenant: tenant, Channel: channel,
		ID: to.ID, Name: to.Name, To: to.at(channel), content: c,
	}
}

func (d *delivery) email() Email {
	return Email{
		Key: d.Key, Kind: d.Kind, Tenant: d.Tenant, To: Address{Name: d.Name, Email: d.To},
		Subject: d.Subject, Text: d.Text, HTML: d.HTML,
	}
}

func (d *delivery) sms() SMS {
	return SMS{Key: d.Key, Kind: d.Kind, Tenant: d.Tenant, To: d.To, Text: d.Text}
}

func (d *delivery) validate() error {
	switch d.Channel {
	case ChannelEmail:
		return d.email().Validate()
	case ChannelSMS:
		return d.sms().Validate()
	}
	return invalid("notify: delivery", errors.New("unknown channel"))
}

func (d *delivery) encode() ([]byte, error) {
	payload, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("notify: encode delivery: %w", err)
	}
	return payload, nil
}

// RunTask does one piece of background work that [Options].Enqueue was given. It
// is safe to repeat: the provider sees the same key again. An error for which
// [Retryable] is false will not go away; the queue should stop retrying it.
func (n *Notifier) RunTask(ctx context.Context, name string, payload []byte) error {
	d, err := n.decode(name, payload)
	if err != nil {
		return err
	}
	if n.opts.WithTenant != nil && d.Tenant != "" {
		ctx = n.opts.WithTenant(ctx, d.Tenant)
	}
	return n.deliver(ctx, d)
}

func (n *Notifier) decode(name string, payload []byte) (*delivery, error) {
	// The name and the decoder's text may quote foreign input, so neither is repeated.
	fail := func(why string) error {
		return &Error{Op: "notify: run task", Kind: ErrUnknownTask, Err: errors.New(why)}
	}
	if name != taskDeliver {
		return nil, fail("the name is not one of this package")
	}
	if len(payload) > maxPayload {
		return nil, fail("payload too large")
	}
	d := new(delivery)
	if err := json.Unmarshal(payload, d); err != nil {
		return nil, fail("payload is not one of this package")
	}
	if d.Version != taskVersion {
		// A newer release enqueued it during a rolling deploy: leave it for that one.
		return nil, &Error{
			Op: "notify: run task", Kind: ErrUnknownTask, Retryable: true,
			Err: fmt.Errorf("payload version %d, this release knows %d", d.Version, taskVersion),
		}
	}
	if n.opts.Tenant != nil && d.Tenant == "" {
		return nil, &Error{Op: "notify: run task", Kind: ErrNoTenant, Err: errors.New("payload has no tenant although Options.Tenant is set")}
	}
	return d, d.validate()
}

// deliver makes one attempt with one provider.
func (n *Notifier) deliver(ctx context.Context, d *delivery) error {
	if !n.opts.has(d.Channel) {
		return &Error{
			Op: "notify: " + string(d.Channel), Kind: ErrNoChannel, Retryable: true,
			Err: errors.New("this process has no sender for the channel"),
		}
	}
	call := ctx
	if limit := n.opts.timeout(); limit > 0 {
		var cancel context.CancelFunc
		call, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	start := time.Now()
	id, err := n.call(call, d)
	if err != nil {
		err = d.failure(err)
		n.opts.count(ctx, d, resultOf(err))
		return err
	}
	n.opts.count(ctx, d, "sent")
	n.opts.logger().DebugContext(ctx, "notify: sent", "channel", d.Channel, "kind", d.Kind,
		"delivery", d.Key, "recipient", d.ID, "provider_id", id, "duration", time.Since(start))
	return nil
}

// call shields the caller's goroutine, often a worker, from a panicking sender.
func (n *Notifier) call(ctx context.Context, d *delivery) (id string, err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		stack := debug.Stack()
		// The panic value may quote the message: only its type is kept.
		err = &Error{Op: "notify: " + string(d.Channel), Kind: ErrUncertain, Retryable: true, Err: fmt.Errorf("sender panicked with a %T", p)}
		if n.opts.Errors != nil {
			n.opts.Errors.Report(ctx, err, stack)
			return
		}
		n.opts.logger().ErrorContext(ctx, "notify: sender panicked", "channel", d.Channel, "error", err, "stack", string(stack))
	}()
	if d.Channel == ChannelSMS {
		return n.opts.SMS.SendSMS(ctx, d.sms())
	}
	return n.opts.Email.SendEmail(ctx, d.email())
}

// failure gives every sender's error the same shape and makes sure that a
// sender written elsewhere does not leak the address either.
func (d *delivery) failure(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return &Error{Op: "notify: " + string(d.Channel), Kind: ErrUncertain, Retryable: true, Err: redact.Error(err, d.To)}
	}
	return redact.Error(err, d.To)
}

// resultOf is a metric label of few values.
func resultOf(err error) string {
	var e *Error
	if !errors.As(err, &e) || e.Kind == nil {
		return "failed"
	}
	return strings.ReplaceAll(strings.TrimPrefix(e.Kind.Error(), "notify: "), " ", "_")
}
