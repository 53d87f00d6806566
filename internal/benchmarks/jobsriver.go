package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverJobs is github.com/riverqueue/river.
type riverJobs struct{ l *lab }

// riverWorker runs what a handler of the others does.
type riverWorker struct {
	river.WorkerDefaults[payload]
	work func()
}

func (w *riverWorker) Work(context.Context, *river.Job[payload]) error {
	w.work()
	return nil
}

// client returns a client over an empty table; concurrency 0 cannot work.
func (r *riverJobs) client(ctx context.Context, concurrency int, work func()) (*river.Client[pgx.Tx], func(), error) {
	pool, err := pgxpool.New(ctx, r.l.pg.OwnerURL)
	if err != nil {
		return nil, nil, err
	}
	driver := riverpgxv5.New(pool)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet})
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err == nil {
		_, err = pool.Exec(ctx, "TRUNCATE river_job")
	}
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	config := &river.Config{Logger: quiet}
	if concurrency > 0 {
		config.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: concurrency}}
		config.Workers = river.NewWorkers()
		river.AddWorker(config.Workers, &riverWorker{work: work})
	}
	client, err := river.NewClient(driver, config)
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return client, pool.Close, nil
}

func (r *riverJobs) process(ctx context.Context, s setting) (float64, error) {
	done := make(chan struct{})
	clock := &stopwatch{n: int64(s.n), done: func() { close(done) }}
	client, stop, err := r.client(ctx, s.concurrency, clock.tick)
	if err != nil {
		return 0, err
	}
	defer stop()
	batch := make([]river.InsertManyParams, s.n)
	for i := range batch {
		batch[i].Args = filler
	}
	if _, err := client.InsertManyFast(ctx, batch); err != nil {
		return 0, err
	}
	if err := client.Start(ctx); err != nil {
		return 0, err
	}
	select {
	case <-done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if err := client.Stop(ctx); err != nil {
		return 0, err
	}
	return clock.rate()
}

func (r *riverJobs) enqueue(ctx context.Context, n, callers int) (float64, error) {
	client, stop, err := r.client(ctx, 0, nil)
	if err != nil {
		return 0, err
	}
	defer stop()
	return calls(ctx, n, callers, func(ctx context.Context) error {
		_, err := client.Insert(ctx, filler, nil)
		return err
	})
}

func (r *riverJobs) pickup(ctx context.Context, n int, idle time.Duration) ([]time.Duration, error) {
	started := make(chan time.Time, 1)
	client, stop, err := r.client(ctx, 16, func() { started <- time.Now() })
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := client.Start(ctx); err != nil {
		return nil, err
	}
	waits, err := pickups(ctx, n, idle, started, func() error {
		_, err := client.Insert(ctx, filler, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	return waits, client.Stop(ctx)
}
