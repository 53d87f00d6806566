// Package outboxjobs enqueues jobs out of database transactions: a job exists
// if, and only if, its transaction committed, and it enters the queue once.
//
// It is a bridge between the outbox of package tenancy and package jobs.
// Enqueue emits an event into the outbox; an outbox.Relay over a Sink carries
// it to the queue, where one atomic step stores the jobs and the position of
// the log.
//
// # Usage
//
//	err = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
//		...
//		return outboxjobs.Enqueue(tx, SendInvoice{ID: 42}, nil)
//	})
//
//	sink, err := outboxjobs.NewSink(driver, nil)
//	relay, err := outbox.New(db, sink, nil)
//	err = relay.Run(ctx)
//
// The relay stores the jobs, so neither OnEnqueue nor Observer.Enqueued of a queue
// hears of them, and its MaxDepth does not hold them back. EnqueueTo makes jobs
// as a given queue does: sealed by its codec, with the trace of the context.
//
// Each queue has a position of its own: a second queue is a second sink with a
// second relay.
//
// # Delivery
//
// No process can die between jobs and position, so nothing is lost or enqueued
// twice, whatever the number of relays and however they end, and a store that is
// thrown back gets again exactly what it lost, as far back as the outbox keeps
// events. Jobs whose units exclude each other, for example because they change
// the same row, are enqueued in commit order.
//
// A job still runs at least once, as package jobs says, and again if the store
// was thrown back to before it ran; outbox.Once in the handler's own transaction,
// with the job's id, makes its effects in PostgreSQL happen once: a job that comes
// again has the id that it had.
//
// # Tenancy
//
// A job belongs to the tenant of the unit that enqueues it, or to none. An event
// that names another one, such as one from injected SQL, cannot become a job; a
// job of no tenant can be asked for by whoever may write events, so its handler
// should trust its arguments no more than those of a tenant.
//
// # Errors
//
// An event that cannot become jobs stops the queue and is reported by the relay,
// again and again, unless Options.Drop leaves it out. A full queue answers
// jobs.ErrFull and the relay comes again.
//
// # Concurrency
//
// A Sink is safe for concurrent use; Enqueue is as safe as its transaction.
package outboxjobs
