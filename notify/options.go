package notify

import (
	"context"
	"io/fs"
	"log/slog"
	"time"
)

// Options configure [New]. At least one sender is needed; all else is optional.
type Options struct {
	Email EmailSender // nil: no e-mail is sent
	SMS   SMSSender   // nil: no text message is sent

	// Templates holds one folder per kind of typed notification:
	//
	//	incident.opened/subject.txt   one line (text/template)
	//	incident.opened/email.txt     (text/template)
	//	incident.opened/email.html    optional (html/template)
	//	incident.opened/sms.txt       (text/template)
	//	layout/email.txt, layout/email.html   optional, around every mail
	//
	// A folder without sms.txt sends no text message, one without email.txt no
	// mail. The dot is the notification; in a layout it has Subject, Body, To
	// (the [Recipient]), Kind and Tenant. A field or map key that does not exist
	// is an error, never "<no value>". nil: only [Message] can be sent.
	Templates fs.FS

	// Samples are one filled-in value of each typed notification. New renders
	// them, so that a misspelt field fails at start and not at the first alert.
	Samples []Notification

	// Tenant names the tenant of a context. nil: single-tenant. If set and it
	// answers false, Send returns [ErrNoTenant] before any I/O.
	Tenant func(context.Context) (id string, ok bool)
	// WithTenant puts the tenant back into the context of [Notifier.RunTask].
	// nil: senders see the tenant only in the message.
	WithTenant func(context.Context, string) context.Context

	// Enqueue hands a delivery to a job queue, which later calls
	// [Notifier.RunTask] with the same name and payload, again while [Retryable].
	// A zero runAt means now; a key seen before means the same delivery. The
	// payload holds the rendered message with its address: treat it as personal
	// data. nil: Send talks to the provider itself, before it returns.
	Enqueue func(ctx context.Context, name string, payload []byte, runAt time.Time, key string) error

	// Timeout bounds one call of a sender. Zero means 30 seconds, negative no limit.
	Timeout time.Duration

	Logger *slog.Logger // nil means slog.Default()
	// Errors gets panics of senders, with their stack. nil: they are logged.
	Errors interface {
		Report(ctx context.Context, err error, stack []byte)
	}
	// Metrics gets "notify.deliveries" by channel, kind and result, which is "sent"
	// or made of the sentinel ("outcome_uncertain"). nil: none.
	Metrics interface {
		Add(ctx context.Context, name string, n float64, kv ...string)
	}
}

func (o *Options) timeout() time.Duration {
	if o.Timeout == 0 {
		return 30 * time.Second
	}
	return o.Timeout
}

func (o *Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}

func (o *Options) count(ctx context.Context, d *delivery, result string) {
	if o.Metrics != nil {
		o.Metrics.Add(ctx, "notify.deliveries", 1, "channel", string(d.Channel), "kind", d.Kind, "result", result)
	}
}

func (o *Options) has(c Channel) bool {
	return c == ChannelEmail && o.Email != nil || c == ChannelSMS && o.SMS != nil
}
