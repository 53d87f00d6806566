package tenancy

// Event is something that happened in a unit of work and that others shall hear of if, and only if, the unit commits.
// The value is encoded as JSON when it is emitted, so it may be changed afterwards.
//
// An event may have a second method, EventKey() string. Events with the same key reach every sink in commit order.
type Event interface {
	// EventType names the kind of event, e.g. "note.added". It must not be empty.
	EventType() string
}
