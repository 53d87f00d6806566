package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/migrate"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

//go:embed horizon.sql
var horizonSQL string

// sent is a job that says when its transaction began.
type sent struct{ At int64 }

func (sent) Kind() string { return "bench.sent" }

// outboxBench measures how long after a transaction its job is in Redis, while another writer is open all the time.
type outboxBench struct {
	db, relayDB  *tenancy.DB // two handles: the relay gets no hint from this process, as if it were in another one
	sink, theirs outbox.Sink

	mu   sync.Mutex
	lags []time.Duration
}

func benchOutbox(ctx context.Context, l *lab) error {
	owner, err := pgxpool.New(ctx, l.pg.OwnerURL)
	if err != nil {
		return err
	}
	defer owner.Close()
	if _, err := migrate.Up(ctx, owner, []migrate.Source{{Name: "tenancy", FS: tenancy.Migrations}}, nil); err != nil {
		return err
	}
	app, err := pgxpool.New(ctx, l.pg.AppURL)
	if err != nil {
		return err
	}
	defer app.Close()
	system, err := pgxpool.New(ctx, l.pg.SystemURL)
	if err != nil {
		return err
	}
	defer system.Close()
	rdb := redis.NewClient(&redis.Options{Addr: l.redis.Addr})
	defer rdb.Close()
	b := &outboxBench{}
	var errs [2]error
	b.db, errs[0] = tenancy.New(app, &tenancy.Options{System: system})
	b.relayDB, errs[1] = tenancy.New(app, &tenancy.Options{System: system})
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	for queue, sink := range map[string]*outbox.Sink{"ours": &b.sink, "theirs": &b.theirs} {
		driver, err := redisjobs.New(rdb, &redisjobs.Options{Queue: queue})
		if err != nil {
			return err
		}
		if *sink, err = outboxjobs.NewSink(driver, nil); err != nil {
			return err
		}
	}
	ctx = tenancy.WithID(ctx, "bench")
	var ours, theirs []float64
	for i := range rounds + 1 {
		one, err := b.round(ctx, l, "snapshot difference", b.relay)
		if err != nil {
			return err
		}
		other, err := b.round(ctx, l, "xid horizon", b.horizon)
		if err != nil {
			return err
		}
		if i > 0 { // the first only warms up
			ours, theirs = append(ours, one), append(theirs, other)
		}
	}
	l.record("tenancy.outbox_lag_p50_ms", "ms", ours)
	l.record("tenancy.outbox_lag_p50_ms_xid_horizon", "ms", theirs)
	return b.throughput(ctx, l)
}

// round writes for some seconds beside a transaction that stays open, and returns the median lag in milliseconds.
func (b *outboxBench) round(ctx context.Context, l *lab, name string, relay func(context.Context) error) (float64, error) {
	runtime.GC()
	reading, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- relay(reading) }()
	time.Sleep(time.Second) // for what the other side's round left
	err := b.write(ctx, 4*time.Second)
	// The last events of a reader that waits come when the open transaction has ended.
	time.Sleep(200 * time.Millisecond)
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		return 0, fmt.Errorf("outbox, %s: %w", name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	lags := b.lags
	b.lags = nil
	if len(lags) < 100 {
		return 0, fmt.Errorf("outbox, %s: only %d events arrived", name, len(lags))
	}
	slices.Sort(lags)
	p50, p99 := lags[len(lags)/2], lags[len(lags)*99/100]
	fmt.Fprintf(l.log, "outbox lag, %s: %d events, p50 %v, p99 %v, max %v\n", name, len(lags), p50, p99, lags[len(lags)-1])
	return float64(p50) / float64(time.Millisecond), nil
}

