package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// payload has 200 bytes, as in most published comparisons.
type payload struct {
	Text string `json:"text"`
}

func (payload) Kind() string { return "bench" }

var filler = payload{Text: strings.Repeat("x", 187)}

// benchJobs compares the queue with asynq at its defaults, both with a handler
// that does nothing.
func benchJobs(ctx context.Context, l *lab) error {
	const n = 20_000
	for _, c := range []struct {
		bench       string
		concurrency int
	}{
		{"jobs.process_c16_rate_vs_asynq", 16},
		{"jobs.process_c64_rate_vs_asynq", 64},
	} {
		err := l.ratio(ctx, c.bench,
			func(ctx context.Context) (float64, error) { return l.processOurs(ctx, n, c.concurrency) },
			func(ctx context.Context) (float64, error) { return l.processAsynq(ctx, n, c.concurrency) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) flushed(ctx context.Context) (*redis.Client, error) {
	c := redis.NewClient(&redis.Options{Addr: l.redis.Addr, PoolSize: 100})
	return c, c.FlushAll(ctx).Err()
}

// processOurs returns jobs per second, from the first to the last handler.
func (l *lab) processOurs(ctx context.Context, n, concurrency int) (float64, error) {
	rdb, err := l.flushed(ctx)
	if err != nil {
		return 0, err
	}
	defer rdb.Close()
	driver, err := redisjobs.New(rdb, nil)
	if err != nil {
		return 0, err
	}
	q, err := jobs.New(driver, &jobs.Options{Concurrency: concurrency})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	clock := &stopwatch{n: int64(n), done: cancel}
	jobs.Handle(q, func(context.Context, payload) error {
		clock.tick()
		return nil
	})
	items := make([]jobs.Item, n)
	for i := range items {
		items[i] = jobs.Item{Args: filler}
	}
	if _, err := q.EnqueueMany(ctx, items); err != nil {
		return 0, err
	}
	if err := q.Run(ctx); err != nil {
		return 0, err
	}
	return clock.rate()
}

func (l *lab) processAsynq(ctx context.Context, n, concurrency int) (float64, error) {
	rdb, err := l.flushed(ctx)
	if err != nil {
		return 0, err
	}
	defer rdb.Close()
	body, err := json.Marshal(filler)
	if err != nil {
		return 0, err
	}
	client := asynq.NewClientFromRedisClient(rdb)
	for range n {
		if _, err := client.EnqueueContext(ctx, asynq.NewTask("bench", body)); err != nil {
			return 0, err
		}
	}
	done := make(chan struct{})
	clock := &stopwatch{n: int64(n), done: func() { close(done) }}
	srv := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: concurrency, Logger: quiet{}})
	err = srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		clock.tick()
		return nil
	}))
	if err != nil {
		return 0, err
	}
	defer srv.Shutdown()
	select {
	case <-done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return clock.rate()
}

// stopwatch measures from the first tick to the n-th.
type stopwatch struct {
	n           int64
	done        func()
	seen        atomic.Int64
	first, last atomic.Int64
}

func (s *stopwatch) tick() {
	switch s.seen.Add(1) {
	case 1:
		s.first.Store(time.Now().UnixNano())
	case s.n:
		s.last.Store(time.Now().UnixNano())
		s.done()
	}
}

func (s *stopwatch) rate() (float64, error) {
	if s.last.Load() == 0 {
		return 0, errors.New("not all jobs ran")
	}
	return float64(s.n-1) / time.Duration(s.last.Load()-s.first.Load()).Seconds(), nil
}

// quiet is an asynq.Logger.
type quiet struct{}

func (quiet) Debug(...any)      {}
func (quiet) Info(...any)       {}
func (quiet) Warn(...any)       {}
func (quiet) Error(args ...any) { log.New(io.Discard, "", 0).Print(args...) }
func (quiet) Fatal(args ...any) { log.Fatal(args...) }
