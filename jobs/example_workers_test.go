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

// Who works on a queue, and on what, is for any process to ask.
func ExampleQueue_Workers() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), &jobs.Options{Name: "mailer-1", Concurrency: 8})
	jobs.HandleResult(q, func(ctx context.Context, _ Thumbnail) (string, error) {
		workers, err := q.Workers(ctx)
		if err != nil || len(workers) == 0 {
			return "", err
		}
		w := workers[0]
		return fmt.Sprintf("%s has %d handlers, late: %t, draining: %t", w.Name, w.Concurrency, w.Late, w.Draining), nil
	})
	defer start(q)()

	receipt, _ := q.Enqueue(ctx, Thumbnail{}, nil)
	fmt.Println(jobs.Await[string](ctx, q, receipt.ID))
	// Output: mailer-1 has 8 handlers, late: false, draining: false <nil>
}

// The latest three failures of a job stay with it, also when it is dead.
func ExampleFailure() {
	ctx := context.Background()
	q, _ := jobs.New(jobstest.NewDriver(), &jobs.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	dead := make(chan struct{})
	jobs.Handle(q, func(ctx context.Context, _ Thumbnail) error {
		info, _ := jobs.InfoFrom(ctx)
		if info.Attempt == 2 {
			defer close(dead)
			return errors.New("no such page")
		}
		return jobs.Retry(errors.New("printer is busy"), 0)
	})
	stop := start(q)
	receipt, _ := q.Enqueue(ctx, Thumbnail{}, &jobs.EnqueueOptions{MaxAttempts: 2})
	<-dead
	stop()

	found, err := q.Find(ctx, receipt.ID)
	if err != nil || len(found) == 0 {
		fmt.Println(err)
		return
	}
	for _, f := range found[0].Failures {
		fmt.Println(f.Attempt, f.Error, time.Since(f.At) < time.Hour)
	}
	// Output:
	// 2 no such page true
	// 1 printer is busy true
}
