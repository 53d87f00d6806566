package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

func TestRetryThenDead(t *testing.T) {
	seen := &spy{}
	bubble(t, &jobs.Options{Errors: seen, Metrics: seen}, func(b *bench) {
		var at []time.Duration
		var infos []jobs.Info
		began := time.Now()
		jobs.Handle(b.q, func(ctx context.Context, _ Mail) error {
			info, ok := jobs.InfoFrom(ctx)
			if !ok {
				b.Error("no Info")
			}
			infos, at = append(infos, info), append(at, time.Since(began))
			return fmt.Errorf("no %d", info.Attempt)
		})
		r := b.enqueue(Mail{To: "ann"}, &jobs.EnqueueOptions{MaxAttempts: 3})
		jobstest.Drain(b, b.d, b.q)
		b.stats(jobs.Stats{Dead: 1})
		require.Equal(b, []jobs.Info{
			{ID: r.ID, Kind: "mail.send", Attempt: 1, MaxAttempts: 3},
			{ID: r.ID, Kind: "mail.send", Attempt: 2, MaxAttempts: 3, LastError: "no 1"},
			{ID: r.ID, Kind: "mail.send", Attempt: 3, MaxAttempts: 3, LastError: "no 2"},
		}, infos)
		require.GreaterOrEqual(b, at[1]-at[0], 16*time.Second)
		require.Less(b, at[1]-at[0], 18*time.Second)
		require.GreaterOrEqual(b, at[2]-at[1], 31*time.Second)
		require.Len(b, seen.errs, 1)
		require.ErrorContains(b, seen.errs[0], "is dead after 3 attempts: no 3")
		require.Equal(b, 2.0, seen.counts["jobs.retried"])

		dead, err := b.q.List(b.Context(), jobs.Dead, 0, 10)
		require.NoError(b, err)
		require.Equal(b, "no 3", dead[0].Error)
		require.Equal(b, 3, dead[0].Info.Attempt)
		require.JSONEq(b, `{"to":"ann"}`, string(dead[0].Args))

		n, err := b.q.Requeue(b.Context(), r.ID, "unknown")
		require.NoError(b, err)
		require.Equal(b, 1, n)
		jobstest.Drain(b, b.d, b.q)
		require.Len(b, infos, 6, "a requeued job has all its attempts again")
		n, err = b.q.Delete(b.Context(), r.ID)
		require.NoError(b, err)
		require.Equal(b, 1, n)
		b.stats(jobs.Stats{})
	})
}

func TestPanicIsAFailedAttempt(t *testing.T) {
	seen := &spy{}
	bubble(t, &jobs.Options{Errors: seen}, func(b *bench) {
		jobs.Handle(b.q, func(ctx context.Context, _ Mail) error {
			if info, _ := jobs.InfoFrom(ctx); info.Attempt == 1 {
				panic(errors.ErrUnsupported)
			}
			return nil
		})
		b.enqueue(Mail{}, nil)
		jobstest.Drain(b, b.d, b.q)
		b.stats(jobs.Stats{})
		require.Len(b, seen.errs, 1)
		require.ErrorIs(b, seen.errs[0], errors.ErrUnsupported)
		require.Contains(b, string(seen.stacks[0]), "run_test.go", "the stack shows where")
	})
}

func TestGoexitIsAFailedAttempt(t *testing.T) {
	bubble(t, &jobs.Options{Concurrency: 1}, func(b *bench) {
		jobs.Handle(b.q, func(ctx context.Context, _ Mail) error {
			if info, _ := jobs.InfoFrom(ctx); info.Attempt == 1 {
				runtime.Goexit()
			}
			return nil
		})
		b.enqueue(Mail{}, nil)
		jobstest.Drain(b, b.d, b.q) // with the slot lost it would not end
		b.stats(jobs.Stats{})
	})
}

func TestLongErrorIsShortened(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		jobs.Handle(b.q, func(context.Context, Mail) error { return errors.New(strings.Repeat("ß", 5000) + "\xff") })
		b.enqueue(Mail{}, &jobs.EnqueueOptions{MaxAttempts: 1})
		jobstest.Drain(b, b.d, b.q)
		dead, err := b.q.List(b.Context(), jobs.Dead, 0, 1)
		require.NoError(b, err)
		require.Less(b, len(dead[0].Error), 2100)
		require.NotContains(b, dead[0].Error, "\uFFFD")
	})
}

