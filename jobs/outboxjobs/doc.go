// Package outboxjobs enqueues jobs out of database transactions: a job exists
// if, and only if, its transaction committed, and it enters the queue once.
//
// It is a bridge between the outbox of package tenancy and package jobs.
// Enqueue emits an event into the outbox; an outbox.Relay over a Sink carries
// it to the queue, where one atomic step stores the jobs and the position of
// the log. No process can die in between, so nothing is lost or enqueued twice,
// whatever the number of relays and however they end, and a store that is thrown
// back gets again exactly what it lost, as far back as the outbox keeps events.
// Jobs of one key of the events, such as those whose units change the same row,
// are enqueued in commit order. Jobs that had run before the store was thrown
// back may run again.
//
// Each queue has a position of its own: a second queue is a second sink with a
// second relay.
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
// A job still runs at least once, as package jobs says; outbox.Once in the
// handler's own transaction makes its effects in PostgreSQL happen once.
package outboxjobs
