package outboxjobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

type count struct{ N int }

func (count) Kind() string { return "count" }

type incidentOpened struct{ Monitor string }

func (incidentOpened) EventType() string { return "incident.opened" }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// bench is a database, a queue, and a worker that counts.
type bench struct {
	*testing.T
	db     *tenancy.DB
	rdb    *redis.Client
	driver *redisjobs.Driver
	q      *jobs.Queue

	mu   sync.Mutex
	runs map[int][]jobs.Info
}

func open(t *testing.T) *bench {
	t.Helper()
	b, _ := openOn(t)
	return b
}

func openOn(t *testing.T) (*bench, *testenv.PG) {
	t.Helper()
	pg := testenv.Postgres(t, tenancy.Migrations)
	b := &bench{T: t, rdb: testenv.Redis(t), runs: map[int][]jobs.Info{}}
	var err error
	b.db, err = tenancy.New(pg.App, &tenancy.Options{System: pg.System, Logger: quiet})
	require.NoError(t, err)
	b.driver, err = redisjobs.New(b.rdb, nil)
	require.NoError(t, err)
	b.q, err = jobs.New(b.driver, &jobs.Options{Tenant: tenancy.IDFrom, WithTenant: tenancy.WithID, Logger: quiet})
	require.NoError(t, err)
	jobs.Handle(b.q, func(ctx context.Context, c count) error {
		info, _ := jobs.InfoFrom(ctx)
		if id, _ := tenancy.IDFrom(ctx); id != info.Tenant {
			return errors.New("wrong tenant in the context")
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.runs[c.N] = append(b.runs[c.N], info)
		return nil
	})
	return b, pg
}

func (b *bench) start(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		require.NoError(b, <-ended)
	})
}

func (b *bench) relay(sink outbox.Sink) *outbox.Relay {
	b.Helper()
	r, err := outbox.New(b.db, sink, &outbox.Options{Batch: 7, MaxPoll: 10 * time.Millisecond, Logger: quiet})
	require.NoError(b, err)
	return r
}

func (b *bench) sink() *outboxjobs.Sink {
	b.Helper()
	s, err := outboxjobs.NewSink(b.driver, nil)
	require.NoError(b, err)
	return s
}

// ran waits until n jobs ran and nothing is left to run.
func (b *bench) ran(n int) {
	b.Helper()
	require.Eventually(b, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		stats, err := b.q.Stats(b.Context())
		return err == nil && len(b.runs) >= n && stats == driver.Stats{}
	}, 2*time.Minute, 5*time.Millisecond)
}

func TestJobExistsIffItsTransactionCommits(t *testing.T) {
	t.Parallel()
	b := open(t)
	acme := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, b.db.Do(acme, func(_ context.Context, tx *tenancy.Tx) error {
		return outboxjobs.Enqueue(tx, count{N: 1}, nil)
	}))
	require.Error(t, b.db.Do(acme, func(_ context.Context, tx *tenancy.Tx) error {
		require.NoError(t, outboxjobs.Enqueue(tx, count{N: 2}, nil))
		return errors.New("rolled back")
	}))
	require.NoError(t, b.db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
		inner := b.db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
			require.NoError(t, outboxjobs.Enqueue(tx, count{N: 3}, nil))
			return errors.New("savepoint rolled back")
		})
		require.Error(t, inner)
		require.ErrorIs(t, outboxjobs.Enqueue(tx, big{}, nil), jobs.ErrTooLarge)
		return outboxjobs.Enqueue(tx, count{N: 4}, &jobs.EnqueueOptions{NoTenant: true, MaxAttempts: 3})
	}))
	defer b.start(b.relay(b.sink()).Run)()
	defer b.start(b.q.Run)()
	b.ran(2)
	require.Equal(t, "acme", b.runs[1][0].Tenant)
	require.Equal(t, "", b.runs[4][0].Tenant)
	require.Equal(t, 3, b.runs[4][0].MaxAttempts)
	require.Len(t, b.runs, 2)
}

type big struct{}

func (big) Kind() string                 { return "big" }
func (big) MarshalJSON() ([]byte, error) { return json.Marshal(strings.Repeat("x", 300<<10)) }

// flaky loses answers after the deed, and the deed, at random.
type flaky struct {
	outbox.Sink
	lost *atomic.Int32
}

func (f flaky) Deliver(ctx context.Context, from, to string, events []outbox.Event) (bool, error) {
	switch rand.N(4) {
	case 0:
		return false, errors.New("connection refused")
	case 1:
		if ok, err := f.Sink.Deliver(ctx, from, to, events); ok && err == nil {
			f.lost.Add(1)
		}
		return false, errors.New("connection reset")
	}
	return f.Sink.Deliver(ctx, from, to, events)
}