func TestUnknownKindWaitsForAWorkerThatKnowsIt(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		stop := run(b, b.q)
		b.enqueue(Mail{}, &jobs.EnqueueOptions{MaxAttempts: 1})
		b.sleep(time.Minute)
		require.NoError(b, stop())
		next := b.queue(&jobs.Options{Logger: quiet})
		var got jobs.Info
		jobs.Handle(next, func(ctx context.Context, _ Mail) error {
			got, _ = jobs.InfoFrom(ctx)
			return nil
		})
		jobstest.Drain(b, b.d, next)
		require.Equal(b, 1, got.Attempt, "no attempt was counted")
	})
}

func TestUnreadableJobs(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		_, err := b.d.Push(b.Context(), driver.Push{Jobs: []driver.Job{
			{ID: "garbage", Body: []byte("{")},
			{ID: "newer", Body: []byte(`{"v":2,"kind":"mail.send","args":{}}`)},
			{ID: "wrong", Body: []byte(`{"v":1,"kind":"mail.send","max":1,"args":[]}`)},
		}})
		require.NoError(b, err)
		jobs.Handle(b.q, func(context.Context, Mail) error { return nil })
		stop := run(b, b.q)
		b.sleep(time.Second)
		require.NoError(b, stop())
		b.stats(jobs.Stats{Scheduled: 1, Dead: 2})
		later, err := b.q.List(b.Context(), jobs.Scheduled, 0, 9)
		require.NoError(b, err)
		require.Equal(b, "newer", later[0].Info.ID)
	})
}

func TestTimeout(t *testing.T) {
	seen := &spy{}
	bubble(t, &jobs.Options{Timeout: time.Minute, Errors: seen}, func(b *bench) {
		jobs.Handle(b.q, func(ctx context.Context, _ Mail) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		b.enqueue(Mail{}, &jobs.EnqueueOptions{MaxAttempts: 1})
		began := time.Now()
		jobstest.Drain(b, b.d, b.q)
		require.Equal(b, time.Minute, time.Since(began))
		dead, err := b.q.List(b.Context(), jobs.Dead, 0, 1)
		require.NoError(b, err)
		require.Contains(b, dead[0].Error, jobs.ErrTimeout.Error())
		require.Len(b, seen.errs, 1)
		require.ErrorIs(b, seen.errs[0], jobs.ErrTimeout)
		require.NoError(b, seen.ctx.Err(), "a reporter has to have time")
	})
}

func TestConcurrencyIsALimitAndIsUsed(t *testing.T) {
	bubble(t, &jobs.Options{Concurrency: 3}, func(b *bench) {
		var now, most atomic.Int32
		jobs.Handle(b.q, func(context.Context, Note) error {
			n := now.Add(1)
			most.Store(max(most.Load(), n))
			<-time.After(time.Second)
			now.Add(-1)
			return nil
		})
		for i := range 30 {
			b.enqueue(Note{N: i}, nil)
		}
		began := time.Now()
		jobstest.Drain(b, b.d, b.q)
		require.EqualValues(b, 3, most.Load())
		require.Equal(b, 10*time.Second, time.Since(began))
	})
}

func TestDelayedJobIsPunctual(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		began := time.Now()
		got := map[int]time.Duration{}
		jobs.Handle(b.q, func(_ context.Context, n Note) error {
			got[n.N] = time.Since(began)
			return nil
		})
		stop := run(b, b.q)
		b.sleep(time.Millisecond)
		b.enqueue(Note{N: 90}, &jobs.EnqueueOptions{At: began.Add(90 * time.Second)})
		b.enqueue(Note{N: 50}, &jobs.EnqueueOptions{Delay: 50*time.Second - time.Millisecond})
		b.sleep(2 * time.Minute)
		require.NoError(b, stop())
		require.Equal(b, map[int]time.Duration{50: 50 * time.Second, 90: 90 * time.Second}, got)
	})
}

func TestRunOnce(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		stop := run(b, b.q)
		b.sleep(time.Second)
		require.ErrorIs(b, b.q.Run(b.Context()), jobs.ErrRunning)
		require.NoError(b, stop())
		stop = run(b, b.q)
		b.sleep(time.Second)
		require.NoError(b, stop(), "a queue may run again")
	})
}

func TestRunFailsWhereTheStoreRefuses(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		b.d.FailNext(jobstest.OpBeat, errors.New("wrong password"))
		require.ErrorContains(b, b.q.Run(b.Context()), "jobs: run: wrong password")
	})
}

func TestRunRefusesAContextWithATenant(t *testing.T) {
	opts := withTenants()
	bubble(t, opts, func(b *bench) {
		b.d.FailNext(jobstest.OpBeat, errors.New("nothing may be sent"))
		err := b.q.Run(opts.WithTenant(b.Context(), "acme"))
		require.ErrorContains(b, err, "the context has a tenant")
	})
}
