package jobs_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

func TestShutdownLetsHandlersFinish(t *testing.T) {
	bubble(t, &jobs.Options{Concurrency: 1}, func(b *bench) {
		jobs.Handle(b.q, func(ctx context.Context, _ Note) error {
			<-time.After(10 * time.Second)
			return ctx.Err()
		})
		b.enqueue(Note{N: 1}, nil)
		b.enqueue(Note{N: 2}, nil)
		stop := run(b, b.q)
		b.sleep(time.Second)
		began := time.Now()
		require.NoError(b, stop())
		require.Equal(b, 9*time.Second, time.Since(began))
		b.stats(jobs.Stats{Ready: 1})
	})
}

func TestShutdownCancelsAfterTheDrainTimeout(t *testing.T) {
	bubble(t, &jobs.Options{DrainTimeout: 2 * time.Second}, func(b *bench) {
		var cause error
		jobs.Handle(b.q, func(ctx context.Context, _ Note) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return ctx.Err()
		})
		b.enqueue(Note{}, &jobs.EnqueueOptions{MaxAttempts: 1})
		stop := run(b, b.q)
		b.sleep(time.Second)
		began := time.Now()
		require.NoError(b, stop())
		require.Equal(b, 2*time.Second, time.Since(began))
		require.ErrorIs(b, cause, jobs.ErrShutdown)
		b.stats(jobs.Stats{Ready: 1})
		ready, err := b.q.List(b.Context(), jobs.Ready, 0, 1)
		require.NoError(b, err)
		require.Equal(b, 1, ready[0].Info.Attempt, "no attempt was counted")
	})
}

func TestShutdownDoesNotWaitForDeafHandlers(t *testing.T) {
	bubble(t, &jobs.Options{DrainTimeout: -1}, func(b *bench) {
		deaf := make(chan struct{})
		jobs.Handle(b.q, func(context.Context, Note) error {
			<-deaf
			return nil
		})
		b.enqueue(Note{}, nil)
		stop := run(b, b.q)
		b.sleep(time.Second)
		began := time.Now()
		require.ErrorContains(b, stop(), "1 handlers still run")
		require.Less(b, time.Since(began), 5*time.Second)
		b.stats(jobs.Stats{Ready: 1})
		close(deaf)
	})
}

func TestShutdownGivesBackWhatItDidNotStart(t *testing.T) {
	bubble(t, &jobs.Options{Concurrency: 1}, func(b *bench) {
		jobs.Handle(b.q, func(context.Context, Note) error {
			b.Error("started while shutting down")
			return nil
		})
		// The first exchange takes the job, but its answer gets lost; the worker
		// is told to stop before it hears of the job.
		b.d.LoseReply(jobstest.OpExchange, errors.New("connection reset"))
		b.enqueue(Note{}, nil)
		stop := run(b, b.q)
		b.sleep(time.Millisecond)
		b.stats(jobs.Stats{Running: 1})
		require.NoError(b, stop())
		b.stats(jobs.Stats{Ready: 1})
	})
}

func TestShutdownWithoutStore(t *testing.T) {
	bubble(t, &jobs.Options{DrainTimeout: 5 * time.Second}, func(b *bench) {
		jobs.Handle(b.q, func(context.Context, Note) error {
			<-time.After(2 * time.Second)
			return nil
		})
		b.enqueue(Note{}, nil)
		stop := run(b, b.q)
		b.sleep(time.Second)
		down := errors.New("connection refused")
		b.d.Fail(jobstest.OpExchange, down)
		b.d.Fail(jobstest.OpBeat, down)
		began := time.Now()
		err := stop()
		require.ErrorContains(b, err, "1 outcomes could not be stored")
		require.ErrorIs(b, err, down)
		require.Less(b, time.Since(began), 12*time.Second)
	})
}
