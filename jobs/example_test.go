package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

// SendInvoice is a job: its fields are the arguments.
type SendInvoice struct {
	ID int64 `json:"id"`
}

// Kind is the job's stable name.
func (SendInvoice) Kind() string { return "invoice.send" }

// Report is the job of a schedule.
type Report struct{}

// Kind is the job's stable name.
func (Report) Kind() string { return "report" }

// With Redis the driver is redisjobs.New(rdb, nil); the rest is the same.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	driver := jobstest.NewDriver()

	q, err := jobs.New(driver, nil)
	if err != nil {
		panic(err)
	}
	jobs.Handle(q, func(ctx context.Context, a SendInvoice) error {
		info, _ := jobs.InfoFrom(ctx)
		fmt.Printf("invoice %d, attempt %d\n", a.ID, info.Attempt)
		cancel() // the program's signal handler would
		return nil
	})
	receipt, err := q.Enqueue(ctx, SendInvoice{ID: 42}, &jobs.EnqueueOptions{Delay: time.Millisecond})
	if err != nil {
		panic(err)
	}
	fmt.Println("stored:", receipt.ID != "")
	err = q.Cron("monthly", "0 6 1 * *", Report{}, &jobs.CronOptions{Zone: "Europe/Berlin"})
	if err != nil {
		panic(err)
	}
	fmt.Println(q.Run(ctx)) // workers, cron and janitor; producers don't call it
	// Output:
	// stored: true
	// invoice 42, attempt 1
	// <nil>
}

func ExampleHandle() {
	ctx, cancel := context.WithCancel(context.Background())
	q, _ := jobs.New(jobstest.NewDriver(), &jobs.Options{
		Backoff: func(attempt int) time.Duration { return time.Millisecond },
		Logger:  slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	jobs.Handle(q, func(ctx context.Context, a SendInvoice) error {
		info, _ := jobs.InfoFrom(ctx)
		fmt.Println("attempt", info.Attempt, "of", info.MaxAttempts)
		if info.Attempt < 3 {
			return errors.New("mail server is busy") // retried after a while
		}
		cancel()
		return nil
	})
	_, _ = q.Enqueue(ctx, SendInvoice{ID: 42}, nil)
	_ = q.Run(ctx)
	// Output:
	// attempt 1 of 20
	// attempt 2 of 20
	// attempt 3 of 20
}

func ExampleQueue_Enqueue() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), nil)

	first, _ := q.Enqueue(ctx, SendInvoice{ID: 42}, &jobs.EnqueueOptions{Key: "invoice 42"})
	second, _ := q.Enqueue(ctx, SendInvoice{ID: 42}, &jobs.EnqueueOptions{Key: "invoice 42"})
	fmt.Println(second.Duplicate, second.ID == first.ID)

	_, err := q.Enqueue(ctx, SendInvoice{ID: 42}, &jobs.EnqueueOptions{Delay: -time.Second})
	fmt.Println(err)
	// Output:
	// true true
	// jobs: enqueue invoice.send: EnqueueOptions.Delay is negative
}

func ExampleQueue_EnqueueMany() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), nil)
	receipts, err := q.EnqueueMany(ctx, []jobs.Item{
		{Args: SendInvoice{ID: 1}},
		{Args: SendInvoice{ID: 2}, Options: &jobs.EnqueueOptions{Delay: time.Hour}},
	})
	fmt.Println(len(receipts), err)
	stats, _ := q.Stats(ctx)
	fmt.Printf("%+v\n", stats)
	// Output:
	// 2 <nil>
	// {Ready:1 Scheduled:1 Parked:0 Running:0 Dead:0 Done:0}
}

func ExampleQueue_Requeue() {
	ctx, cancel := context.WithCancel(context.Background())
	q, _ := jobs.New(jobstest.NewDriver(), &jobs.Options{
		MaxAttempts: 1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	jobs.Handle(q, func(context.Context, SendInvoice) error {
		cancel()
		return errors.New("no such customer")
	})
	_, _ = q.Enqueue(ctx, SendInvoice{ID: 42}, nil)
	_ = q.Run(ctx)

	ctx = context.Background()
	dead, _ := q.List(ctx, jobs.Dead, 0, 10)
	for _, job := range dead {
		fmt.Println(job.Info.Kind, string(job.Args), job.Error)
		n, _ := q.Requeue(ctx, job.Info.ID)
		fmt.Println("requeued:", n)
	}
	// Output:
	// invoice.send {"id":42} no such customer
	// requeued: 1
}

// Tenant and WithTenant are tenancy.IDFrom and tenancy.WithID where package
// tenancy is used.
func ExampleOptions_tenant() {
	type tenant struct{}
	withTenant := func(ctx context.Context, id string) context.Context {
		return context.WithValue(ctx, tenant{}, id)
	}
	tenantOf := func(ctx context.Context) (string, bool) {
		id, ok := ctx.Value(tenant{}).(string)
		return id, ok
	}
	ctx, cancel := context.WithCancel(context.Background())
	q, _ := jobs.New(jobstest.NewDriver(), &jobs.Options{Tenant: tenantOf, WithTenant: withTenant})
	jobs.Handle(q, func(ctx context.Context, a SendInvoice) error {
		id, _ := tenantOf(ctx)
		fmt.Println("for", id)
		cancel()
		return nil
	})
	_, err := q.Enqueue(ctx, SendInvoice{ID: 42}, nil)
	fmt.Println(err)
	_, _ = q.Enqueue(withTenant(ctx, "acme"), SendInvoice{ID: 42}, nil)
	_ = q.Run(ctx)
	// Output:
	// jobs: no tenant in context
	// for acme
}
