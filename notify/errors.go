package notify

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Why a message was not, or perhaps not, sent. Each is the Kind of an [*Error],
// so errors.Is finds it.
var (
	// ErrInvalid: the message or its recipient is malformed; no I/O has happened.
	ErrInvalid = errors.New("notify: invalid message")
	// ErrTemplate: a template is missing or failed on the notification's data.
	ErrTemplate = errors.New("notify: template failed")
	// ErrNoChannel: the content, the recipient's addresses and the configured
	// senders have no channel in common.
	ErrNoChannel = errors.New("notify: no channel reaches the recipient")
	// ErrNoTenant: [Options].Tenant is set and the context names no tenant.
	ErrNoTenant = errors.New("notify: no tenant in context")
	// ErrUnknownTask: [Notifier.RunTask] got a name or payload that is not its own.
	ErrUnknownTask = errors.New("notify: unknown task")

	// ErrRejected: the provider refused this message for good.
	ErrRejected = errors.New("notify: rejected by the provider")
	// ErrUnauthorized: the provider refused our credentials or sender identity.
	// The message is not at fault: it can be sent once the configuration is right.
	ErrUnauthorized = errors.New("notify: provider refused the credentials")
	// ErrRateLimited: the provider asks us to slow down; see [Error].RetryAfter.
	ErrRateLimited = errors.New("notify: rate limited by the provider")
	// ErrUnavailable: the provider could not be reached or failed before it
	// accepted the message.
	ErrUnavailable = errors.New("notify: provider unavailable")
	// ErrUncertain: the message went out but no answer came back, so it may or
	// may not have been accepted. Never switch to another provider on it.
	ErrUncertain = errors.New("notify: outcome uncertain")
)

// Error is what every failed delivery returns. Its text never holds a secret,
// an e-mail address or a phone number.
type Error struct {
	Op   string // where, for example "twiliosms: send"
	Kind error  // one of the sentinels of this package

	// Retryable means that the same message may succeed later, unchanged.
	Retryable bool
	// RetryAfter is how long the provider asked us to wait. Zero: it did not say.
	RetryAfter time.Duration

	Err error // the cause, with addresses and secrets removed; may be nil
}

// Error says where, what and why.
func (e *Error) Error() string {
	text := e.Op
	if e.Kind != nil {
		text += ": " + strings.TrimPrefix(e.Kind.Error(), "notify: ")
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the sentinel and the cause.
func (e *Error) Unwrap() []error {
	var list []error
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			list = append(list, err)
		}
	}
	return list
}

// Retryable reports whether trying again may help: it is false when err is nil
// or when every [*Error] in it says that the message itself is at fault. Errors
// of other origin (a queue that is down, a cancelled context) count as retryable.
// Glue to a job queue uses it to send hopeless jobs straight to the dead letters.
func Retryable(err error) bool {
	switch e := err.(type) {
	case nil:
		return false
	case *Error:
		return e.Retryable
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), Retryable)
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return Retryable(inner)
		}
	}
	return true
}
