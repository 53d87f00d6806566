package outbox

import (
	"context"
	"time"
)

// Event is one row of the outbox: something that happened in a committed transaction.
type Event struct {
	ID      string    // UUIDv7 text, made by the emitting unit; the idempotency key of everything downstream
	Tenant  string    // the tenant of the unit; empty when a system unit without a tenant emitted it
	Type    string    // as given by EventType or to tenancy.Emit
	Key     string    // events of one key arrive in commit order; empty means no order is asked for
	Payload []byte    // exactly the bytes that were emitted: JSON for typed events
	At      time.Time // PostgreSQL's clock at the insert, UTC
}

// Sink stores events together with the position up to which it has them.
//
// The position lives in the sink and not in PostgreSQL. That is what makes the hand-over exact: there is no moment between
// "events stored" and "position moved", and a sink that is thrown back in time (Redis lost its last second) is thrown back
// with its position, so that the relay sends again exactly what is missing.
//
// Implementations are safe for concurrent use by relays in several processes.
type Sink interface {
	// Position returns the position of the last accepted Deliver. The empty string means that there was none yet.
	// The text is opaque to the sink and at most a few kilobytes long.
	Position(ctx context.Context) (string, error)

	// Deliver stores the events in order and moves the position, in one atomic step, if the position is still from;
	// it returns true then. If the position is another, it changes nothing and returns false: another relay was faster.
	// An error means that the outcome is unknown; the relay asks for the position again. Events may be empty: then only
	// the position moves, as at the very first call.
	// The sink must not keep the events slice; it may keep the payloads.
	Deliver(ctx context.Context, from, to string, events []Event) (bool, error)
}
