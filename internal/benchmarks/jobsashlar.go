package main

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// ashlarJobs is ours.
type ashlarJobs struct {
	l       *lab
	tenants int // whose turns the jobs take; zero: they belong to none
}

type tenantKey struct{}

func tenantOf(ctx context.Context) (string, bool) {
	id, ok := ctx.Value(tenantKey{}).(string)
	return id, ok
}

func withTenant(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, tenantKey{}, id)
}

// client returns one whose round trips take longer by delay.
func (l *lab) client(delay time.Duration) *redis.Client {
	opts := &redis.Options{Addr: l.redis.Addr, PoolSize: 100}
	if delay > 0 {
		opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return delayed(c, delay), nil
		}
	}
	return redis.NewClient(opts)
}

// flushed is client of an emptied server.
func (l *lab) flushed(ctx context.Context) (*redis.Client, error) {
	c := l.client(0)
	return c, c.FlushAll(ctx).Err()
}

func (a *ashlarJobs) queue(rdb *redis.Client, opts *jobs.Options) (*jobs.Queue, error) {
	driver, err := redisjobs.New(rdb, nil)
	if err != nil {
		return nil, err
	}
	if a.tenants > 0 {
		if opts == nil {
			opts = &jobs.Options{}
		}
		opts.Tenant, opts.WithTenant = tenantOf, withTenant
	}
	return jobs.New(driver, opts)
}

func (a *ashlarJobs) process(ctx context.Context, s setting) (float64, error) {
	return a.l.process(ctx, a, s)
}

func (a *ashlarJobs) work(ctx context.Context, rdb *redis.Client, s setting) (float64, error) {
	q, err := a.queue(rdb, &jobs.Options{Concurrency: s.concurrency})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	clock := &stopwatch{n: int64(s.n), done: cancel}
	jobs.Handle(q, func(context.Context, payload) error {
		clock.tick()
		return nil
	})
	if err := q.Run(ctx); err != nil {
		return 0, err
	}
	return clock.rate()
}

func (a *ashlarJobs) fill(ctx context.Context, rdb *redis.Client, n int) error {
	q, err := a.queue(rdb, nil)
	if err != nil {
		return err
	}
	for i := range max(a.tenants, 1) {
		if _, err := q.EnqueueMany(withTenant(ctx, strconv.Itoa(i)), items(n/max(a.tenants, 1))); err != nil {
			return err
		}
	}
	return nil
}

func items(n int) []jobs.Item {
	list := make([]jobs.Item, n)
	for i := range list {
		list[i] = jobs.Item{Args: filler}
	}
	return list
}

func (a *ashlarJobs) enqueuer(rdb *redis.Client) (func(context.Context) error, error) {
	q, err := a.queue(rdb, nil)
	return func(ctx context.Context) error {
		_, err := q.Enqueue(ctx, filler, nil)
		return err
	}, err
}

func (a *ashlarJobs) enqueue(ctx context.Context, n, callers int) (float64, error) {
	return a.l.enqueue(ctx, a, n, callers)
}

func (a *ashlarJobs) enqueueMany(ctx context.Context, n int) (float64, error) {
	rdb, err := a.l.flushed(ctx)
	if err != nil {
		return 0, err
	}
	defer rdb.Close()
	start := time.Now()
	err = a.fill(ctx, rdb, n)
	return float64(n) / time.Since(start).Seconds(), err
}
