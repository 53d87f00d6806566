package jobstest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

type Welcome struct{ To string }

func (Welcome) Kind() string { return "welcome" }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// NewDriver makes the queue of a program that has no Redis.
func ExampleNewDriver() {
	ctx, cancel := context.WithCancel(context.Background())
	q, _ := jobs.New(jobstest.NewDriver(), nil)
	jobs.Handle(q, func(_ context.Context, w Welcome) error {
		fmt.Println("welcome", w.To)
		cancel()
		return nil
	})
	_, _ = q.Enqueue(ctx, Welcome{To: "ann"}, nil)
	_ = q.Run(ctx)
	// Output: welcome ann
}

func ExampleDriver_FailNext() {
	ctx := context.Background()
	driver := jobstest.NewDriver() // in a test: jobstest.New(t)
	q, _ := jobs.New(driver, nil)

	driver.FailNext(jobstest.OpPush, jobs.ErrFull, errors.New("connection refused"))
	for range 3 {
		_, err := q.Enqueue(ctx, Welcome{To: "ann"}, nil)
		fmt.Println(err)
	}
	// Output:
	// jobs: enqueue welcome: jobs: store is full
	// jobs: enqueue welcome: connection refused
	// <nil>
}

// Fail is an outage that ends when the test says so.
func ExampleDriver_Fail() {
	ctx := context.Background()
	driver := jobstest.NewDriver()
	q, _ := jobs.New(driver, nil)

	driver.Fail(jobstest.OpInspect, errors.New("connection refused"))
	for range 2 {
		_, err := q.Stats(ctx)
		fmt.Println(err)
	}
	driver.Fail(jobstest.OpInspect, nil)
	_, err := q.Stats(ctx)
	fmt.Println(err)
	// Output:
	// jobs: stats: connection refused
	// jobs: stats: connection refused
	// <nil>
}

// A caller that heard nothing must not think that nothing happened: with an ID
// of its own it may ask again.
func ExampleDriver_LoseReply() {
	ctx := context.Background()
	driver := jobstest.NewDriver()
	q, _ := jobs.New(driver, nil)

	driver.LoseReply(jobstest.OpPush, errors.New("connection reset"))
	for range 2 {
		_, err := q.Enqueue(ctx, Welcome{To: "ann"}, &jobs.EnqueueOptions{ID: "welcome-42"})
		fmt.Println(err)
	}
	stats, _ := q.Stats(ctx)
	fmt.Println("stored:", stats.Ready)
	// Output:
	// jobs: enqueue welcome: connection reset
	// <nil>
	// stored: 1
}

// The worker "dies" while its handler runs: the handler's context ends, and the
// job runs again.
func ExampleDriver_Crash() {
	ctx, cancel := context.WithCancel(context.Background())
	driver := jobstest.NewDriver()
	q, _ := jobs.New(driver, &jobs.Options{Lease: 150 * time.Millisecond, Logger: quiet})
	lost := make(chan struct{})
	jobs.Handle(q, func(ctx context.Context, w Welcome) error {
		if info, _ := jobs.InfoFrom(ctx); info.Crashes > 0 {
			<-lost // it may begin before the first has noticed
			fmt.Println("again, attempt", info.Attempt)
			cancel()
			return nil
		}
		fmt.Println("jobs held:", driver.Crash())
		<-ctx.Done()
		fmt.Println(context.Cause(ctx))
		close(lost)
		return ctx.Err()
	})
	_, _ = q.Enqueue(ctx, Welcome{To: "ann"}, nil)
	_ = q.Run(ctx)
	// Output:
	// jobs held: 1
	// jobs: lease lost
	// again, attempt 1
}

// A test of code that enqueues, and of the handler: three hours pass at once.
func TestWelcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		driver := jobstest.New(t)
		q, err := jobs.New(driver, &jobs.Options{Logger: quiet})
		require.NoError(t, err)
		tries := 0
		jobs.Handle(q, func(context.Context, Welcome) error {
			if tries++; tries == 1 {
				return errors.New("mail server is busy")
			}
			return nil
		})
		_, err = q.Enqueue(t.Context(), Welcome{To: "ann"}, &jobs.EnqueueOptions{Delay: 3 * time.Hour})
		require.NoError(t, err)
		_, err = q.Enqueue(t.Context(), Welcome{To: "bob"}, nil)
		require.NoError(t, err)
		require.ElementsMatch(t, []Welcome{{"ann"}, {"bob"}}, jobstest.Enqueued[Welcome](t, driver))

		began := time.Now()
		jobstest.Drain(t, driver, q)
		require.Equal(t, 3, tries)
		require.GreaterOrEqual(t, time.Since(began), 3*time.Hour)
		require.Empty(t, jobstest.Enqueued[Welcome](t, driver))
	})
}

// A schedule has no end to drain to: let time go by and look.
func TestDigest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, err := jobs.New(jobstest.New(t), nil)
		require.NoError(t, err)
		sent := 0
		jobs.Handle(q, func(context.Context, Welcome) error { sent++; return nil })
		require.NoError(t, q.Cron("digest", "@hourly", Welcome{To: "team"}, nil))

		jobstest.Advance(t, q, 4*time.Hour+time.Minute)
		require.Equal(t, 4, sent)
	})
}
