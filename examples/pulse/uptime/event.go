package uptime

// Event is something that happened to an aggregate and that others may want to hear of. Whoever stores the aggregate
// stores its events in the same transaction.
type Event interface {
	EventType() string // what happened
	EventKey() string  // events of one key have an order
}
