package outbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// TestTickReadsOnlyWhatIsNew counts the pages that a look at a large, old outbox touches, with statistics that know
// nothing of it and after ANALYZE.
func TestTickReadsOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	rows := testenv.Rounds(100_000, 1_000_000)
	for n := range 8 {
		day := age(t, pg, n+1)
		_, err := backdating(t, pg).Exec(t.Context(), `insert into tenancy.outbox (id, tenant_id, type, payload, at)
			select gen_random_uuid(), 'acme', 'old', repeat('x', 200)::bytea, $2 from generate_series(1, $1::int)`, rows/8, day.Add(time.Hour))
		require.NoError(t, err)
	}
	var from string
	require.NoError(t, pg.System.QueryRow(t.Context(), `select pg_current_snapshot()::text`).Scan(&from))
	pages := func(since string, upto *string, after int64, most int) int {
		var plan []byte
		require.NoError(t, pg.System.QueryRow(t.Context(), `explain (analyze, buffers, timing off, format json)
			select * from tenancy.outbox_tick($1, $2, $3, $4, 4000000, '0', '')`, since, upto, after, most).Scan(&plan))
		var out []struct {
			Plan struct {
				Hit  int `json:"Shared Hit Blocks"`
				Read int `json:"Shared Read Blocks"`
			}
		}
		require.NoError(t, json.Unmarshal(plan, &out))
		return out[0].Plan.Hit + out[0].Plan.Read
	}
	total := 0
	require.NoError(t, pg.System.QueryRow(t.Context(), `select sum(relpages + pg_relation_size(oid) / 8192)::int from pg_class
		where relnamespace = 'tenancy'::regnamespace and relname like 'outbox_2%' and relkind = 'r'`).Scan(&total))
	for _, when := range []string{"before analyze", "after analyze"} {
		pages(from, nil, 0, 500) // plans once
		require.Less(t, pages(from, nil, 0, 500), 250, "%s: an empty look", when)
		var top int64
		require.NoError(t, pg.System.QueryRow(t.Context(), `select max(seq) from tenancy.outbox`).Scan(&top))
		require.NoError(t, change(tenancy.WithID(t.Context(), "acme"), db, "a", func() {}))
		require.Less(t, pages(from, nil, 0, 500), 300, "%s: one new event", when)
		// In the middle of the largest possible tick: half of all events are behind it.
		upto := snapshotOf(from)
		require.Less(t, pages("1:1:", &upto, top/2, 500), 2000, "%s: a batch of a tick with all events", when)
		_, err := pg.Owner.Exec(t.Context(), `analyze tenancy.outbox`)
		require.NoError(t, err)
	}
	all := snapshotOf(from)
	pages(from, nil, 0, 500) // plans again
	t.Logf("%d events on %d pages: an empty look touches %d, a batch of 500 in the middle of all %d",
		rows, total, pages(from, nil, 0, 500), pages("1:1:", &all, int64(rows/2), 500))
}

// snapshotOf returns the snapshot with the same end and nothing open.
func snapshotOf(s string) string {
	xmax := strings.Split(s, ":")[1]
	return xmax + ":" + xmax + ":"
}

func TestHugeTransactionTravelsInBoundedBatches(t *testing.T) {
	t.Parallel()
	const total = 50_000
	db, _ := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, change(ctx, db, "a", func() {}))
	require.NoError(t, db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
		for n := range total {
			tx.Emit(changed{"huge", n + 1})
		}
		return nil
	}))
	sink := &sizes{}
	start := time.Now()
	defer run(t, db, sink, nil)()
	wait(t, sink.Wait, total+1)
	t.Logf("%d events in %v, at most %d at a time", total, time.Since(start).Round(time.Millisecond), sink.largest())
	require.LessOrEqual(t, sink.largest(), 500)
	require.Empty(t, faults(sink.Events(), map[string]int{"acme/a": 1, "acme/huge": total}))
}

