package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

func (b *bench) workers() []jobs.Worker {
	b.Helper()
	list, err := b.q.Workers(b.Context())
	require.NoError(b, err)
	return list
}

func (b *bench) job(id string) jobs.Entry {
	b.Helper()
	found, err := b.q.Find(b.Context(), id)
	require.NoError(b, err)
	require.Len(b, found, 1)
	return found[0]
}

func TestWorkers(t *testing.T) {
	bubble(t, &jobs.Options{Name: "one", Concurrency: 2}, func(b *bench) {
		release := make(chan struct{})
		jobs.Handle(b.q, func(context.Context, Note) error {
			<-release
			return nil
		})
		require.Empty(b, b.workers(), "nobody runs")
		began := time.Now()
		stop := run(b, b.q)
		b.sleep(time.Second)
		for n := range 4 {
			b.enqueue(Note{N: n}, nil)
		}
		b.sleep(5 * time.Second)
		one := b.workers()[0]
		require.Equal(b, jobs.Worker{
			ID: one.ID, Name: "one", Build: one.Build, Started: began.UTC(), Seen: began.Add(5 * time.Second).UTC(),
			Left: 14 * time.Second, Concurrency: 2, Running: 2, Held: 2,
		}, one)
		close(release)
		b.sleep(5 * time.Second)
		require.Zero(b, b.workers()[0].Running)
		require.NoError(b, stop())
		require.Empty(b, b.workers(), "it left")
	})
}

func TestWorkerName(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		stop := run(b, b.q)
		b.sleep(time.Second)
		host, pid, _ := strings.Cut(b.workers()[0].Name, "/")
		require.NotEmpty(b, host)
		require.Regexp(b, `^\d+$`, pid)
		require.NoError(b, stop())
		_, err := jobs.New(b.d, &jobs.Options{Name: strings.Repeat("x", 129)})
		require.ErrorContains(b, err, "Options.Name")
		_, err = jobs.New(b.d, &jobs.Options{Name: "\xff"})
		require.ErrorContains(b, err, "Options.Name")
	})
}

// A drain can be watched: from a beat after it began until the last handler has
// returned.
func TestDrainingWorker(t *testing.T) {
	bubble(t, &jobs.Options{Name: "w"}, func(b *bench) {
		jobs.Handle(b.q, func(context.Context, Note) error {
			<-time.After(12 * time.Second)
			return nil
		})
		b.enqueue(Note{}, nil)
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.q.Run(ctx) }()
		b.sleep(time.Second)
		require.False(b, b.workers()[0].Draining)
		cancel()
		b.sleep(5 * time.Second)
		w := b.workers()[0]
		require.True(b, w.Draining)
		require.Equal(b, 1, w.Running)
		require.NoError(b, <-ended)
		require.Empty(b, b.workers())
	})
}

// frozen is a store that a worker cannot reach any more.
type frozen struct {
	*jobstest.Driver
	off chan struct{}
}

func (f *frozen) Beat(ctx context.Context, b driver.Beat) (driver.Pulse, error) {
	select {
	case <-f.off:
		return driver.Pulse{}, errors.New("frozen")
	default:
		return f.Driver.Beat(ctx, b)
	}
}

func TestLateWorker(t *testing.T) {
	bubble(t, &jobs.Options{Name: "healthy"}, func(b *bench) {
		f := &frozen{Driver: b.d, off: make(chan struct{})}
		q, err := jobs.New(f, &jobs.Options{Name: "frozen", Logger: quiet})
		require.NoError(b, err)
		jobs.Handle(q, func(ctx context.Context, _ Note) error {
			<-ctx.Done()
			return ctx.Err()
		})
		b.enqueue(Note{}, nil)
		stopFrozen := run(b, q)
		b.sleep(time.Second)
		stop := run(b, b.q)
		b.sleep(time.Second)
		close(f.off)
		seen := map[string]bool{}
		for range 30 {
			for _, w := range b.workers() {
				if w.Name == "healthy" {
					require.False(b, w.Late)
					continue
				}
				require.Equal(b, w.Left < 5*time.Second, w.Late)
				seen[map[bool]string{true: "late", false: "well"}[w.Late]] = true
				require.Greater(b, w.Left, -5*time.Second, "the other one beats each five seconds")
			}
			b.sleep(time.Second)
		}
		require.Equal(b, map[string]bool{"well": true, "late": true}, seen)
		require.Len(b, b.workers(), 1, "its lease ran out")
		require.NoError(b, stop())
		require.ErrorContains(b, stopFrozen(), "frozen", "it cannot even leave")
	})
}

// Since when a job runs is known with a beat, and does not depend on when that is.
func TestStarted(t *testing.T) {
	bubble(t, &jobs.Options{Concurrency: 1}, func(b *bench) {
		var began time.Time
		jobs.Handle(b.q, func(ctx context.Context, n Note) error {
			began = time.Now().UTC()
			<-time.After(time.Duration(n.N) * time.Second)
			return nil
		})
		stop := run(b, b.q)
		b.sleep(time.Second + 7*time.Millisecond)
		id := b.enqueue(Note{N: 60}, &jobs.EnqueueOptions{Keep: time.Hour}).ID
		waits := b.enqueue(Note{N: 1}, nil).ID
		b.sleep(3 * time.Second)
		require.Equal(b, jobs.Running, b.job(id).State)
		require.Zero(b, b.job(id).Started, "no beat yet")
		b.sleep(time.Second)
		for range 10 {
			e := b.job(id)
			require.Equal(b, began, e.Started)
			require.Zero(b, e.Took)
			require.Zero(b, b.job(waits).Started)
			b.sleep(5 * time.Second)
		}
		b.sleep(10 * time.Second)
		e := b.job(id)
		require.Equal(b, jobs.Done, e.State)
		require.Equal(b, time.Minute, e.Took)
		require.Equal(b, e.At.Add(-time.Minute), e.Started)
		require.NoError(b, stop())
	})
}

func TestFailures(t *testing.T) {
	bubble(t, &jobs.Options{MaxAttempts: 4, Backoff: func(int) time.Duration { return time.Minute }}, func(b *bench) {
		began := time.Now().UTC()
		jobs.Handle(b.q, func(ctx context.Context, _ Note) error {
			info, _ := jobs.InfoFrom(ctx)
			<-time.After(time.Duration(info.Attempt) * time.Second)
			return errors.New(strings.Repeat("no ", info.Attempt))
		})
		id := b.enqueue(Note{}, nil).ID
		stop := run(b, b.q)
		at := func(i int) time.Time { // of the end of an attempt
			return began.Add(time.Duration(i-1)*time.Minute + time.Duration(i*(i+1)/2)*time.Second)
		}
		b.sleep(at(2).Sub(began))
		want := func(i int) jobs.Failure {
			return jobs.Failure{Attempt: i, At: at(i), Took: time.Duration(i) * time.Second, Error: strings.Repeat("no ", i)}
		}
		e := b.job(id)
		require.Equal(b, []jobs.Failure{want(2), want(1)}, e.Failures)
		require.Zero(b, e.Started, "it waits for another attempt")
		b.sleep(time.Hour)
		e = b.job(id)
		require.Equal(b, jobs.Dead, e.State)
		require.Equal(b, []jobs.Failure{want(4), want(3), want(2)}, e.Failures)
		require.Equal(b, 4*time.Second, e.Took)
		require.Equal(b, at(4).Add(-4*time.Second), e.Started)
		require.NoError(b, stop())
	})
}
