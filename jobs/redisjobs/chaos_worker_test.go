package redisjobs_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// Errand is a job of the chaos tests.
type Errand struct {
	N     int
	Takes int  // milliseconds
	Fails int  // so many attempts
	Sends bool // enqueues Errand{-N} when it is done
}

func (Errand) Kind() string { return "errand" }

const chaosLease = 2 * time.Second

type tenantKey struct{}

func withTenant(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, tenantKey{}, id)
}

func tenantOf(ctx context.Context) (string, bool) {
	id, ok := ctx.Value(tenantKey{}).(string)
	return id, ok
}

func chaosOptions() *jobs.Options {
	o := options()
	o.Concurrency, o.Lease = 6, chaosLease
	o.Tenant, o.WithTenant = tenantOf, withTenant
	return o
}

// journal is what a worker process did, line by line: what it has written
// survives its kill -9.
type journal struct{ file *os.File }

func (j journal) note(format string, args ...any) {
	// One write a line, so that no line is torn in two by another's.
	if _, err := fmt.Fprintf(j.file, format+"\n", args...); err != nil {
		panic(err)
	}
}

func now() int64 { return time.Now().UnixNano() }

// chaosWorker works until it is told to end. Drift is how much faster its clock
// goes than the store's, in per cent, and how far ahead it is, in per cent of a
// lease.
func chaosWorker(mode, addr, path string, drift int) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	j := journal{file}
	rdb := redis.NewClient(&redis.Options{Addr: addr, DialTimeout: time.Second, DialerRetries: 1})
	real, err := redisjobs.New(rdb, nil)
	if err != nil {
		return err
	}
	var d driver.Driver = &skewed{Driver: real, journal: j, drift: time.Duration(drift)}
	if plant := plants[mode]; plant != nil {
		d = plant(d, rdb)
	}
	opts := chaosOptions()
	opts.Observer = &jobs.Observer{LeaseLost: func(context.Context, int) { j.note("lost %d", now()) }}
	q, err := jobs.New(d, opts)
	if err != nil {
		return err
	}
	skew := chaosLease * time.Duration(drift) / 100
	jobs.Handle(q, func(ctx context.Context, e Errand) error {
		tenant, _ := tenantOf(ctx)
		if mode == "deaf" && e.N%16 == 0 && tenant != small { // a handler that ignores the end of its context
			ctx, e.Takes = context.WithoutCancel(ctx), 3000
		}
		return run(ctx, q, j, e, skew)
	})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go j.stalls(ctx)
	for {
		// Run does not begin while Redis is dead: whoever starts programs tries again.
		if err = q.Run(ctx); err == nil || ctx.Err() != nil {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
}

var runs atomic.Int64

// run does an errand and says so.
func run(ctx context.Context, q *jobs.Queue, j journal, e Errand, skew time.Duration) error {
	n := runs.Add(1)
	info, _ := jobs.InfoFrom(ctx)
	j.note("start %d %d %s %d", n, e.N, info.Tenant, now())
	how, err := "done", error(nil)
	select {
	case <-ctx.Done():
		how, err = "stopped", context.Cause(ctx)
	case <-time.After(time.Duration(e.Takes) * time.Millisecond):
		if info.Attempt <= e.Fails {
			how, err = "failed", errors.New("not yet")
		} else if e.Sends {
			j.send(ctx, q, e, skew)
		}
	}
	j.note("end %d %s %d", n, how, now())
	return err
}

// send enqueues another errand for a moment that this process's clock is wrong about.
func (j journal) send(ctx context.Context, q *jobs.Queue, e Errand, skew time.Duration) {
	from := now()
	_, err := q.Enqueue(ctx, Errand{N: -e.N, Takes: e.Takes}, &jobs.EnqueueOptions{
		ID: fmt.Sprint("sent-by-", e.N), At: time.Now().Add(skew),
	})
	if err == nil {
		j.note("sent %d %d %d", -e.N, from, now())
	}
}

// stalls notes when this process did not get to run.
func (j journal) stalls(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for last := now(); ctx.Err() == nil; {
		<-tick.C
		at := now()
		if at-last > int64(30*time.Millisecond) {
			j.note("stall %d %d", last, at)
		}
		last = at
	}
}

// skewed is the driver of a process whose clock goes wrong: by it, a lease lasts
// longer or shorter than the store says.
type skewed struct {
	*redisjobs.Driver
	journal journal
	drift   time.Duration
}

func (s *skewed) Beat(ctx context.Context, b driver.Beat) (driver.Pulse, error) {
	b.Lease = b.Lease * (100 + s.drift) / 100
	began := now()
	pulse, err := s.Driver.Beat(ctx, b)
	if err == nil && b.Lease > 0 {
		s.journal.note("lease %t %d %d", b.Join, began, began+int64(b.Lease))
	}
	return pulse, err
}

// plants are drivers with faults that the attack must find. So must it find
// "deaf" handlers.
var plants = map[string]func(driver.Driver, *redis.Client) driver.Driver{
	"careless": func(d driver.Driver, _ *redis.Client) driver.Driver { return careless{d} },
	"greedy":   func(d driver.Driver, rdb *redis.Client) driver.Driver { return greedy{d, rdb} },
	"doubling": func(d driver.Driver, _ *redis.Client) driver.Driver { return doubling{d, &sync.Map{}} },
	"leaky":    func(d driver.Driver, rdb *redis.Client) driver.Driver { return leaky{d, rdb} },
}

// greedy takes jobs as if nothing ran yet.
type greedy struct {
	driver.Driver
	rdb *redis.Client
}

func (g greedy) Exchange(ctx context.Context, x driver.Exchange) (driver.Batch, error) {
	if err := g.rdb.Del(ctx, "jobs:{default}:run").Err(); err != nil {
		return driver.Batch{}, err
	}
	return g.Driver.Exchange(ctx, x)
}

// doubling gives some jobs back that are done.
type doubling struct {
	driver.Driver
	given *sync.Map
}

func (d doubling) Exchange(ctx context.Context, x driver.Exchange) (driver.Batch, error) {
	for i := range x.Done {
		if o := &x.Done[i]; o.Action == driver.Finish && rand.N(8) == 0 {
			if _, again := d.given.LoadOrStore(o.ID, true); !again {
				o.Action = driver.Return
			}
		}
	}
	return d.Driver.Exchange(ctx, x)
}

// leaky forgets that a job has ended.
type leaky struct {
	driver.Driver
	rdb *redis.Client
}

func (l leaky) Beat(ctx context.Context, b driver.Beat) (driver.Pulse, error) {
	pulse, err := l.Driver.Beat(ctx, b)
	if err == nil && pulse.Reclaimed > 0 {
		err = l.rdb.HIncrBy(ctx, "jobs:{default}:run", "t004gone", 1).Err()
	}
	return pulse, err
}
