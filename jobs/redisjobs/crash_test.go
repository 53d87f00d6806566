package redisjobs_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// TestMain makes the test binary a worker process too: with "-- worker <addr>"
// it works on the queue there until it is killed, with "-- careless <addr>" it
// does so with a driver that has a planted fault, with "-- poisoned <addr>" it
// gives up on jobs that kill it. "-- chaos <mode> <addr> <journal> <drift>" is
// one of the chaos tests, "-- flows <mode> <addr> <journal>" one of the sieges
// of flows.
func TestMain(m *testing.M) {
	flag.Parse()
	redis.SetLogger(silent{}) // servers die here on purpose
	var err error
	switch {
	case flag.NArg() == 2:
		err = work(flag.Arg(0), redis.NewClient(&redis.Options{Addr: flag.Arg(1)}))
	case flag.NArg() == 4 && flag.Arg(0) == "flows":
		err = flowWorker(flag.Arg(1), flag.Arg(2), flag.Arg(3))
	case flag.NArg() == 5 && flag.Arg(0) == "chaos":
		drift, _ := strconv.Atoi(flag.Arg(4))
		err = chaosWorker(flag.Arg(1), flag.Arg(2), flag.Arg(3), drift)
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func work(mode string, rdb *redis.Client) error {
	switch mode {
	case "ticks":
		return tickWorker(rdb)
	case "fires", "mired":
		return fireWorker(rdb, mode == "mired")
	}
	var d driver.Driver
	d, err := redisjobs.New(rdb, nil)
	if err != nil {
		return err
	}
	if mode == "careless" {
		d = careless{d}
	}
	opts := options()
	opts.Lease = 3 * time.Second // what runs twice is counted, so none that lives may be taken for dead
	if mode == "poisoned" {
		opts.MaxCrashes = 0 // three
	}
	q, err := counter(d, rdb, opts)
	if err != nil {
		return err
	}
	jobs.Handle(q, func(context.Context, Poison) error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	return q.Run(context.Background())
}

// Poison is a job that kills the process that runs it.
type Poison struct{}

func (Poison) Kind() string { return "poison" }

// careless acknowledges jobs when it takes them, as simple queues do.
type careless struct{ driver.Driver }

func (c careless) Exchange(ctx context.Context, x driver.Exchange) (driver.Batch, error) {
	x.Seq *= 2
	batch, err := c.Driver.Exchange(ctx, x)
	if err != nil || len(batch.Jobs) == 0 {
		return batch, err
	}
	ack := driver.Exchange{Worker: x.Worker, Seq: x.Seq + 1}
	for _, j := range batch.Jobs {
		ack.Done = append(ack.Done, driver.Outcome{ID: j.ID, Action: driver.Finish})
	}
	_, err = c.Driver.Exchange(ctx, ack)
	return batch, err
}

func worker(t testing.TB, mode, addr string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, "--", mode, addr)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	return cmd
}

func kill(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait(), "a killed process has no clean exit")
}

// killWorkers kills worker processes in the middle of their work and answers
// how many jobs were accepted, how many ran, how many of them twice, and how
// many were held when a worker was killed.
func killWorkers(t *testing.T, mode string, rounds int) (accepted, ran, twice, held int) {
	server := testenv.RedisServer(t)
	rdb := server.Client()
	q, err := queue(rdb, options())
	require.NoError(t, err)
	workers := []*exec.Cmd{worker(t, mode, server.Addr), worker(t, mode, server.Addr)}

	const batch = 400
	for round := range rounds {
		items := make([]jobs.Item, batch)
		for i := range items {
			items[i] = jobs.Item{Args: Count{N: accepted + i}}
		}
		_, err := q.EnqueueMany(t.Context(), items)
		require.NoError(t, err)
		accepted += batch
		require.Eventually(t, func() bool {
			stats, err := q.Stats(t.Context())
			return err == nil && stats.Ready < batch/2
		}, time.Minute, time.Millisecond)
		victim := round % len(workers)
		kill(t, workers[victim])
		stats, err := q.Stats(t.Context())
		require.NoError(t, err)
		held += stats.Running
		workers[victim] = worker(t, mode, server.Addr)
	}
	empty(t, q, time.Minute)
	for _, w := range workers {
		kill(t, w)
	}
	seen, twice := tally(t, rdb)
	return accepted, len(seen), twice, held
}

func TestKilledWorkersLoseNothing(t *testing.T) {
	t.Parallel()
	rounds := testenv.Rounds(6, 60)
	accepted, ran, twice, held := killWorkers(t, "worker", rounds)
	require.Equal(t, accepted, ran)
	t.Logf("%d jobs, %d kills, %d jobs held then, %d of them ran twice", accepted, rounds, held, twice)
	require.LessOrEqual(t, twice, held, "at most what a worker held when it was killed")
}

// The same attack finds the fault that leases are there to avoid.
func TestAttackFindsEarlyAcknowledgement(t *testing.T) {
	t.Parallel()
	for range 5 { // on a busy machine all may be done when the kill comes
		if accepted, ran, _, _ := killWorkers(t, "careless", 6); ran < accepted {
			return
		}
	}
	t.Error("five attacks do not find it")
}

func TestDeadWorkersJobsComeBackWithinTheLease(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t)
	rdb := server.Client()
	opts := options()
	started := make(chan time.Time, 1)
	q, err := queue(rdb, opts)
	require.NoError(t, err)
	jobs.Handle(q, func(context.Context, Count) error {
		started <- time.Now()
		return nil
	})
	// A worker that takes the job and is never heard of again.
	d := open(t, rdb)
	began := time.Now()
	_, err = d.Beat(t.Context(), driver.Beat{Worker: "gone", Lease: opts.Lease, Join: true})
	require.NoError(t, err)
	_, err = q.Enqueue(t.Context(), Count{}, nil)
	require.NoError(t, err)
	batch, err := d.Exchange(t.Context(), driver.Exchange{Worker: "gone", Seq: 1, Want: 1})
	require.NoError(t, err)
	require.Len(t, batch.Jobs, 1)
	stop := start(t, q)
	after := (<-started).Sub(began)
	t.Logf("lease %s, run again after %s", opts.Lease, after)
	require.GreaterOrEqual(t, after, opts.Lease, "not before the lease ended")
	require.Less(t, after, 5*opts.Lease, "a third of a lease later, on a quiet machine")
	require.NoError(t, stop())
	leftovers(t, rdb)
}

