package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

func TestResultOfAJobInEachState(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		jobs.HandleResult(b.q, func(_ context.Context, n Note) (string, error) {
			<-time.After(time.Minute)
			if n.N == 2 {
				return "", jobs.Discard(errors.New("two is bad"))
			}
			return "it is " + strings.Repeat("I", n.N), nil
		})
		keep := &jobs.EnqueueOptions{Keep: time.Hour}
		good, bad, forgotten := b.enqueue(Note{N: 3}, keep), b.enqueue(Note{N: 2}, keep), b.enqueue(Note{N: 1}, nil)
		stop := run(b, b.q)

		_, err := jobs.Result[string](b.Context(), b.q, good.ID)
		require.ErrorIs(b, err, jobs.ErrPending)
		got, err := jobs.Await[string](b.Context(), b.q, good.ID)
		require.NoError(b, err)
		require.Equal(b, "it is III", got)
		_, err = jobs.Await[string](b.Context(), b.q, bad.ID)
		require.ErrorIs(b, err, jobs.ErrDead)
		require.ErrorContains(b, err, "two is bad")
		_, err = jobs.Result[string](b.Context(), b.q, forgotten.ID)
		require.ErrorIs(b, err, jobs.ErrNotFound)
		_, err = jobs.Result[int](b.Context(), b.q, good.ID)
		require.ErrorContains(b, err, "cannot unmarshal", "of another type")

		found, err := b.q.Find(b.Context(), good.ID)
		require.NoError(b, err)
		require.Equal(b, jobs.Done, found[0].State)
		require.Equal(b, `"it is III"`, string(found[0].Result))
		b.sleep(2 * time.Hour)
		_, err = jobs.Result[string](b.Context(), b.q, good.ID)
		require.ErrorIs(b, err, jobs.ErrNotFound, "kept for an hour")
		require.NoError(b, stop())
	})
}

func TestAwaitObeysItsContext(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		r := b.enqueue(Note{}, &jobs.EnqueueOptions{Keep: time.Hour})
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err := jobs.Await[string](ctx, b.q, r.ID)
		require.ErrorIs(b, err, context.DeadlineExceeded)
		require.Equal(b, time.Minute, time.Since(began))
	})
}

func TestHugeResultMakesTheJobDead(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		runs := 0
		jobs.HandleResult(b.q, func(context.Context, Note) (string, error) {
			runs++
			return strings.Repeat("x", 65<<10), nil
		})
		r := b.enqueue(Note{}, &jobs.EnqueueOptions{Keep: time.Hour})
		jobstest.Drain(b, b.d, b.q)
		require.Equal(b, 1, runs, "to run it again would not help")
		_, err := jobs.Result[string](b.Context(), b.q, r.ID)
		require.ErrorIs(b, err, jobs.ErrDead)
		require.ErrorContains(b, err, jobs.ErrTooLarge.Error())
	})
}

func TestJobWithoutResultIsKeptAllTheSame(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		jobs.Handle(b.q, func(context.Context, Note) error { return nil })
		r := b.enqueue(Note{}, &jobs.EnqueueOptions{Keep: time.Hour})
		stop := run(b, b.q)
		got, err := jobs.Await[*string](b.Context(), b.q, r.ID)
		require.NoError(b, err)
		require.Nil(b, got)
		require.NoError(b, stop())
	})
}

func TestResultOfAFlowsJob(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		jobs.HandleResult(b.q, func(_ context.Context, n Note) (int, error) {
			if n.N == 2 {
				return 0, jobs.Discard(errors.New("two is bad"))
			}
			<-time.After(time.Minute)
			return n.N * 10, nil
		})
		id := b.start(jobs.Flow{Policy: jobs.Ignore, Stages: [][]jobs.Item{jobs.Items(Note{1}, Note{2}), jobs.Items(Note{3})}})
		var members []string
		for stage := range 2 {
			entries, err := b.q.FlowJobs(b.Context(), id, stage, 0, 10)
			require.NoError(b, err)
			for _, e := range entries {
				members = append(members, e.Info.ID)
			}
		}
		_, err := jobs.Result[int](b.Context(), b.q, members[2])
		require.ErrorIs(b, err, jobs.ErrPending, "it waits for its stage")
		stop := run(b, b.q)
		for i, want := range []int{10, 0, 30} {
			got, err := jobs.Await[int](b.Context(), b.q, members[i])
			require.Equal(b, want, got)
			if want == 0 {
				require.ErrorIs(b, err, jobs.ErrDead)
				require.ErrorContains(b, err, "two is bad")
				continue
			}
			require.NoError(b, err)
		}
		require.NoError(b, stop())

		other := b.start(jobs.Flow{Stages: [][]jobs.Item{jobs.Items(Note{1}), jobs.Items(Note{3})}})
		cancelled, err := b.q.CancelFlow(b.Context(), other)
		require.NoError(b, err)
		require.True(b, cancelled)
		_, err = jobs.Await[int](b.Context(), b.q, other+"~0.0")
		require.ErrorIs(b, err, jobs.ErrDead)
		for _, id := range []string{other + "~1.0", other + "~0.7", other + "~9.0", "unknown~0.0"} {
			_, err = jobs.Await[int](b.Context(), b.q, id)
			require.ErrorIs(b, err, jobs.ErrNotFound, id)
		}
	})
}

func TestAwaitSaysThatResultsMustBeKept(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		jobs.HandleResult(b.q, func(context.Context, Note) (string, error) { return "lost", nil })
		r := b.enqueue(Note{}, nil)
		b.drain()
		_, err := jobs.Await[string](b.Context(), b.q, r.ID)
		require.ErrorIs(b, err, jobs.ErrNotFound)
		require.ErrorContains(b, err, "EnqueueOptions.Keep")
	})
}