// naive is how a relay is often written: jobs first, then the position.
type naive struct {
	driver driver.Driver
	at     *atomic.Value
}

func (n naive) Position(context.Context) (string, error) {
	at, _ := n.at.Load().(string)
	return at, nil
}

func (n naive) push(ctx context.Context, events []outbox.Event) error {
	for _, e := range events {
		var in struct{ Job driver.Job }
		if err := json.Unmarshal(e.Payload, &in); err != nil {
			return err
		}
		if _, err := n.driver.Push(ctx, driver.Push{Jobs: []driver.Job{in.Job}}); err != nil {
			return err
		}
	}
	return nil
}

func (n naive) Deliver(ctx context.Context, _, to string, events []outbox.Event) (bool, error) {
	if err := n.push(ctx, events); err != nil {
		return false, err
	}
	if rand.N(2) == 0 {
		return false, errors.New("killed between push and ack")
	}
	n.at.Store(to)
	return true, nil
}

// stopped ends its relay at a random moment after its first delivery began.
type stopped struct {
	outbox.Sink
	stop func()
}

func (s stopped) Deliver(ctx context.Context, from, to string, events []outbox.Event) (bool, error) {
	if len(events) > 0 {
		time.AfterFunc(time.Duration(rand.N(20_000))*time.Microsecond, s.stop)
	}
	return s.Sink.Deliver(ctx, from, to, events)
}

// attack runs relays that fail and are stopped at random while jobs are
// emitted, and answers how many jobs ran and how many of them more than once.
func attack(b *bench, total, relays int, sink func() outbox.Sink) (ran, twice int) {
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(b.Context())
	for range relays {
		all.Go(func() {
			for ctx.Err() == nil {
				one, stop := context.WithCancel(ctx)
				if err := b.relay(stopped{sink(), stop}).Run(one); err != nil {
					b.Errorf("relay: %v", err)
				}
				stop()
			}
		})
	}
	stop := b.start(b.q.Run)
	for n := 0; n < total; {
		require.NoError(b, b.db.Do(tenancy.WithID(b.Context(), "acme"), func(_ context.Context, tx *tenancy.Tx) error {
			for range 5 {
				if err := outboxjobs.Enqueue(tx, count{N: n}, nil); err != nil {
					return err
				}
				n++
			}
			return nil
		}))
	}
	b.ran(total)
	// Let the relays go on: what they send again would run again.
	<-time.After(300 * time.Millisecond)
	cancel()
	all.Wait()
	b.ran(total)
	stop()
	for _, runs := range b.runs {
		if len(runs) > 1 {
			twice++
		}
	}
	return len(b.runs), twice
}

func TestEachJobOnceWithFailingRelays(t *testing.T) {
	t.Parallel()
	b := open(t)
	lost := &atomic.Int32{}
	total := testenv.Rounds(300, 10_000)
	ran, twice := attack(b, total, 2, func() outbox.Sink { return flaky{b.sink(), lost} })
	require.Equal(t, total, ran)
	require.Zero(t, twice)
	require.Positive(t, lost.Load(), "no answer got lost: the test showed nothing")
}

// The same attack finds the fault that the sink is there to avoid.
func TestAttackFindsANaiveRelay(t *testing.T) {
	t.Parallel()
	b := open(t)
	at := &atomic.Value{}
	_, twice := attack(b, 300, 1, func() outbox.Sink { return naive{driver: b.driver, at: at} })
	require.Positive(t, twice)
}

func TestMapTurnsEventsIntoJobs(t *testing.T) {
	t.Parallel()
	b := open(t)
	sink, err := outboxjobs.NewSink(b.driver, &outboxjobs.Options{
		Accept: func(kind string) bool { return kind != "other" },
		Map: func(e outbox.Event) ([]jobs.Item, error) {
			if e.Type != "incident.opened" {
				return nil, nil
			}
			return []jobs.Item{{Args: count{N: 1}}, {Args: count{N: 2}, Options: &jobs.EnqueueOptions{NoTenant: true}}}, nil
		},
	})
	require.NoError(t, err)
	require.NoError(t, b.db.Do(tenancy.WithID(t.Context(), "acme"), func(_ context.Context, tx *tenancy.Tx) error {
		tx.Emit(incidentOpened{Monitor: "m"})
		return outboxjobs.Enqueue(tx, other{}, nil)
	}))
	defer b.start(b.relay(sink).Run)()
	defer b.start(b.q.Run)()
	b.ran(2)
	require.Equal(t, "acme", b.runs[1][0].Tenant)
	require.Equal(t, "", b.runs[2][0].Tenant)
	stats, err := b.q.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, driver.Stats{}, stats, "the other kind belongs to another queue")
}

