package redisjobs_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
)

// Redis is dead for four leases, in the soak for a minute. Nothing is restarted
// but Redis.
func TestRedisGoneForAMinute(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t)
	rdb := server.Client()
	opts := options()
	opts.Lease = 4 * time.Second
	q, err := counter(open(t, rdb), rdb, opts)
	require.NoError(t, err)
	var began atomic.Bool
	causes, running := make(chan error, 1), make(chan struct{})
	jobs.Handle(q, func(ctx context.Context, _ Blob) error {
		if !began.CompareAndSwap(false, true) {
			return nil // the second time
		}
		close(running)
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	})
	stop := start(t, q)
	_, err = q.Enqueue(t.Context(), Blob{}, nil)
	require.NoError(t, err)
	<-running

	server.Kill()
	killed := time.Now()
	require.ErrorIs(t, <-causes, jobs.ErrLeaseLost, "others may have its job soon")
	require.Less(t, time.Since(killed), opts.Lease)
	_, err = q.Enqueue(t.Context(), Count{N: 1}, nil)
	var network *net.OpError
	require.ErrorAs(t, err, &network)
	require.ErrorContains(t, err, "jobs: enqueue count: redisjobs: push")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = q.Stats(ctx)
	require.Error(t, err)
	<-time.After(time.Duration(testenv.Rounds(16, 60))*time.Second - time.Since(killed))
	server.Restart()

	back := time.Now()
	require.Eventually(t, func() bool { // a client goes on refusing for a second
		_, err = q.EnqueueMany(t.Context(), counts(100))
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	empty(t, q, time.Minute)
	t.Logf("everything done %s after Redis was back", time.Since(back).Round(time.Millisecond))
	require.NoError(t, stop())
	seen, _ := tally(t, rdb)
	require.Len(t, seen, 100)
	leftovers(t, rdb)
}

// A job that kills its process does so three times, and costs the others a lease
// each time.
func TestPoisonIsBuried(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t)
	rdb := server.Client()
	q, err := queue(rdb, options())
	require.NoError(t, err)
	_, err = q.EnqueueMany(t.Context(), append(counts(50), jobs.Item{Args: Poison{}}))
	require.NoError(t, err)
	victims := 0
	for dead := 0; dead == 0; {
		w := worker(t, "poisoned", server.Addr)
		over := make(chan error, 1)
		go func() { over <- w.Wait() }()
		for victim := false; !victim && dead == 0; {
			select {
			case <-over:
				victims++
				victim = true
			case <-time.After(20 * time.Millisecond):
				stats, err := q.Stats(t.Context())
				require.NoError(t, err)
				if dead = stats.Dead; stats.Ready+stats.Running+stats.Scheduled > 0 {
					dead = 0 // it goes on with the others
				}
			}
		}
		if dead > 0 {
			require.NoError(t, w.Process.Kill())
			<-over
		}
	}
	require.Equal(t, 3, victims)
	buried, err := q.List(t.Context(), jobs.Dead, 0, 10)
	require.NoError(t, err)
	require.Len(t, buried, 1, "nobody else's")
	require.Equal(t, "poison", buried[0].Info.Kind)
	require.Equal(t, 3, buried[0].Info.Crashes)
	require.Equal(t, "its worker died 3 times", buried[0].Info.LastError)
	seen, _ := tally(t, rdb)
	require.Len(t, seen, 50)
}

// A handler that ignores the end of its context holds up neither the end of its
// process nor anybody else, although only one job may run at a time.
func TestDeafHandlerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	rdb := testenv.RedisServer(t).Client()
	opts := options()
	opts.DrainTimeout, opts.Lease = -1, 5*time.Second
	var deafness atomic.Bool
	deaf, taken := make(chan struct{}), make(chan struct{})
	defer close(deaf)
	deafly := func(context.Context, Blob) error {
		if deafness.CompareAndSwap(false, true) {
			close(taken)
			<-deaf
		}
		return nil
	}
	q, err := queue(rdb, opts)
	require.NoError(t, err)
	jobs.Handle(q, deafly)
	require.NoError(t, q.SetLimit(t.Context(), jobs.Target{Queue: true}, jobs.Limit{Running: 1}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	_, err = q.Enqueue(t.Context(), Blob{}, nil)
	require.NoError(t, err)
	<-taken
	_, err = q.EnqueueMany(t.Context(), counts(20))
	require.NoError(t, err)

	began := time.Now()
	cancel()
	require.ErrorContains(t, <-ended, "1 handlers still run and 0 outcomes could not be stored; these jobs will run again")
	t.Logf("Run ended after %s", time.Since(began).Round(time.Millisecond))
	require.Less(t, time.Since(began), 10*time.Second)
	other, err := counter(open(t, rdb), rdb, opts)
	require.NoError(t, err)
	jobs.Handle(other, deafly)
	stop := start(t, other)
	empty(t, q, time.Minute)
	require.NoError(t, stop())
	seen, twice := tally(t, rdb)
	require.Len(t, seen, 20)
	require.Zero(t, twice)
	require.Zero(t, rdb.Exists(t.Context(), "jobs:{default}:run").Val(), "a slot is lost")
	leftovers(t, rdb)
}

// Workers of an older and a newer version share a queue during a deployment.
func TestUnknownKindFindsItsWorker(t *testing.T) {
	t.Parallel()
	rdb := testenv.RedisServer(t).Client()
	opts := options()
	opts.Lease = 15 * time.Second
	older, err := queue(rdb, opts)
	require.NoError(t, err)
	stopOlder := start(t, older)
	_, err = older.EnqueueMany(t.Context(), counts(20))
	require.NoError(t, err)
	require.Eventually(t, func() bool { // the older one has looked at them all
		stats, err := older.Stats(t.Context())
		return err == nil && stats.Scheduled == 20
	}, time.Minute, time.Millisecond)
	newer, err := counter(open(t, rdb), rdb, opts)
	require.NoError(t, err)
	stopNewer := start(t, newer)
	require.NoError(t, stopOlder())
	empty(t, newer, time.Minute)
	require.NoError(t, stopNewer())
	seen, twice := tally(t, rdb)
	require.Len(t, seen, 20)
	require.Zero(t, twice)
	leftovers(t, rdb)
}
