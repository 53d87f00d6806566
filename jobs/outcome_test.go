package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

// ending is a way in which an attempt may end.
type ending struct {
	name    string
	handler func(ctx context.Context, b *bench, stop func()) (any, error)
	attempt jobs.EnqueueOptions
	outcome jobs.Outcome
	err     string // a part of it; empty: none
	after   jobs.Stats
	late    bool // OnWork cannot know it
}

var errBroken = errors.New("broken")

func untilDone(ctx context.Context) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

var endings = []ending{
	{name: "nil", outcome: "completed", handler: func(context.Context, *bench, func()) (any, error) {
		return nil, nil
	}},
	{name: "an error", outcome: "failed", err: "broken", after: jobs.Stats{Scheduled: 1}, handler: func(context.Context, *bench, func()) (any, error) {
		return nil, errBroken
	}},
	{name: "Retry", outcome: "failed", err: "broken", after: jobs.Stats{Scheduled: 1}, handler: func(context.Context, *bench, func()) (any, error) {
		return nil, jobs.Retry(errBroken, time.Hour)
	}},
	{name: "a panic", outcome: "failed", err: "panic", after: jobs.Stats{Scheduled: 1}, late: true, handler: func(context.Context, *bench, func()) (any, error) {
		panic(errBroken)
	}},
	{name: "the timeout", outcome: "failed", err: "timed out", after: jobs.Stats{Scheduled: 1}, handler: func(ctx context.Context, _ *bench, _ func()) (any, error) {
		return untilDone(ctx)
	}},
	{name: "a result that is too large", outcome: "discarded", err: "too large", after: jobs.Stats{Dead: 1}, late: true, handler: func(context.Context, *bench, func()) (any, error) {
		return strings.Repeat("x", 2<<20), nil
	}},
	{name: "an error of the last attempt", attempt: jobs.EnqueueOptions{MaxAttempts: 1}, outcome: "dead", err: "broken", after: jobs.Stats{Dead: 1}, handler: func(context.Context, *bench, func()) (any, error) {
		return nil, errBroken
	}},
	{name: "Retry of the last attempt", attempt: jobs.EnqueueOptions{MaxAttempts: 1}, outcome: "dead", err: "broken", after: jobs.Stats{Dead: 1}, handler: func(context.Context, *bench, func()) (any, error) {
		return nil, jobs.Retry(errBroken, time.Hour)
	}},
	{name: "Discard", outcome: "discarded", err: "broken", after: jobs.Stats{Dead: 1}, handler: func(context.Context, *bench, func()) (any, error) {
		return nil, jobs.Discard(errBroken)
	}},
	{name: "Snooze", outcome: "snoozed", err: "snoozed", after: jobs.Stats{Scheduled: 1}, handler: func(context.Context, *bench, func()) (any, error) {
		return nil, jobs.Snooze(time.Hour)
	}},
	{name: "Snooze of the last attempt", attempt: jobs.EnqueueOptions{MaxAttempts: 1}, outcome: "snoozed", err: "snoozed", after: jobs.Stats{Scheduled: 1}, handler: func(context.Context, *bench, func()) (any, error) {
		return nil, jobs.Snooze(time.Hour)
	}},
	{name: "Cancel", outcome: "cancelled", err: "canceled", handler: func(ctx context.Context, b *bench, _ func()) (any, error) {
		info, _ := jobs.InfoFrom(ctx)
		_, err := b.q.Cancel(ctx, info.ID)
		require.NoError(b, err)
		return untilDone(ctx)
	}},
	{name: "nil after Cancel", outcome: "completed", handler: func(ctx context.Context, b *bench, _ func()) (any, error) {
		info, _ := jobs.InfoFrom(ctx)
		_, err := b.q.Cancel(ctx, info.ID)
		require.NoError(b, err)
		<-ctx.Done()
		return nil, nil
	}},
	{name: "a shutdown", attempt: jobs.EnqueueOptions{MaxAttempts: 1}, outcome: "interrupted", err: "canceled", after: jobs.Stats{Ready: 1}, handler: func(ctx context.Context, _ *bench, stop func()) (any, error) {
		stop()
		return untilDone(ctx)
	}},
	{name: "Discard during a shutdown", outcome: "interrupted", err: "broken", after: jobs.Stats{Ready: 1}, handler: func(ctx context.Context, _ *bench, stop func()) (any, error) {
		stop()
		<-ctx.Done()
		return nil, jobs.Discard(errBroken)
	}},
	{name: "a lost lease", outcome: "interrupted", err: "canceled", after: jobs.Stats{Ready: 1}, handler: func(ctx context.Context, b *bench, _ func()) (any, error) {
		require.NoError(b, b.q.Pause(ctx, jobs.Target{Queue: true})) // it does not run again
		b.d.Crash()
		return untilDone(ctx)
	}},
}

// Observer, OnWork and the store agree about how an attempt ended.
func TestEachAttemptHasItsOutcome(t *testing.T) {
	t.Parallel()
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			type end struct {
				outcome jobs.Outcome
				err     error
			}
			var told, foreseen []end
			var b *bench
			var stop context.CancelFunc
			opts := &jobs.Options{
				Timeout: time.Minute, DrainTimeout: -1, Backoff: func(int) time.Duration { return time.Hour },
				Observer: &jobs.Observer{Finished: func(_ context.Context, _ jobs.Info, _ time.Duration, err error, outcome jobs.Outcome) {
					told = append(told, end{outcome, err})
					stop() // what the store has is looked at after the first attempt
				}},
				OnWork: []func(context.Context, func(context.Context) error) error{func(ctx context.Context, next func(context.Context) error) error {
					err := next(ctx)
					foreseen = append(foreseen, end{jobs.OutcomeOf(ctx, err), err})
					return err
				}},
			}
			bubble(t, opts, func(inner *bench) {
				b = inner
				jobs.HandleResult(b.q, func(ctx context.Context, _ Note) (any, error) { return e.handler(ctx, b, stop) })
				b.enqueue(Note{}, &e.attempt)
				var ctx context.Context
				ctx, stop = context.WithCancel(b.Context())
				require.NoError(b, b.q.Run(ctx))

				require.Len(b, told, 1)
				require.Equal(b, e.outcome, told[0].outcome)
				if e.err == "" {
					require.NoError(b, told[0].err)
				} else {
					require.ErrorContains(b, told[0].err, e.err)
				}
				b.stats(e.after)
				if !e.late {
					require.Len(b, foreseen, 1)
					require.Equal(b, e.outcome, foreseen[0].outcome)
				}
			})
		})
	}
}

func TestOutcomeOutsideOfAHandler(t *testing.T) {
	t.Parallel()
	require.Equal(t, jobs.Outcome("completed"), jobs.OutcomeOf(t.Context(), nil))
	require.Equal(t, jobs.Outcome("failed"), jobs.OutcomeOf(t.Context(), jobs.Snooze(0)))
}
