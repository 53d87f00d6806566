// Package notify tells people things: by e-mail and text message, from templates
// or ready-made text, at once or through a job queue.
//
// A program states what happened as a typed [Notification]; the [Notifier] renders
// it for each recipient and channel and hands it to a provider. Providers are
// adapters behind two small ports, [EmailSender] and [SMSSender]: sendgridmail,
// smtpmail, twiliosms, devinbox for development, and notifytest for tests.
//
// # Usage
//
// Make a sender, make a [Notifier] of it, call [Notifier.Send]; the examples show
// a plain [Message] and a typed notification. Templates live in a folder per kind,
// described at [Options].Templates; with [Options].Samples a mistake in one stops
// the program at start instead of an alert at night.
//
// # Delivery
//
// Without [Options].Enqueue, Send talks to the providers itself and returns when
// they have accepted every message, or an error. It does not retry: calling Send
// again sends again what had succeeded, unless the provider drops repeated keys.
//
// With Enqueue, Send renders, stores one task per recipient and channel and
// returns; the queue calls [Notifier.RunTask] and repeats it while [Retryable]
// says so. A task holds the finished text, so it does not matter if the data it
// was made of is gone. If Enqueue fails half-way, calling Send again with the same
// [Keyed] notification enqueues the same keys, which the queue recognises.
//
// A queue that retries thus delivers at least once. Each delivery has a key that
// stays the same over all retries: smtpmail makes the Message-ID of it, devinbox
// and notifytest drop a repetition, sendgridmail passes it on for status reports.
// SendGrid and Twilio have no idempotency keys, so a retry after [ErrUncertain] may
// arrive twice; a queue that prefers losing such a message can stop on that error.
// Accepted by a provider does not mean delivered to a person.
//
// # Tenancy
//
// With [Options].Tenant set, every Send needs a tenant in its context and fails
// with [ErrNoTenant] without one, before any I/O; so does a task without a tenant.
// The tenant is part of the delivery key and travels with the message.
//
// # Errors
//
// A failed delivery is an [*Error]: Kind is a sentinel of this package, Retryable
// tells whether the same message may succeed later, Err is the provider's reason.
// Texts hold no secret, e-mail address or phone number, even if a sender of your
// own puts the recipient into its errors; those of our adapters hold none down to
// the last wrapped one. [Recipient] logs as its ID. Subjects, names and addresses with a line break are
// refused ([ErrInvalid]), not repaired: they are an attack or a bug.
//
// # Concurrency
//
// A [Notifier] and all adapters are safe for concurrent use. Nothing here starts a
// goroutine that outlives a call. [Options].Timeout bounds every call of a sender,
// and a sender that panics fails that delivery only.
package notify
