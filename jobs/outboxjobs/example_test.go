package outboxjobs_test

import (
	"context"
	"fmt"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// A relay calls Deliver; of two that carry the same events one is too late.
func ExampleNewSink() {
	ctx := context.Background()
	driver := jobstest.NewDriver() // redisjobs.New(rdb, nil) in production
	sink, err := outboxjobs.NewSink(driver, &outboxjobs.Options{
		Map: func(e outbox.Event) ([]jobs.Item, error) {
			if e.Type != "incident.opened" {
				return nil, nil
			}
			return []jobs.Item{{Args: count{N: 1}}}, nil
		},
	})
	if err != nil {
		panic(err)
	}
	events := []outbox.Event{{ID: "e1", Tenant: "acme", Type: "incident.opened"}}
	fmt.Println(sink.Deliver(ctx, "", "position 1", events))
	fmt.Println(sink.Deliver(ctx, "", "position 1", events))
	stats, _ := driver.Stats(ctx)
	fmt.Println(stats.Ready)
	// Output:
	// true <nil>
	// false <nil>
	// 1
}