// TestSinksDoNotWaitForEachOther lets one sink hang and another one fail.
func TestSinksDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	var good, hanging, broken tenancytest.Sink
	inside, release := make(chan struct{}, 1), make(chan struct{})
	stopHanging := run(t, db, hook{&hanging, func([]outbox.Event) error {
		select {
		case inside <- struct{}{}:
		default:
		}
		<-release
		return nil
	}}, nil)
	defer run(t, db, hook{&broken, func([]outbox.Event) error { return errors.New("broken") }}, &outbox.Options{Logger: discard()})()
	defer run(t, db, &good, nil)()
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, change(ctx, db, "a", func() {}))
	<-inside
	for range 20 {
		require.NoError(t, change(ctx, db, "a", func() {}))
	}
	wait(t, good.Wait, 21)
	require.Empty(t, hanging.Events())
	require.Empty(t, broken.Events())
	close(release)
	wait(t, hanging.Wait, 21)
	stopHanging()
}

// hook is asked before each delivery of events.
type hook struct {
	outbox.Sink
	ask func([]outbox.Event) error
}

// Deliver implements outbox.Sink.
func (h hook) Deliver(ctx context.Context, from, to string, events []outbox.Event) (bool, error) {
	if len(events) > 0 {
		if err := h.ask(events); err != nil {
			return false, err
		}
	}
	return h.Sink.Deliver(ctx, from, to, events)
}

// TestIdleRelayIsQuiet counts the round trips of a relay that has nothing to do for ten minutes.
func TestIdleRelayIsQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kit := tenancytest.New(t)
		var sink tenancytest.Sink
		stop := run(t, kit.DB(), &sink, nil)
		<-time.After(10 * time.Minute)
		trips := float64(kit.RoundTrips()) / 600
		stop()
		t.Logf("%.1f round trips a second", trips)
		require.Less(t, trips, 12.0)
	})
}

// TestPoisonEvent: a sink that refuses an event gets what comes before it and nothing behind it, and the failure does not
// pass over in silence.
func TestPoisonEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kit := tenancytest.New(t)
		ctx := tenancy.WithID(t.Context(), "acme")
		for n := range 20 {
			require.NoError(t, kit.DB().Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
				tx.Emit(changed{"a", n + 1})
				return nil
			}))
		}
		poison := kit.Events()[7].ID
		var sink tenancytest.Sink
		var logged bytes.Buffer
		var healed sync.Once
		heal := make(chan struct{})
		counts := &counts{}
		stop := run(t, kit.DB(), hook{&sink, func(events []outbox.Event) error {
			for _, e := range events {
				select {
				case <-heal:
				default:
					if e.ID == poison {
						return errors.New("refused")
					}
				}
			}
			return nil
		}}, &outbox.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil)), Metrics: counts})
		<-time.After(10 * time.Minute)
		synctest.Wait()
		require.Len(t, sink.Events(), 7, "what comes before it")
		require.Greater(t, counts.of("outbox.errors"), 100.0)
		require.EqualValues(t, 7, counts.of("outbox.delivered"))
		healed.Do(func() { close(heal) })
		<-time.After(10 * time.Second)
		stop()
		require.Empty(t, faults(sink.Events(), map[string]int{"acme/a": 20}))
		require.GreaterOrEqual(t, strings.Count(logged.String(), poison), 9, "one line a minute names the event")
		require.Contains(t, logged.String(), "delivering again")
	})
}

type counts struct {
	mu sync.Mutex
	m  map[string]float64
}

// Add implements the metrics seam.
func (c *counts) Add(_ context.Context, name string, n float64, _ ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[string]float64{}
	}
	c.m[name] += n
}

func (c *counts) of(name string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[name]
}

// TestEventsAreOnDiskBeforeTheyTravel: a unit that asked for an asynchronous commit does not get one if it has events.
func TestEventsAreOnDiskBeforeTheyTravel(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	_, err := pg.Owner.Exec(t.Context(), `create table settings (n int, v text);
		create function note() returns trigger language plpgsql security definer as
			$$ begin insert into settings values (1, current_setting('synchronous_commit')); return null; end $$;
		create constraint trigger note after insert on aggregates deferrable initially deferred for each row execute function note()`)
	require.NoError(t, err)
	_, err = pg.Owner.Exec(t.Context(), `do $$ begin execute format('alter database %I set synchronous_commit = off', current_database()); end $$`)
	require.NoError(t, err)
	pg.App.Reset()
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, change(ctx, db, "with an event", func() {}))
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `insert into aggregates (key, version) values ('without', 1)`)
		return err
	}))
	var seen string
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select string_agg(v, ' ' order by ctid) from settings`).Scan(&seen))
	require.Equal(t, "on off", seen)
}