// write runs four writers and one whose transactions with an event stay open for two seconds, so that one is always open.
func (b *outboxBench) write(ctx context.Context, d time.Duration) error {
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	errs := make(chan error, 6)
	for range 4 {
		wg.Go(func() {
			for time.Now().Before(end) {
				time.Sleep(time.Duration(rand.N(10)) * time.Millisecond)
				err := b.db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
					return outboxjobs.Enqueue(tx, sent{time.Now().UnixNano()}, nil)
				})
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	for i := range 2 { // overlapping, so that there is no moment without
		wg.Go(func() {
			time.Sleep(time.Duration(i) * time.Second)
			for time.Now().Before(end) {
				err := b.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
					_, err := tx.Exec(ctx, `insert into tenancy.outbox (id, tenant_id, type, payload) values (gen_random_uuid(), 'bench', 'long', '')`)
					time.Sleep(2 * time.Second)
					return err
				})
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// clocked notes the lag of each event when the sink has it.
type clocked struct {
	outbox.Sink
	b     *outboxBench
	since int64
}

// Deliver implements outbox.Sink.
func (c clocked) Deliver(ctx context.Context, from, to string, events []outbox.Event) (bool, error) {
	ok, err := c.Sink.Deliver(ctx, from, to, events)
	if !ok || err != nil {
		return ok, err
	}
	now := time.Now().UnixNano()
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	for _, e := range events {
		var in struct {
			Job struct{ Body []byte }
		}
		var env struct{ Args sent }
		if json.Unmarshal(e.Payload, &in) != nil || json.Unmarshal(in.Job.Body, &env) != nil || env.Args.At < c.since {
			continue // the long transaction's, or one of an earlier round
		}
		c.b.lags = append(c.b.lags, time.Duration(now-env.Args.At))
	}
	return true, nil
}

func (b *outboxBench) relay(ctx context.Context) error {
	r, err := outbox.New(b.relayDB, clocked{b.sink, b, time.Now().UnixNano()}, nil)
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// horizon polls as the relay does and stores jobs and cursor in one step, too.
func (b *outboxBench) horizon(ctx context.Context) error {
	sink := clocked{b.theirs, b, time.Now().UnixNano()}
	system := tenancy.System(ctx, "bench")
	at, err := sink.Position(ctx)
	xid, seq := "1", int64(0)
	if _, scanErr := fmt.Sscan(at, &xid, &seq); err != nil || scanErr != nil && at != "" {
		return errors.Join(err, scanErr)
	}
	for ctx.Err() == nil {
		rows, err := tenancy.All[struct {
			XID     string `db:"xid"`
			Seq     int64
			Tenant  string `db:"tenant_id"`
			Type    string
			Payload []byte
		}](system, b.relayDB, horizonSQL, xid, seq)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if len(rows) == 0 {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		events := make([]outbox.Event, len(rows))
		for i, r := range rows {
			events[i] = outbox.Event{Tenant: r.Tenant, Type: r.Type, Payload: r.Payload}
			xid, seq = r.XID, r.Seq
		}
		to := fmt.Sprint(xid, " ", seq)
		if _, err := sink.Deliver(ctx, at, to, events); err != nil && ctx.Err() == nil {
			return err
		}
		at = to
	}
	return nil
}

// throughput is how many events per second one relay carries into Redis from a log that is full.
func (b *outboxBench) throughput(ctx context.Context, l *lab) error {
	const total = 20_000
	return l.reading(ctx, "tenancy.outbox_relay_rate", "events/s", func(ctx context.Context) (float64, error) {
		for range total / 500 {
			err := b.db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) (err error) {
				for range 500 {
					err = errors.Join(err, outboxjobs.Enqueue(tx, sent{time.Now().UnixNano()}, nil))
				}
				return err
			})
			if err != nil {
				return 0, err
			}
		}
		reading, stop := context.WithCancel(ctx)
		defer stop()
		count := &counting{Sink: b.sink, done: stop, want: total}
		r, err := outbox.New(b.relayDB, count, nil)
		if err != nil {
			return 0, err
		}
		if err := r.Run(reading); err != nil {
			return 0, err
		}
		rate := float64(count.seen) / count.last.Sub(count.first).Seconds()
		fmt.Fprintf(l.log, "outbox relay: %d events, %.0f a second\n", count.seen, rate)
		return rate, ctx.Err()
	})
}

// counting stops a relay after a number of events.
type counting struct {
	outbox.Sink
	want, seen  int
	first, last time.Time
	done        func()
}

// Deliver implements outbox.Sink.
func (c *counting) Deliver(ctx context.Context, from, to string, events []outbox.Event) (bool, error) {
	if c.seen == 0 {
		c.first = time.Now()
	}
	ok, err := c.Sink.Deliver(ctx, from, to, events)
	if ok && err == nil {
		c.seen += len(events)
		c.last = time.Now()
	}
	if c.seen >= c.want {
		c.done()
	}
	return ok, err
}
