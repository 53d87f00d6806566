package analytics

import (
	"context"
	"fmt"
	"reflect"
	"time"
	"unicode"
	"unicode/utf8"
)

// Event is a kind of event whose properties are the fields of T. Make it with [Define]; the zero value fails with
// [ErrInvalid]. It is a small value that is safe to copy and for concurrent use.
type Event[T any] struct{ schema *schema }

// Define declares an event. T is a struct; each exported field becomes a typed column named by its tag
// `event:"name"`, or else by its Go name in snake case (UserID is user_id). Its type is time.Time (kept as RFC 3339 text
// in UTC), time.Duration (kept as seconds), or any other whose underlying type is a string, a boolean, an integer or
// a float.
//
// Tag options: `event:"-"` leaves a field out; `event:",time"` makes a time.Time field the time of the event (zero: now);
// `event:",user"` makes a string field its user (empty: the user of [WithUser]).
//
// Define panics on misuse. The name, up to 128 bytes of printable text, is what the store keeps: renaming an event
// starts a new one.
func Define[T any](name string) Event[T] {
	s, err := newSchema(name, reflect.TypeFor[T]())
	if err != nil {
		panic(fmt.Sprintf("analytics: Define(%q): %v", name, err))
	}
	return Event[T]{schema: s}
}

// Name returns the name given to [Define].
func (e Event[T]) Name() string {
	if e.schema == nil {
		return ""
	}
	return e.schema.name
}

// Track records that the event happened, for the tenant and the user of ctx. It stamps an id and, unless T has a time
// field, the current time.
//
// With Options.Dir, nil means that the event is on stable storage; see the package documentation. Track waits for the
// disk, not for the store, except when the backlog is full under the [Block] policy: then until there is room or ctx
// ends. A context that ended before does not stop it: what happened is recorded. It returns [ErrNoTenant], [ErrInvalid],
// [ErrFull], [ErrClosed], or the error of the disk.
func (e Event[T]) Track(ctx context.Context, a *Analytics, props T) error {
	if e.schema == nil {
		return fmt.Errorf("%w: event was not made by Define", ErrInvalid)
	}
	tenant, err := a.tenant(ctx)
	if err != nil {
		return fmt.Errorf("analytics: track %q: %w", e.schema.name, err)
	}
	r := Record{Tenant: tenant, Name: e.schema.name}
	r.User, _ = ctx.Value(userKey{}).(string)
	if err := e.schema.fill(&r, reflect.ValueOf(props)); err != nil {
		return fmt.Errorf("analytics: track %q: %w", e.schema.name, err)
	}
	if err := a.append(ctx, r); err != nil {
		return fmt.Errorf("analytics: track %q: %w", e.schema.name, err)
	}
	return nil
}

// WithUser returns a context whose events belong to a user. The id is yours; keep personal data out of it. An event
// with an id over 256 bytes or of invalid UTF-8 fails with [ErrInvalid].
func WithUser(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, userKey{}, id)
}

type userKey struct{}

// Times outside this range do not fit every store's column.
var (
	minTime = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	maxTime = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// fill completes a record from a value of the schema's type.
func (s *schema) fill(r *Record, v reflect.Value) error {
	now := time.Now()
	r.Time = now
	if s.time >= 0 {
		if t := v.Field(s.time).Interface().(time.Time); !t.IsZero() {
			r.Time = t
		}
	}
	r.Time = r.Time.UTC().Truncate(time.Millisecond)
	if r.Time.Before(minTime) || !r.Time.Before(maxTime) {
		return fmt.Errorf("%w: its time is before 1970 or after 2199", ErrInvalid)
	}
	if s.user >= 0 {
		if u := v.Field(s.user).String(); u != "" {
			r.User = u
		}
	}
	if !validText(r.User, 0, 256) {
		return fmt.Errorf("%w: user id is longer than 256 bytes or not UTF-8", ErrInvalid)
	}
	props, err := s.appendProps(nil, v)
	if err != nil {
		return err
	}
	r.ID, r.Props = newID(now), props
	return nil
}

func validText(s string, low, high int) bool {
	return len(s) >= low && len(s) <= high && utf8.ValidString(s)
}

func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
