package main

import (
	"context"
	"encoding/json"
	"io"
	"log"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// asynqJobs is github.com/hibiken/asynq.
type asynqJobs struct{ l *lab }

func (a *asynqJobs) process(ctx context.Context, s setting) (float64, error) {
	return a.l.process(ctx, a, s)
}

func (a *asynqJobs) work(ctx context.Context, rdb *redis.Client, s setting) (float64, error) {
	done := make(chan struct{})
	clock := &stopwatch{n: int64(s.n), done: func() { close(done) }}
	srv := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: s.concurrency, Logger: quiet{}})
	err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
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

func (a *asynqJobs) fill(ctx context.Context, rdb *redis.Client, n int) error {
	one, err := a.enqueuer(rdb)
	if err != nil {
		return err
	}
	_, err = calls(ctx, n, 16, one)
	return err
}

func (a *asynqJobs) enqueuer(rdb *redis.Client) (func(context.Context) error, error) {
	client := asynq.NewClientFromRedisClient(rdb)
	return func(ctx context.Context) error {
		body, err := json.Marshal(filler)
		if err != nil {
			return err
		}
		_, err = client.EnqueueContext(ctx, asynq.NewTask("bench", body))
		return err
	}, nil
}

func (a *asynqJobs) enqueue(ctx context.Context, n, callers int) (float64, error) {
	return a.l.enqueue(ctx, a, n, callers)
}

// quiet is an asynq.Logger.
type quiet struct{}

func (quiet) Debug(...any)      {}
func (quiet) Info(...any)       {}
func (quiet) Warn(...any)       {}
func (quiet) Error(args ...any) { log.New(io.Discard, "", 0).Print(args...) }
func (quiet) Fatal(args ...any) { log.Fatal(args...) }
