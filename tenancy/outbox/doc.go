// Package outbox moves events from committed units of work to sinks: job queues, projections, webhooks, analytics.
//
// # Usage
//
//	relay, err := outbox.New(db, sink, nil)
//	err = relay.Run(ctx)                          // in as many processes as you like
//
//	done, err := outbox.Maintain(ctx, db, nil)    // daily
//
// A sink stores events together with a position, atomically; see Sink. The queue of package jobs is one (jobs/outboxjobs),
// Project makes one of a function that writes to PostgreSQL. Consumers of a queue whose effect is in PostgreSQL use Once.
//
// # Delivery
//
// An event exists if, and only if, its transaction committed. Each event enters the sink exactly once, and the events of
// one key in commit order, whatever number of relays run, stop, crash or are killed, and also if the sink loses its last
// seconds, or its last days up to the retention, because its position goes back with it. What the sink's consumers do with
// an event is theirs: a queue executes at least once, and Once or Project make the effect in PostgreSQL exactly once.
//
// "Commit order per key" needs units that write events of one key to exclude each other, which they do when they change
// the row that the key names before they commit. Events without such a lock, and of different keys, have no order.
//
// A relay reads the events that became visible between two snapshots of PostgreSQL, as PgQ did. So a long transaction
// delays its own events and nobody else's, nothing is scanned twice, no row is updated, and no event that commits late
// with an early sequence number is missed. Looks at the outbox are 5 to 100 ms apart; a commit in the relay's own process
// brings the next one forward.
//
// Sinks are independent: each has its own position, and one that fails or hangs delays no other one. A sink that refuses an
// event gets what comes before it and nothing behind it until it takes it; see Relay.Run.
//
// A crash of PostgreSQL and a failover to a replica that has the events which the sink has change nothing. After
// restoring a dump, setting the database back in time or a failover that lost such events, relays stop with ErrLogChanged
// until Rebase has been called, and has come to its end. Pending answers the same.
//
// Pending asks a sink how much it lacks, e.g. before a tenant goes on in another database.
//
// Maintain keeps events for seven days, in one partition a day, and as long as a sink needs them.
//
// # Tenancy
//
// A relay serves all tenants and therefore needs a DB with Options.System. Each event carries its tenant. The app role can
// write events of its tenant and ask whether an id exists; it cannot read, change or drop any.
//
// # Errors
//
// Run reports errors and goes on: to the log, to Options.Errors, and to the counter outbox.errors. It returns nil when its
// context is done, and ErrLogChanged. The other functions return the errors of PostgreSQL.
// Maintain, Rebase and Pending are refused inside a unit of work, Maintain also as a role that sees nothing.
//
// # Concurrency
//
// Everything here is safe for concurrent use. Rebase needs the relays of its sink to stand still.
package outbox
