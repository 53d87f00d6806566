package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs"
)

// check is the job of a monitor's schedule.
type check struct {
	ID int `json:"id"`
}

func (check) Kind() string { return "monitor.check" }

// benchSchedules measures what a hundred thousand hourly schedules cost. Most figures come from a tenth of them that
// fire ten times as often, so that a run takes seconds: 28 ticks a second. The peers keep schedules in the process.
func (l *lab) benchSchedules(ctx context.Context, ours *ashlarJobs) error {
	return errors.Join(
		l.reading(ctx, "jobs.schedule_bytes", "B", func(ctx context.Context) (float64, error) {
			return ours.scheduleBytes(ctx, 20_000)
		}),
		l.reading(ctx, "jobs.schedules_100k_redis_cpu_percent", "%", func(ctx context.Context) (float64, error) {
			busy, _, err := ours.watchSchedules(ctx)
			return 100 * busy, err
		}),
		l.reading(ctx, "jobs.schedules_100k_lateness_p99_ms", "ms", func(ctx context.Context) (float64, error) {
			_, late, err := ours.watchSchedules(ctx)
			if err != nil {
				return 0, err
			}
			return float64(late[(len(late)-1)*99/100]) / float64(time.Millisecond), nil
		}),
	)
}

// crowd is very many schedules on an emptied server.
type crowd struct {
	rdb   *redis.Client
	empty float64 // bytes in use without them
}

// scheduleBytes is what each of n schedules takes that has fired, when its job is gone.
func (a *ashlarJobs) scheduleBytes(ctx context.Context, n int) (float64, error) {
	c, err := a.schedules(ctx, n, "@every 10s")
	if err != nil {
		return 0, err
	}
	defer c.rdb.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	q, err := a.queue(c.rdb, nil)
	if err != nil {
		return 0, err
	}
	var mu sync.Mutex
	ran, all := map[int]bool{}, make(chan struct{})
	jobs.Handle(q, func(_ context.Context, c check) error {
		mu.Lock()
		defer mu.Unlock()
		if !ran[c.ID] && len(ran) == n { // of n+1
			close(all)
		}
		ran[c.ID] = true
		return nil
	})
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- q.Run(run) }()
	select {
	case <-all:
	case <-ctx.Done():
	}
	stop()
	if err := errors.Join(<-ended, ctx.Err()); err != nil {
		return 0, err
	}
	after, err := info(ctx, c.rdb, "memory", "used_memory_dataset")
	return (after - c.empty) / float64(n), err
}

func (a *ashlarJobs) schedules(ctx context.Context, n int, spec string) (crowd, error) {
	rdb, err := a.l.flushed(ctx)
	if err != nil {
		return crowd{}, err
	}
	q, err := a.queue(rdb, nil)
	if err != nil {
		return crowd{}, err
	}
	add := func(ctx context.Context, i int) error {
		return q.Schedule(ctx, fmt.Sprintf("check-%d", i), spec, check{ID: i}, nil)
	}
	if err := add(ctx, 0); err != nil { // scripts, connections
		return crowd{}, err
	}
	before, err := info(ctx, rdb, "memory", "used_memory_dataset")
	if err != nil {
		return crowd{}, err
	}
	var mu sync.Mutex
	next := 0
	_, err = calls(ctx, n, 16, func(ctx context.Context) error {
		mu.Lock()
		next++
		i := next
		mu.Unlock()
		return add(ctx, i)
	})
	return crowd{rdb, before}, err
}

// watchSchedules runs four workers and answers the part of a core that the server is busy, and how late ticks ran, the
// earliest first.
func (a *ashlarJobs) watchSchedules(ctx context.Context) (busy float64, late []time.Duration, err error) {
	c, err := a.schedules(ctx, 10_000, "H H/6 * * * *")
	if err != nil {
		return 0, nil, err
	}
	defer c.rdb.Close()
	const settle, watch = 5 * time.Second, 10 * time.Second // a queue without schedules looks for some every five seconds
	ctx, cancel := context.WithTimeout(ctx, settle+watch)
	defer cancel()
	var mu sync.Mutex
	begin := time.Now().Add(settle)
	var workers sync.WaitGroup
	failed := make(chan error, 4)
	for range cap(failed) {
		rdb := a.l.client(0)
		defer rdb.Close()
		q, err := a.queue(rdb, nil)
		if err != nil {
			return 0, nil, err
		}
		jobs.Handle(q, func(ctx context.Context, _ check) error {
			info, _ := jobs.InfoFrom(ctx)
			_, text, _ := strings.Cut(info.ID, "@")
			tick, err := strconv.ParseInt(text, 10, 64)
			if at := time.Unix(tick, 0); at.After(begin) {
				mu.Lock()
				defer mu.Unlock()
				late = append(late, time.Since(at))
			}
			return err
		})
		workers.Go(func() { failed <- q.Run(ctx) })
	}
	<-time.After(time.Until(begin))
	before, err := mainThread(context.WithoutCancel(ctx), c.rdb)
	if err != nil {
		return 0, nil, err
	}
	workers.Wait()
	after, err := mainThread(context.WithoutCancel(ctx), c.rdb)
	for range cap(failed) {
		err = errors.Join(err, <-failed)
	}
	if err == nil && len(late) < 100 {
		err = fmt.Errorf("%d ticks ran, want about 280", len(late))
	}
	slices.Sort(late)
	return (after - before) / watch.Seconds(), late, err
}
