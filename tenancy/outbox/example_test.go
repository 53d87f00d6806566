package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

func ExampleRelay() {
	kit := tenancytest.NewKit()
	var sink tenancytest.Sink // in production e.g. the one of jobs/outboxjobs
	relay, err := outbox.New(kit.DB(), &sink, nil)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- relay.Run(ctx) }()

	err = kit.DB().InTx(tenancy.WithID(ctx, "acme"), func(ctx context.Context) error {
		return tenancy.Emit(ctx, "invoice.paid", "invoice/7", []byte(`{"total":42}`))
	})
	if err != nil {
		panic(err)
	}
	if err := sink.Wait(ctx, 1); err != nil {
		panic(err)
	}
	cancel()
	e := sink.Events()[0]
	fmt.Println(e.Tenant, e.Type, e.Key, string(e.Payload), <-done)
	// Output: acme invoice.paid invoice/7 {"total":42} <nil>
}

// Statements of the function take effect exactly once, in one unit with the position. What leaves the database, such as the
// call of a webhook here, happens at least once: send the event's id along, so that the receiver can tell.
func ExampleProject() {
	kit := tenancytest.NewKit()
	ctx, stop := context.WithCancel(context.Background())
	sink, err := outbox.Project(kit.DB(), "webhooks", func(_ context.Context, _ *tenancy.Tx, events []outbox.Event) error {
		for _, e := range events {
			fmt.Printf("POST /hooks/%s {%q: %s}\n", e.Tenant, e.Type, e.Payload)
		}
		stop()
		return nil
	})
	if err != nil {
		panic(err)
	}
	relay, err := outbox.New(kit.DB(), sink, &outbox.Options{Name: "webhooks"})
	if err != nil {
		panic(err)
	}
	err = kit.DB().InTx(tenancy.WithID(ctx, "acme"), func(ctx context.Context) error {
		return tenancy.Emit(ctx, "invoice.paid", "invoice/7", []byte(`{"total":42}`))
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(relay.Run(ctx))
	// Output:
	// POST /hooks/acme {"invoice.paid": {"total":42}}
	// <nil>
}

// A job that runs every night, such as one of jobs.Queue.Cron, keeps the outbox in shape and tells who holds it up.
func ExampleMaintain() {
	nightly := func(ctx context.Context, db *tenancy.DB) error {
		done, err := outbox.Maintain(ctx, db, &outbox.MaintainOptions{Retention: 14 * 24 * time.Hour})
		if err != nil || len(done.Kept) == 0 {
			return err
		}
		sinks, err := outbox.Sinks(ctx, db)
		for _, s := range sinks {
			if s.Behind > 14*24*time.Hour && time.Since(s.At) > 30*24*time.Hour { // nobody serves it any more
				err = errors.Join(err, outbox.Forget(ctx, db, s.ID))
			}
		}
		return err
	}
	_ = nightly
}

// An event that is delivered again changes nothing the second time.
func ExampleOnce() {
	db := tenancytest.NewKit().DB()
	ctx := tenancy.WithID(context.Background(), "acme")
	handle := func(e outbox.Event) error {
		return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			first, err := outbox.Once(ctx, tx, "mailer", e.ID)
			if err != nil || !first {
				return err
			}
			fmt.Println("handled", e.Type)
			return nil
		})
	}
	e := outbox.Event{ID: "0198c0de-0000-7000-8000-000000000001", Type: "invoice.paid"}
	fmt.Println(handle(e), handle(e))
	// Output:
	// handled invoice.paid
	// <nil> <nil>
}