type other struct{}

func (other) Kind() string { return "other" }

func TestSinkErrors(t *testing.T) {
	t.Parallel()
	_, err := outboxjobs.NewSink(nil, nil)
	require.ErrorContains(t, err, "driver is nil")
	_, err = outboxjobs.NewSink(struct{ driver.Driver }{jobstest.New(t)}, nil)
	require.ErrorContains(t, err, "not a driver.Positioner")
	require.ErrorContains(t, outboxjobs.Enqueue(nil, count{}, nil), "no transaction")

	driver := jobstest.New(t)
	sink, err := outboxjobs.NewSink(driver, &outboxjobs.Options{
		Map: func(outbox.Event) ([]jobs.Item, error) { return nil, errors.New("cannot map") },
	})
	require.NoError(t, err)
	for want, e := range map[string]outbox.Event{
		"event e1 (ashlar.job): not readable as a job": {ID: "e1", Type: "ashlar.job", Payload: []byte("[]")},
		"event e2 (x): cannot map":                     {ID: "e2", Type: "x"},
	} {
		moved, err := sink.Deliver(t.Context(), "", "a", []outbox.Event{e})
		require.ErrorContains(t, err, want)
		require.False(t, moved)
	}
	driver.FailNext(jobstest.OpPush, jobs.ErrFull, jobs.ErrFull)
	_, err = sink.Deliver(t.Context(), "", "a", nil)
	require.ErrorIs(t, err, jobs.ErrFull)
	_, err = sink.Position(t.Context())
	require.Error(t, err)
	position, err := sink.Position(t.Context())
	require.NoError(t, err)
	require.Empty(t, position, "a failed delivery moves nothing")
}

// TestPoisonNeverBlocksInSilence: an event that cannot become a job keeps what
// comes behind it, is named and counted, and is left out only where Drop says
// so.
func TestPoisonNeverBlocksInSilence(t *testing.T) {
	t.Parallel()
	b := open(t)
	acme := tenancy.WithID(t.Context(), "acme")
	enqueue := func(n int) {
		require.NoError(t, b.db.Do(acme, func(_ context.Context, tx *tenancy.Tx) error {
			return outboxjobs.Enqueue(tx, count{N: n}, nil)
		}))
	}
	enqueue(1)
	require.NoError(t, b.db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Emit(incidentOpened{Monitor: "m"}) // its job is too large
		return tenancy.Emit(ctx, "ashlar.job", "", []byte("[]"))
	}))
	enqueue(2)
	drop := &atomic.Bool{}
	var mu sync.Mutex
	dropped := map[string]error{}
	sink, err := outboxjobs.NewSink(b.driver, &outboxjobs.Options{
		Map: func(outbox.Event) ([]jobs.Item, error) { return []jobs.Item{{Args: big{}}}, nil },
		Drop: func(e outbox.Event, err error) bool {
			mu.Lock()
			defer mu.Unlock()
			if drop.Load() {
				dropped[e.Type] = err
			}
			return drop.Load()
		},
	})
	require.NoError(t, err)
	seen := &watch{}
	relay, err := outbox.New(b.db, sink, &outbox.Options{Logger: quiet, Errors: seen, Metrics: seen})
	require.NoError(t, err)
	defer b.start(relay.Run)()
	defer b.start(b.q.Run)()
	require.Eventually(t, func() bool { return seen.named("incident.opened") && seen.failures() > 10 }, 30*time.Second, time.Millisecond)
	b.ran(1)
	b.mu.Lock()
	require.Len(t, b.runs, 1, "what comes before it runs, what comes behind it waits")
	b.mu.Unlock()
	drop.Store(true)
	b.ran(2)
	require.ErrorIs(t, dropped["incident.opened"], jobs.ErrTooLarge)
	require.ErrorContains(t, dropped["ashlar.job"], "not readable")
}

// watch remembers what a relay reports.
type watch struct {
	mu     sync.Mutex
	texts  []string
	errors float64
}

func (w *watch) Report(_ context.Context, err error, _ []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, err.Error())
}

func (w *watch) Add(_ context.Context, name string, n float64, _ ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if name == "outbox.errors" {
		w.errors += n
	}
}

func (w *watch) named(typ string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.texts, func(s string) bool { return strings.Contains(s, "deliver event") && strings.Contains(s, typ) })
}

func (w *watch) failures() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.errors
}