func TestKilledRedisLosesNothing(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t)
	rdb := server.Client()
	worker, err := counter(open(t, rdb), rdb, options())
	require.NoError(t, err)
	stop := start(t, worker)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	accepted := map[int]bool{}
	var producers sync.WaitGroup
	for p := range 4 {
		producers.Go(func() {
			for n := p; ctx.Err() == nil; n += 4 {
				if _, err := worker.Enqueue(ctx, Count{N: n}, nil); err == nil {
					mu.Lock()
					accepted[n] = true
					mu.Unlock()
				}
			}
		})
	}
	for round := range testenv.Rounds(3, 12) {
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(accepted) > (round+1)*100
		}, time.Minute, time.Millisecond)
		server.Kill()
		server.Restart()
	}
	cancel()
	producers.Wait()
	empty(t, worker, time.Minute)
	require.NoError(t, stop())
	seen, twice := tally(t, rdb)
	for n := range accepted {
		require.Positive(t, seen[n], "job %d was accepted and did not run", n)
	}
	t.Logf("%d jobs accepted, %d ran, %d of them twice", len(accepted), len(seen), twice)
	leftovers(t, rdb)
}

func TestFrozenRedis(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, ReadTimeout: time.Second, MaxRetries: -1})
	defer rdb.Close()
	opts := options()
	opts.Lease = 3 * time.Second
	q, err := queue(rdb, opts)
	require.NoError(t, err)
	var first sync.Once
	running, ended := make(chan struct{}), make(chan error, 1)
	jobs.Handle(q, func(ctx context.Context, c Count) error {
		err := error(nil)
		first.Do(func() {
			close(running)
			<-ctx.Done()
			err = context.Cause(ctx)
			ended <- err
		})
		return err
	})
	stop := start(t, q)
	_, err = q.Enqueue(t.Context(), Count{}, nil)
	require.NoError(t, err)
	<-running
	server.Pause()
	require.ErrorIs(t, <-ended, driver.ErrLeaseLost)
	server.Resume()
	empty(t, q, time.Minute)
	require.NoError(t, stop())
}

func TestNetworkCuts(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t)
	proxy := testenv.Proxy(t, server.Addr)
	direct := server.Client()
	// No retries by the client: each cut reaches the worker.
	rdb := redis.NewClient(&redis.Options{Addr: proxy.Addr, DialTimeout: time.Second, DialerRetries: 1, MaxRetries: -1})
	defer rdb.Close()
	failures := &warnings{Handler: quiet.Handler()}
	opts := options()
	opts.Logger = slog.New(failures)
	q, err := counter(open(t, rdb), rdb, opts)
	require.NoError(t, err)
	producer, err := queue(direct, options())
	require.NoError(t, err)
	stop := start(t, q)
	const total = 1500
	enqueued := make(chan error, 1)
	go func() {
		_, err := producer.EnqueueMany(t.Context(), counts(total))
		enqueued <- err
	}()
	for round := range testenv.Rounds(4, 30) {
		require.Eventually(t, func() bool {
			n, err := direct.HLen(t.Context(), ran).Result()
			return err == nil && int(n) >= min(total, (round+1)*100)
		}, time.Minute, time.Millisecond)
		proxy.Reset()
		proxy.Cut()
		<-time.After(50 * time.Millisecond) // the length of the outage
		proxy.Restore()
	}
	require.NoError(t, <-enqueued)
	empty(t, producer, time.Minute)
	require.NoError(t, stop())
	seen, twice := tally(t, direct)
	require.Len(t, seen, total)
	t.Logf("%d jobs, %d ran twice, the worker logged %d failures", total, twice, failures.n.Load())
	require.Positive(t, failures.n.Load(), "no cut reached the worker: the test showed nothing")
	leftovers(t, direct)
}
