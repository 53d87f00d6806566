package jobs_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

var errDown = errors.New("connection refused")

// stops records when a handler's context ended and why.
func stops(b *bench) (started *atomic.Int32, ended chan error) {
	started, ended = &atomic.Int32{}, make(chan error, 10)
	jobs.Handle(b.q, func(ctx context.Context, _ Note) error {
		if started.Add(1) > 1 {
			return nil
		}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	})
	return started, ended
}

func TestOutageCancelsHandlersBeforeTheLeaseEnds(t *testing.T) {
	bubble(t, &jobs.Options{Lease: 15 * time.Second}, func(b *bench) {
		started, ended := stops(b)
		b.enqueue(Note{}, &jobs.EnqueueOptions{MaxAttempts: 1})
		stop := run(b, b.q)
		b.sleep(time.Millisecond)
		for _, op := range []jobstest.Op{jobstest.OpBeat, jobstest.OpExchange, jobstest.OpWait} {
			b.d.Fail(op, errDown)
		}
		began := time.Now()
		require.ErrorIs(b, <-ended, jobs.ErrLeaseLost)
		require.Less(b, time.Since(began), 15*time.Second, "before another worker may start the job")
		require.Greater(b, time.Since(began), 10*time.Second)
		b.sleep(time.Minute)
		for _, op := range []jobstest.Op{jobstest.OpBeat, jobstest.OpExchange, jobstest.OpWait} {
			b.d.Fail(op, nil)
		}
		b.sleep(5 * time.Second)
		require.EqualValues(b, 2, started.Load(), "the queue goes on without a restart")
		b.stats(jobs.Stats{})
		require.NoError(b, stop())
	})
}

func TestLostLease(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		started, ended := stops(b)
		b.enqueue(Note{}, &jobs.EnqueueOptions{MaxAttempts: 1})
		stop := run(b, b.q)
		b.sleep(time.Millisecond)
		require.Equal(b, 1, b.d.Crash())
		require.ErrorIs(b, <-ended, jobs.ErrLeaseLost)
		b.sleep(5 * time.Second)
		require.EqualValues(b, 2, started.Load())
		b.stats(jobs.Stats{})
		require.NoError(b, stop())
	})
}

func TestDeadWorkersJobsAreTakenOver(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		_, err := b.d.Beat(b.Context(), driver.Beat{Worker: "dead", Lease: 15 * time.Second, Join: true})
		require.NoError(b, err)
		b.enqueue(Note{}, nil)
		_, err = b.d.Exchange(b.Context(), driver.Exchange{Worker: "dead", Seq: 1, Want: 1})
		require.NoError(b, err)
		var info jobs.Info
		jobs.Handle(b.q, func(ctx context.Context, _ Note) error {
			info, _ = jobs.InfoFrom(ctx)
			return nil
		})
		began := time.Now()
		jobstest.Drain(b, b.d, b.q)
		require.LessOrEqual(b, time.Since(began), 20*time.Second)
		require.Equal(b, 1, info.Crashes)
		require.Equal(b, 1, info.Attempt, "a crash is not a failed attempt")
	})
}

func TestLostRepliesRunNothingTwice(t *testing.T) {
	bubble(t, &jobs.Options{Concurrency: 4}, func(b *bench) {
		runs := map[int]int{}
		slots := make(chan struct{}, 1)
		jobs.Handle(b.q, func(_ context.Context, n Note) error {
			slots <- struct{}{}
			runs[n.N]++
			<-slots
			return nil
		})
		for i := range 100 {
			b.enqueue(Note{N: i}, nil)
		}
		stop := run(b, b.q)
		for range 60 {
			b.d.LoseReply(jobstest.OpExchange, errors.New("connection reset"))
			b.sleep(100 * time.Millisecond)
		}
		b.sleep(time.Minute)
		require.NoError(b, stop())
		b.stats(jobs.Stats{})
		require.Len(b, runs, 100)
		for n, times := range runs {
			require.Equal(b, 1, times, "job %d", n)
		}
	})
}

// slowJoin is a driver whose first beat takes long: it connects.
type slowJoin struct {
	driver.Driver
	once sync.Once
}

func (s *slowJoin) Beat(ctx context.Context, b driver.Beat) (pulse driver.Pulse, err error) {
	s.once.Do(func() {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(4 * time.Second):
		}
	})
	if err != nil {
		return pulse, err
	}
	return s.Driver.Beat(ctx, b)
}

func TestShortLeaseDoesNotHurryTheFirstCall(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		q, err := jobs.New(&slowJoin{Driver: b.d}, &jobs.Options{Lease: time.Second, Logger: quiet})
		require.NoError(b, err)
		jobs.Handle(q, func(context.Context, Note) error { return nil })
		b.enqueue(Note{}, nil)
		jobstest.Drain(b, b.d, q)
		b.stats(jobs.Stats{})
	})
}
