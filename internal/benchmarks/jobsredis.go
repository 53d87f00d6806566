package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs"
)

// redisContender is a contender whose phases can be measured apart.
type redisContender interface {
	fill(ctx context.Context, rdb *redis.Client, n int) error
	work(ctx context.Context, rdb *redis.Client, s setting) (float64, error)

	// enqueuer returns what stores one job.
	enqueuer(rdb *redis.Client) (func(context.Context) error, error)
}

// process fills the queue at full speed and works at the setting's.
func (l *lab) process(ctx context.Context, c redisContender, s setting) (float64, error) {
	rdb, err := l.flushed(ctx)
	if err != nil {
		return 0, err
	}
	defer rdb.Close()
	if err := c.fill(ctx, rdb, s.n); err != nil {
		return 0, err
	}
	late := l.client(s.delay)
	defer late.Close()
	return c.work(ctx, late, s)
}

func (l *lab) enqueue(ctx context.Context, c redisContender, n, callers int) (float64, error) {
	rdb, err := l.flushed(ctx)
	if err != nil {
		return 0, err
	}
	defer rdb.Close()
	one, err := c.enqueuer(rdb)
	if err != nil {
		return 0, err
	}
	return calls(ctx, n, callers, one)
}

// enqueueAlone compares single callers, call by call: the rate of one is the
// inverse of what its calls take.
func (l *lab) enqueueAlone(ctx context.Context, bench string, ours, theirs redisContender) error {
	if !l.wanted(bench) {
		return nil
	}
	rdb, err := l.flushed(ctx)
	if err != nil {
		return err
	}
	defer rdb.Close()
	mine, err1 := ours.enqueuer(rdb)
	other, err2 := theirs.enqueuer(rdb)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return l.pairs(ctx, bench, "x", 4000,
		func(ctx context.Context, _ int) error { return mine(ctx) },
		func(ctx context.Context, _ int) error { return other(ctx) },
		func(ours, theirs float64) float64 { return theirs / ours })
}

// info reads a figure of the server.
func info(ctx context.Context, rdb *redis.Client, section, field string) (float64, error) {
	text, err := rdb.Info(ctx, section).Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
	}
	return 0, fmt.Errorf("INFO %s has no %s", section, field)
}

// cpuPerJob returns the seconds that the server's main thread works for each
// job from ready to finished.
func (l *lab) cpuPerJob(ctx context.Context, c redisContender, s setting) (float64, error) {
	rdb, err := l.flushed(ctx)
	if err != nil {
		return 0, err
	}
	defer rdb.Close()
	if err := c.fill(ctx, rdb, s.n); err != nil {
		return 0, err
	}
	before, err := mainThread(ctx, rdb)
	if err != nil {
		return 0, err
	}
	if _, err := c.work(ctx, rdb, s); err != nil {
		return 0, err
	}
	after, err := mainThread(ctx, rdb)
	return (after - before) / float64(s.n), err
}

func mainThread(ctx context.Context, rdb *redis.Client) (float64, error) {
	user, err := info(ctx, rdb, "cpu", "used_cpu_user_main_thread")
	if err != nil {
		return 0, err
	}
	sys, err := info(ctx, rdb, "cpu", "used_cpu_sys_main_thread")
	return user + sys, err
}

// bytesPerJob returns what each of n jobs that wait takes of the server's
// memory.
func (l *lab) bytesPerJob(ctx context.Context, c redisContender, n int) (float64, error) {
	rdb, err := l.flushed(ctx)
	if err != nil {
		return 0, err
	}
	defer rdb.Close()
	if err := c.fill(ctx, rdb, 1); err != nil { // scripts, connections
		return 0, err
	}
	before, err := info(ctx, rdb, "memory", "used_memory")
	if err != nil {
		return 0, err
	}
	if err := c.fill(ctx, rdb, n); err != nil {
		return 0, err
	}
	after, err := info(ctx, rdb, "memory", "used_memory")
	return (after - before) / float64(n), err
}

// idleCommands returns how many commands a second a worker with nothing to do
// sends. Those that scripts call inside the server are not sent.
func (a *ashlarJobs) idleCommands(ctx context.Context) (float64, error) {
	rdb, err := a.l.flushed(ctx)
	if err != nil {
		return 0, err
	}
	defer rdb.Close()
	sent := &counter{}
	rdb.AddHook(sent)
	q, err := a.queue(rdb, nil)
	if err != nil {
		return 0, err
	}
	jobs.Handle(q, func(context.Context, payload) error { return nil })
	const settle, watch = time.Second, 10 * time.Second // two beats of the default lease
	ctx, cancel := context.WithTimeout(ctx, settle+watch)
	defer cancel()
	var before atomic.Int64
	time.AfterFunc(settle, func() { before.Store(sent.n.Load()) })
	if err := q.Run(ctx); err != nil {
		return 0, err
	}
	return float64(sent.n.Load()-before.Load()) / watch.Seconds(), nil
}
