package jobstest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

type Welcome struct{ To string }

func (Welcome) Kind() string { return "welcome" }

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

// A test of code that enqueues, and of the handler: a day passes at once.
func TestWelcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		driver := jobstest.New(t)
		q, err := jobs.New(driver, nil)
		require.NoError(t, err)
		tries := 0
		jobs.Handle(q, func(context.Context, Welcome) error {
			if tries++; tries == 1 {
				return errors.New("mail server is busy")
			}
			return nil
		})
		_, err = q.Enqueue(t.Context(), Welcome{To: "ann"}, &jobs.EnqueueOptions{Delay: 24 * time.Hour})
		require.NoError(t, err)
		_, err = q.Enqueue(t.Context(), Welcome{To: "bob"}, nil)
		require.NoError(t, err)
		require.ElementsMatch(t, []Welcome{{"ann"}, {"bob"}}, jobstest.Enqueued[Welcome](t, driver))

		began := time.Now()
		jobstest.Drain(t, driver, q)
		require.Equal(t, 3, tries)
		require.GreaterOrEqual(t, time.Since(began), 24*time.Hour)
		require.Empty(t, jobstest.Enqueued[Welcome](t, driver))
	})
}
