package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs"
)

// counter is a hook that counts commands.
type counter struct{ n atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

// benchLatency measures how soon a job starts.
func (l *lab) benchLatency(ctx context.Context, ours *ashlarJobs, river *riverJobs) error {
	quantile := func(q float64, waits func(context.Context) ([]time.Duration, error)) measure {
		return func(ctx context.Context) (float64, error) {
			list, err := waits(ctx)
			if err != nil {
				return 0, err
			}
			slices.Sort(list)
			return float64(list[int(q*float64(len(list)-1))]) / float64(time.Millisecond), nil
		}
	}
	mine := func(ctx context.Context) ([]time.Duration, error) { return ours.pickup(ctx, 500, asleep) }
	// River looks for jobs once in 100 ms at most; it gets the time for that.
	const rested = 150 * time.Millisecond
	restedMine := func(ctx context.Context) ([]time.Duration, error) { return ours.pickup(ctx, 15, rested) }
	theirs := func(ctx context.Context) ([]time.Duration, error) { return river.pickup(ctx, 15, rested) }
	return errors.Join(
		l.reading(ctx, "jobs.pickup_p50_ms", "ms", quantile(0.5, mine)),
		l.reading(ctx, "jobs.pickup_p99_ms", "ms", quantile(0.99, mine)),
		l.ratio(ctx, "jobs.pickup_p50_vs_river", quantile(0.5, restedMine), quantile(0.5, theirs)),
		l.reading(ctx, "jobs.delayed_lateness_p50_ms", "ms", quantile(0.5, ours.lateness)),
	)
}

// asleep is how long a worker of ours takes to find nothing more to do.
const asleep = 3 * time.Millisecond

// pickups enqueues n times into a queue that is idle for a while each time and returns how long it takes
// from the call of enqueue to the start of the handler.
func pickups(ctx context.Context, n int, idle time.Duration, started <-chan time.Time, enqueue func() error) ([]time.Duration, error) {
	var waits []time.Duration
	for range n {
		<-time.After(idle)
		begin := time.Now()
		if err := enqueue(); err != nil {
			return nil, err
		}
		select {
		case at := <-started:
			waits = append(waits, at.Sub(begin))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return waits, nil
}

func (a *ashlarJobs) pickup(ctx context.Context, n int, idle time.Duration) ([]time.Duration, error) {
	rdb, err := a.l.flushed(ctx)
	if err != nil {
		return nil, err
	}
	defer rdb.Close()
	q, err := a.queue(rdb, &jobs.Options{Concurrency: 16})
	if err != nil {
		return nil, err
	}
	started := make(chan time.Time, 1)
	jobs.Handle(q, func(context.Context, payload) error {
		started <- time.Now()
		return nil
	})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	waits, err := pickups(ctx, n, idle, started, func() error {
		_, err := q.Enqueue(ctx, filler, nil)
		return err
	})
	cancel()
	return waits, errors.Join(err, <-ended)
}

// lateness enqueues jobs that are due at random instants and returns how much
// later they start; one that is early is an error.
func (a *ashlarJobs) lateness(ctx context.Context) ([]time.Duration, error) {
	rdb, err := a.l.flushed(ctx)
	if err != nil {
		return nil, err
	}
	defer rdb.Close()
	q, err := a.queue(rdb, &jobs.Options{Concurrency: 16})
	if err != nil {
		return nil, err
	}
	const n = 200
	var mu sync.Mutex
	var late []time.Duration
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jobs.Handle(q, func(_ context.Context, a delayedJob) error {
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		if late = append(late, now.Sub(a.Due)); len(late) == n {
			cancel()
		}
		return nil
	})
	list := make([]jobs.Item, n)
	for i := range list {
		due := time.Now().Add(100*time.Millisecond + rand.N(2*time.Second)).Truncate(time.Millisecond)
		list[i] = jobs.Item{Args: delayedJob{due}, Options: &jobs.EnqueueOptions{At: due}}
	}
	if _, err := q.EnqueueMany(ctx, list); err != nil {
		return nil, err
	}
	if err := q.Run(ctx); err != nil {
		return nil, err
	}
	if early := slices.Min(late); early < 0 {
		return nil, errors.New("a job started " + (-early).String() + " early")
	}
	return late, nil
}

type delayedJob struct{ Due time.Time }

func (delayedJob) Kind() string { return "delayed" }

type sleeper struct {
	N   int
	For time.Duration
}

func (sleeper) Kind() string { return "sleeper" }

// skewed runs jobs of very unequal length on two queues' workers and returns
// how long that takes, as a multiple of what it would take if each slot got
// the next job, in the same order, the moment that it is free.
func (l *lab) skewed(ctx context.Context) (float64, error) {
	rdb, err := l.flushed(ctx)
	if err != nil {
		return 0, err
	}
	defer rdb.Close()
	const n, workers, concurrency = 3000, 2, 8
	list := make([]jobs.Item, n)
	for i := range list {
		length := rand.N(200 * time.Microsecond)
		if rand.N(50) == 0 {
			length = 20*time.Millisecond + rand.N(200*time.Millisecond)
		}
		list[i] = jobs.Item{Args: sleeper{i, length}}
	}
	lengths := make([]time.Duration, n) // as they were: the machine's timers are coarse
	ours := &ashlarJobs{l: l}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var left atomic.Int64
	left.Store(n)
	var took atomic.Int64
	start := time.Now()
	ended := make(chan error, workers)
	for i := range workers {
		q, err := ours.queue(rdb, &jobs.Options{Concurrency: concurrency})
		if err != nil {
			return 0, err
		}
		jobs.Handle(q, func(_ context.Context, a sleeper) error {
			begin := time.Now()
			<-time.After(a.For)
			lengths[a.N] = time.Since(begin)
			if left.Add(-1) == 0 {
				took.Store(int64(time.Since(start)))
				cancel()
			}
			return nil
		})
		if i == 0 {
			if _, err := q.EnqueueMany(ctx, list); err != nil {
				return 0, err
			}
			start = time.Now()
		}
		go func() { ended <- q.Run(ctx) }()
	}
	for range workers {
		err = errors.Join(err, <-ended)
	}
	var free [workers * concurrency]time.Duration
	for _, length := range lengths {
		slices.Sort(free[:])
		free[0] += length
	}
	return float64(took.Load()) / float64(slices.Max(free[:])), err
}
