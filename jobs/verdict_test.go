package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

func TestRetrySaysWhen(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		began := time.Now()
		var at []time.Duration
		jobs.Handle(b.q, func(context.Context, Note) error {
			at = append(at, time.Since(began).Truncate(time.Second))
			return fmt.Errorf("wrapped: %w", jobs.Retry(errors.New("busy"), 90*time.Second))
		})
		b.enqueue(Note{}, &jobs.EnqueueOptions{MaxAttempts: 3})
		jobstest.Drain(b, b.d, b.q)
		require.Equal(b, []time.Duration{0, 90 * time.Second, 180 * time.Second}, at)
		b.stats(jobs.Stats{Dead: 1}) // its last attempt was the last
		dead, err := b.q.List(b.Context(), jobs.Dead, 0, 1)
		require.NoError(b, err)
		require.Equal(b, "wrapped: busy", dead[0].Error)
	})
}

func TestSnoozeCountsNoAttempt(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		began := time.Now()
		runs := 0
		jobs.Handle(b.q, func(ctx context.Context, _ Note) error {
			info, _ := jobs.InfoFrom(ctx)
			if info.Attempt != 1 {
				b.Error("the attempt is", info.Attempt)
			}
			if runs++; runs <= 3 {
				return jobs.Snooze(time.Hour)
			}
			return nil
		})
		b.enqueue(Note{}, &jobs.EnqueueOptions{MaxAttempts: 1})
		jobstest.Drain(b, b.d, b.q)
		require.Equal(b, 4, runs)
		require.Equal(b, 3*time.Hour, time.Since(began).Truncate(time.Second))
		b.stats(jobs.Stats{})
	})
}

func TestSnoozeOfNothingLetsOthersGoFirst(t *testing.T) {
	bubble(t, &jobs.Options{Concurrency: 1}, func(b *bench) {
		var order []int
		jobs.Handle(b.q, func(_ context.Context, n Note) error {
			order = append(order, n.N)
			if n.N == 1 && len(order) == 1 {
				return jobs.Snooze(0)
			}
			return nil
		})
		b.enqueue(Note{N: 1}, nil)
		b.enqueue(Note{N: 2}, nil)
		jobstest.Drain(b, b.d, b.q)
		require.Equal(b, []int{1, 2, 1}, order)
	})
}

func TestDiscardIsDeadAtOnce(t *testing.T) {
	seen := &spy{}
	bubble(t, &jobs.Options{Errors: seen}, func(b *bench) {
		gone := errors.New("no such customer")
		jobs.Handle(b.q, func(context.Context, Note) error { return jobs.Discard(gone) })
		b.enqueue(Note{}, nil)
		jobstest.Drain(b, b.d, b.q)
		b.stats(jobs.Stats{Dead: 1})
		require.Len(b, seen.errs, 1)
		require.ErrorIs(b, seen.errs[0], gone)
	})
}

func TestVerdictsOfNil(t *testing.T) {
	for _, err := range []error{jobs.Retry(nil, 0), jobs.Discard(nil), jobs.Snooze(0)} {
		require.Error(t, err, "never mistaken for success")
	}
}
