package jobs_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

// amnesia is a store that loses what it acknowledged, as one does that fails
// over to a replica which has not got it yet.
type amnesia struct {
	*fake
	outcomes bool // the next call's
	answer   bool // the jobs in the next answer
	held     bool // that the worker holds what the next answer has
}

// fake is embedded for its optional interfaces, too.
type fake = jobstest.Driver

func (a *amnesia) Exchange(ctx context.Context, x driver.Exchange) (driver.Batch, error) {
	if a.outcomes && len(x.Done) > 0 {
		a.outcomes, x.Done = false, nil
	}
	batch, err := a.fake.Exchange(ctx, x)
	if a.answer && len(batch.Jobs) > 0 {
		a.answer, batch.Jobs = false, nil
	}
	if a.held && len(batch.Jobs) > 0 {
		a.held = false
		for _, job := range batch.Jobs {
			_, _ = a.fake.Exchange(ctx, driver.Exchange{
				Worker: x.Worker, Seq: x.Seq + 1e9, Done: []driver.Outcome{{ID: job.ID, Action: driver.Return, Delay: time.Hour}},
			})
		}
	}
	return batch, err
}

func amnesiac(b *bench, handle func(context.Context, Note) error) (*amnesia, *jobs.Queue) {
	a := &amnesia{fake: b.d}
	q, err := jobs.New(a, &jobs.Options{Concurrency: 2, Logger: quiet})
	require.NoError(b, err)
	jobs.Handle(q, handle)
	return a, q
}

func TestLostOutcomeIsToldAgain(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var runs atomic.Int32
		a, q := amnesiac(b, func(context.Context, Note) error { runs.Add(1); return nil })
		a.outcomes = true
		b.enqueue(Note{}, nil)
		stop := run(b, q)
		b.sleep(time.Second)
		b.stats(jobs.Stats{Running: 1}) // the store thinks so
		b.sleep(30 * time.Second)
		b.stats(jobs.Stats{})
		require.EqualValues(b, 1, runs.Load(), "a job that is known to have finished does not run again")
		require.NoError(b, stop())
	})
}

func TestLostAnswerIsGivenBack(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var runs atomic.Int32
		a, q := amnesiac(b, func(context.Context, Note) error { runs.Add(1); return nil })
		a.answer = true
		b.enqueue(Note{}, nil)
		stop := run(b, q)
		b.sleep(time.Second)
		require.Zero(b, runs.Load())
		b.sleep(30 * time.Second)
		require.EqualValues(b, 1, runs.Load(), "a job that nobody works on is not stuck")
		b.stats(jobs.Stats{})
		require.NoError(b, stop())
	})
}

func TestJobThatIsNotHeldIsStopped(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var causes []error
		a, q := amnesiac(b, func(ctx context.Context, _ Note) error {
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx))
			return nil
		})
		a.held = true
		b.enqueue(Note{}, nil)
		stop := run(b, q)
		b.sleep(time.Minute)
		require.True(b, slices.Equal(causes, []error{jobs.ErrLeaseLost}), "%v", causes)
		b.stats(jobs.Stats{Scheduled: 1})
		require.NoError(b, stop())
	})
}
