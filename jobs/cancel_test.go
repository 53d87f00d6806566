package jobs_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

func TestCancelledHandlerEndsAtOnceAndForGood(t *testing.T) {
	seen := &spy{}
	bubble(t, &jobs.Options{Metrics: seen}, func(b *bench) {
		var cause error
		jobs.Handle(b.q, func(ctx context.Context, _ Note) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return ctx.Err()
		})
		r := b.enqueue(Note{}, nil)
		waits := b.enqueue(Note{}, &jobs.EnqueueOptions{Delay: time.Hour})
		stop := run(b, b.q)
		b.sleep(time.Second)
		began := time.Now()
		n, err := b.q.Cancel(b.Context(), r.ID, waits.ID, "unknown")
		require.NoError(b, err)
		require.Equal(b, 2, n)
		b.sleep(100 * time.Millisecond)
		require.ErrorIs(b, cause, jobs.ErrCancelled)
		require.Less(b, time.Since(began), time.Second, "without waiting for the next beat")
		b.stats(jobs.Stats{})
		require.Equal(b, 1.0, seen.counts["jobs.cancelled"])
		require.NoError(b, stop())
	})
}

func TestHandlerThatFinishesAllTheSameHasFinished(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		jobs.HandleResult(b.q, func(ctx context.Context, _ Note) (int, error) {
			<-ctx.Done()
			return 7, nil
		})
		r := b.enqueue(Note{}, &jobs.EnqueueOptions{Keep: time.Hour})
		stop := run(b, b.q)
		b.sleep(time.Second)
		_, err := b.q.Cancel(b.Context(), r.ID)
		require.NoError(b, err)
		got, err := jobs.Await[int](b.Context(), b.q, r.ID)
		require.NoError(b, err)
		require.Equal(b, 7, got)
		require.NoError(b, stop())
	})
}

func TestProgressIsSeenWhileAHandlerRuns(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		jobs.Handle(b.q, func(ctx context.Context, _ Note) error {
			for i := 0; i < 10_000 && ctx.Err() == nil; i++ {
				jobs.Progress(ctx, i+1, 10_000, "page")
				<-time.After(time.Millisecond)
			}
			return nil
		})
		r := b.enqueue(Note{}, nil)
		stop := run(b, b.q)
		b.sleep(5 * time.Second)
		found, err := b.q.Find(b.Context(), r.ID)
		require.NoError(b, err)
		require.Regexp(b, `^{"done":(4[5-9]|5[0-4])\d\d,"total":10000,"note":"page"}$`, string(found[0].Progress))
		require.NoError(b, stop())
		jobs.Progress(b.Context(), 1, 2, "outside of a handler: nothing")
	})
}

func TestStuckHandlerKeepsItsSlotAndIsReportedOnce(t *testing.T) {
	var stuck, started atomic.Int32
	watch := &jobs.Observer{Stuck: func(ctx context.Context, job jobs.Info, cause error) {
		if job.Kind == "note" && cause == jobs.ErrTimeout && ctx.Err() == nil {
			stuck.Add(1)
		}
	}}
	bubble(t, &jobs.Options{Concurrency: 1, Timeout: time.Minute, Observer: watch, DrainTimeout: -1}, func(b *bench) {
		deaf := make(chan struct{})
		jobs.Handle(b.q, func(context.Context, Note) error {
			started.Add(1)
			<-deaf
			return nil
		})
		b.enqueue(Note{}, nil)
		b.enqueue(Note{}, nil)
		stop := run(b, b.q)
		b.sleep(59 * time.Second)
		require.Zero(b, stuck.Load())
		b.sleep(time.Hour)
		require.EqualValues(b, 1, stuck.Load())
		require.EqualValues(b, 1, started.Load(), "the limit holds for handlers that do not listen, too")
		close(deaf)
		b.sleep(time.Second)
		require.EqualValues(b, 2, started.Load())
		require.NoError(b, stop())
	})
}

func TestObserverSeesTheLifeOfAJob(t *testing.T) {
	type event struct {
		what string
		job  string
		d    time.Duration
		end  jobs.Outcome
	}
	var mu sync.Mutex
	var events []event
	add := func(e event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}
	var lost atomic.Int32
	watch := &jobs.Observer{
		Enqueued: func(_ context.Context, job jobs.Info, r jobs.Receipt) {
			what := "enqueued"
			if r.Duplicate {
				what = "duplicate"
			}
			add(event{what: what, job: job.Kind})
		},
		Started: func(_ context.Context, job jobs.Info, wait time.Duration) {
			add(event{what: "started", job: job.Kind, d: wait})
		},
		Finished: func(ctx context.Context, job jobs.Info, run time.Duration, err error, end jobs.Outcome) {
			if ctx.Err() == nil {
				add(event{"finished", job.Kind, run, end})
			}
		},
		LeaseLost: func(_ context.Context, running int) { lost.Add(int32(running)) },
	}
	bubble(t, &jobs.Options{Observer: watch, Backoff: func(int) time.Duration { return time.Hour }}, func(b *bench) {
		jobs.Handle(b.q, func(context.Context, Note) error {
			<-time.After(3 * time.Second)
			return context.Canceled
		})
		once := &jobs.EnqueueOptions{Key: "k", MaxAttempts: 2}
		b.enqueue(Note{}, once)
		b.enqueue(Note{}, once)
		<-time.After(2 * time.Second)
		stop := run(b, b.q)
		b.sleep(2 * time.Hour)
		mu.Lock()
		got := slices.Clone(events)
		mu.Unlock()
		require.Equal(b, []event{
			{what: "enqueued", job: "note"},
			{what: "duplicate", job: "note"},
			{what: "started", job: "note", d: 2 * time.Second},
			{what: "finished", job: "note", d: 3 * time.Second, end: "failed"},
			{what: "started", job: "note", d: -1},
			{what: "finished", job: "note", d: 3 * time.Second, end: "dead"},
		}, got)

		b.enqueue(Note{}, nil)
		b.sleep(time.Second)
		require.Equal(b, 1, b.d.Crash())
		b.sleep(10 * time.Second)
		require.EqualValues(b, 1, lost.Load())
		require.NoError(b, stop())
	})
}

func TestHistoryTellsHowItWent(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		jobs.Handle(b.q, func(_ context.Context, n Note) error {
			<-time.After(time.Duration(n.N) * time.Millisecond)
			if n.N == 300 {
				return jobs.Discard(nil)
			}
			return nil
		})
		for _, n := range []int{0, 3, 3, 300} {
			b.enqueue(Note{N: n}, nil)
		}
		<-time.After(10 * time.Millisecond)
		stop := run(b, b.q)
		b.sleep(time.Second)
		require.NoError(b, stop()) // before the first beat
		minutes, err := b.q.History(b.Context(), time.Now().Add(-time.Hour))
		require.NoError(b, err)
		require.Len(b, minutes, 1)
		want := jobs.Tally{Finished: 3, Failed: 1, Buried: 1}
		want.Run[0], want.Run[2], want.Run[9] = 1, 2, 1 // 0, 3 and 300 ms: below 1, 4 and 512
		want.Wait[4] = 4                                // 10 ms: below 16
		require.Equal(b, want, minutes[0].Tally)
	})
}
