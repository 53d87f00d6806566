package notify

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

const maxRecipients = 1000

// Notifier sends notifications. Create it with [New]; it is safe for concurrent
// use and holds nothing that must be closed.
type Notifier struct {
	opts      Options
	templates templates
}

// New checks the options, parses the templates and renders the samples. It starts
// no goroutine and does no I/O beyond reading [Options].Templates.
func New(opts *Options) (*Notifier, error) {
	if opts == nil || opts.Email == nil && opts.SMS == nil {
		return nil, errors.New("notify: Options.Email and Options.SMS are both nil: nothing could be sent")
	}
	n := &Notifier{opts: *opts}
	var err error
	if n.templates, err = loadTemplates(opts.Templates); err != nil {
		return nil, err
	}
	for _, sample := range opts.Samples {
		if err := n.checkSample(sample); err != nil {
			return nil, fmt.Errorf("notify: Options.Samples: %w", err)
		}
	}
	for kind, folder := range n.templates {
		if folder["sms.txt"] != nil && opts.SMS == nil || folder["email.txt"] != nil && kind != layoutDir && opts.Email == nil {
			opts.logger().Warn("notify: templates of a channel without a sender are not used", "kind", kind)
		}
	}
	return n, nil
}

func (n *Notifier) checkSample(sample Notification) error {
	kind, err := kindOf(sample)
	if err != nil {
		return err
	}
	ann := Recipient{ID: "sample", Name: "Ann", Email: "ann@example.com", Phone: "+14155550100"}
	parts, err := n.templates.render(sample, kind, "sample", ann)
	if err != nil {
		return fmt.Errorf("%T: %w", sample, err)
	}
	for channel, c := range parts {
		d := newDelivery("sample", kind, "sample", channel, ann, c)
		if err := d.validate(); err != nil {
			return fmt.Errorf("%T: %w", sample, err)
		}
	}
	return nil
}

// Send renders note for each recipient and channel and sends it, or hands it to
// [Options].Enqueue. Everything is rendered and validated before the first
// message leaves: an error of kind [ErrInvalid], [ErrTemplate], [ErrNoTenant] or
// [ErrNoChannel] means that nobody was told. Otherwise each delivery is attempted
// until ctx ends, one after the other, and the errors of those that failed are
// joined.
func (n *Notifier) Send(ctx context.Context, note Notification) error {
	list, err := n.prepare(ctx, note)
	if err != nil {
		return err
	}
	var failed []error
	for _, d := range list {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(failed, fmt.Errorf("notify: send: %w", err))...)
		}
		send := n.deliver
		if n.opts.Enqueue != nil {
			send = n.enqueue
		}
		if err := send(ctx, d); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 1 {
		return failed[0]
	}
	return errors.Join(failed...)
}

// prepare turns a notification into deliveries, without I/O.
func (n *Notifier) prepare(ctx context.Context, note Notification) ([]*delivery, error) {
	tenant, err := n.tenant(ctx)
	if err != nil {
		return nil, err
	}
	kind, err := kindOf(note)
	if err != nil {
		return nil, err
	}
	people := note.Recipients()
	if len(people) == 0 || len(people) > maxRecipients {
		return nil, invalid("notify: send", fmt.Errorf("%s has %d recipients, want 1 to %d", kind, len(people), maxRecipients))
	}
	fact := rand.Text()
	if k, ok := note.(Keyed); ok && k.IdempotencyKey() != "" {
		fact = "key:" + k.IdempotencyKey()
	}
	var list []*delivery
	seen := map[string]bool{}
	for _, to := range people {
		if err := to.Validate(); err != nil {
			return nil, err
		}
		parts, err := n.templates.render(note, kind, tenant, to)
		if err != nil {
			return nil, err
		}
		reached := false
		for _, channel := range []Channel{ChannelEmail, ChannelSMS} {
			c, ok := parts[channel]
			if !ok || !n.opts.has(channel) || to.at(channel) == "" {
				continue
			}
			reached = true
			d := newDelivery(tenant, kind, deliveryKey(tenant, kind, fact, to.identity(), string(channel)), channel, to, c)
			if err := d.validate(); err != nil {
				return nil, err
			}
			if !seen[d.Key] {
				seen[d.Key] = true
				list = append(list, d)
			}
		}
		if !reached {
			return nil, &Error{
				Op: "notify: send " + kind, Kind: ErrNoChannel,
				Err: fmt.Errorf("recipient %s: its addresses, the templates and the configured senders have no channel in common", to),
			}
		}
	}
	return list, nil
}

func (n *Notifier) tenant(ctx context.Context) (string, error) {
	if n.opts.Tenant == nil {
		return "", nil
	}
	id, ok := n.opts.Tenant(ctx)
	if !ok || id == "" {
		return "", &Error{Op: "notify: send", Kind: ErrNoTenant, Err: errors.New("Options.Tenant is set, so the context must carry a tenant")}
	}
	return id, nil
}

func (n *Notifier) enqueue(ctx context.Context, d *delivery) error {
	payload, err := d.encode()
	if err != nil {
		return err
	}
	if err := n.opts.Enqueue(ctx, taskDeliver, payload, time.Time{}, d.Key); err != nil {
		return fmt.Errorf("notify: enqueue %s: %w", d.Channel, err)
	}
	return nil
}

func kindOf(note Notification) (string, error) {
	if m, ok := note.(*Message); note == nil || ok && m == nil {
		return "", invalid("notify: send", errors.New("the notification is nil"))
	}
	kind := note.Kind()
	if err := checkKind(kind); err != nil {
		return "", invalid("notify: send", fmt.Errorf("%T: %w", note, err))
	}
	return kind, nil
}

func (r Recipient) at(c Channel) string {
	if c == ChannelSMS {
		return r.Phone
	}
	return r.Email
}

// deliveryKey is stable for a fact and says nothing about the recipient. The
// lengths keep ("a","bc") and ("ab","c") apart.
func deliveryKey(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		io.WriteString(h, strconv.Itoa(len(p))+":"+p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
