// Package outbox moves events from committed units of work to sinks, such as a job queue.
//
// # Usage
//
//	relay, err := outbox.New(db, sink, nil)
//	err = relay.Run(ctx)
//
// A sink stores events together with a position, atomically; see Sink. Consumers whose effect is in PostgreSQL use Once.
//
// # Delivery
//
// An event exists if and only if its transaction committed. Each event enters the sink exactly once, and events of one key
// in commit order, whatever number of relays run, stop or crash, and also if the sink loses its last seconds, because its
// position goes back with it. What the sink's consumers do with an event is theirs: a queue executes at least once.
//
// "Commit order per key" needs units that write events of one key to exclude each other, which they do when they update
// the row that the key names before they commit. Events without such a lock, and of different keys, have no order.
//
// A relay reads the events that became visible between two snapshots of PostgreSQL, as PgQ did. So a long transaction
// delays its own events and nobody else's, nothing is scanned twice, no row is updated, and no event that commits late
// with an early sequence number is missed.
//
// A position belongs to one PostgreSQL cluster's transaction ids: after restoring a dump into another cluster, clear it.
// Rows stay in tenancy.outbox; delete what is older than the slowest sink by a cron job of the system role.
//
// # Tenancy
//
// A relay serves all tenants and therefore needs a DB with Options.System. Each event carries its tenant.
//
// # Errors
//
// Run reports errors and goes on. It returns nil when its context is done.
//
// # Concurrency
//
// Everything here is safe for concurrent use.
package outbox
