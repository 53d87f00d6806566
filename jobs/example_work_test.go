package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

// Thumbnail is a job with a result, and with options beside its type.
type Thumbnail struct {
	Page int `json:"page"`
}

// Kind is the job's stable name.
func (Thumbnail) Kind() string { return "page.thumbnail" }

// JobOptions holds for every Thumbnail whose Enqueue does not say otherwise.
func (Thumbnail) JobOptions() jobs.EnqueueOptions {
	return jobs.EnqueueOptions{MaxAttempts: 5, Keep: time.Hour}
}

// start runs a queue beside the example; the returned function stops it.
func start(q *jobs.Queue) func() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = q.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func ExampleHandleResult() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), nil)
	jobs.HandleResult(q, func(ctx context.Context, a Thumbnail) (string, error) {
		return fmt.Sprintf("page-%d.pdf", a.Page), nil
	})
	defer start(q)()

	receipt, _ := q.Enqueue(ctx, Thumbnail{Page: 7}, nil)
	file, err := jobs.Await[string](ctx, q, receipt.ID)
	fmt.Println(file, err)
	file, err = jobs.Result[string](ctx, q, receipt.ID) // for an hour, see JobOptions
	fmt.Println(file, err)
	// Output:
	// page-7.pdf <nil>
	// page-7.pdf <nil>
}

var (
	errBusy = errors.New("mail server is busy")
	errGone = errors.New("no such customer")
)

// A handler's error may decide what becomes of its job.
func ExampleRetry() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), &jobs.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	tries := 0
	done := make(chan struct{})
	jobs.Handle(q, func(ctx context.Context, a SendInvoice) error {
		switch tries++; tries {
		case 1:
			return jobs.Retry(errBusy, time.Millisecond) // an attempt is gone, the next one is soon
		case 2:
			return jobs.Snooze(time.Millisecond) // later, no attempt counted
		}
		info, _ := jobs.InfoFrom(ctx)
		fmt.Println("attempt", info.Attempt, "after", info.LastError)
		close(done)
		return jobs.Discard(errGone) // dead: no use in trying again
	})
	stop := start(q)
	_, _ = q.Enqueue(ctx, SendInvoice{ID: 42}, nil)
	<-done
	stop()
	dead, _ := q.List(ctx, jobs.Dead, 0, 10)
	fmt.Println(dead[0].Error)
	// Output:
	// attempt 2 after mail server is busy
	// no such customer
}

func ExampleProgress() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), nil)
	jobs.Handle(q, func(ctx context.Context, a Thumbnail) error {
		jobs.Progress(ctx, 3, 10, "drawing")
		<-ctx.Done()
		return ctx.Err()
	})
	defer start(q)()

	receipt, _ := q.Enqueue(ctx, Thumbnail{Page: 7}, nil)
	for {
		found, _ := q.Find(ctx, receipt.ID)
		if len(found[0].Progress) > 0 {
			fmt.Println(string(found[0].Progress))
			break
		}
		<-time.After(time.Millisecond)
	}
	n, err := q.Cancel(ctx, receipt.ID) // the handler's context ends with ErrCancelled
	fmt.Println(n, err)
	// Output:
	// {"done":3,"total":10,"note":"drawing"}
	// 1 <nil>
}

// Everybody who has the key works with the jobs as usual; the store does not
// learn what is in them.
func ExampleKeyring() {
	ctx := context.Background()
	keys, err := jobs.NewKeyring("2026-11", map[string][]byte{
		"2026-11": bytes.Repeat([]byte{1}, 32), // 32 random bytes out of your secret store
		"2026-05": bytes.Repeat([]byte{2}, 32), // opens what is still stored
	})
	if err != nil {
		panic(err)
	}
	driver := jobstest.NewDriver()
	q, _ := jobs.New(driver, &jobs.Options{Codec: keys})
	receipt, _ := q.Enqueue(ctx, SendInvoice{ID: 42}, nil)
	found, _ := q.Find(ctx, receipt.ID)
	fmt.Println(found[0].Info.Kind, found[0].Sealed, len(found[0].Args))
	// Output:
	// invoice.send true 0
}

// OnWork goes around every handler, OnEnqueue around every enqueue.
func ExampleOptions_middleware() {
	ctx := context.Background()
	timed := func(ctx context.Context, next func(context.Context) error) error {
		info, _ := jobs.InfoFrom(ctx)
		began := time.Now()
		err := next(ctx)
		fmt.Println(info.Kind, time.Since(began) < time.Minute, err)
		return err
	}
	counted := func(ctx context.Context, items []jobs.Item, next func(context.Context, []jobs.Item) ([]jobs.Receipt, error)) ([]jobs.Receipt, error) {
		fmt.Println("enqueue", len(items))
		return next(ctx, items)
	}
	q, _ := jobs.New(jobstest.NewDriver(), &jobs.Options{
		OnWork:    []func(context.Context, func(context.Context) error) error{timed},
		OnEnqueue: []func(context.Context, []jobs.Item, func(context.Context, []jobs.Item) ([]jobs.Receipt, error)) ([]jobs.Receipt, error){counted},
	})
	jobs.HandleResult(q, func(ctx context.Context, a Thumbnail) (int, error) { return a.Page, nil })
	stop := start(q)
	receipt, _ := q.Enqueue(ctx, Thumbnail{Page: 7}, nil)
	_, _ = jobs.Await[int](ctx, q, receipt.ID)
	stop()
	// Output:
	// enqueue 1
	// page.thumbnail true <nil>
}

func ExampleObserver() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), &jobs.Options{Observer: &jobs.Observer{
		Enqueued: func(ctx context.Context, job jobs.Info, r jobs.Receipt) { fmt.Println("enqueued", job.Kind) },
		Finished: func(ctx context.Context, job jobs.Info, run time.Duration, err error, outcome jobs.Outcome) {
			fmt.Println("finished", job.Kind, err, outcome)
		},
	}})
	jobs.HandleResult(q, func(ctx context.Context, a Thumbnail) (int, error) { return a.Page, nil })
	receipt, _ := q.Enqueue(ctx, Thumbnail{Page: 7}, nil)
	stop := start(q)
	_, _ = jobs.Await[int](ctx, q, receipt.ID)
	stop()
	// Output:
	// enqueued page.thumbnail
	// finished page.thumbnail <nil> completed
}

func ExampleQueue_SetLimit() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), nil)
	// In all processes together, from now on:
	_ = q.SetLimit(ctx, jobs.Target{EachTenant: true}, jobs.Limit{Running: 4})
	_ = q.SetLimit(ctx, jobs.Target{Tenant: "acme"}, jobs.Limit{Running: 20, Rate: 100, Per: time.Minute})
	_ = q.Pause(ctx, jobs.Target{Kind: "invoice.send"})
	c, err := q.Control(ctx)
	fmt.Println(c.EachTenant.Running, c.Tenants["acme"].Running, c.PausedKinds, err)
	// Output:
	// 4 20 [invoice.send] <nil>
}
