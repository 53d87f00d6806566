package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// age makes a partition of n days ago and returns its day.
func age(t *testing.T, pg *testenv.PG, n int) (day time.Time) {
	t.Helper()
	require.NoError(t, pg.System.QueryRow(t.Context(), `select (now() at time zone 'UTC')::date - $1::int`, n).Scan(&day))
	_, err := pg.System.Exec(t.Context(), `select tenancy.outbox_add($1::date, 60000)`, day)
	require.NoError(t, err)
	require.True(t, exists(t, pg, name(day)), "writers kept it from being made")
	return day
}

// backdating returns the system role's pool after letting the role do what it may not: write in the past.
func backdating(t *testing.T, pg *testenv.PG) *pgxpool.Pool {
	t.Helper()
	_, err := pg.Owner.Exec(t.Context(), `grant insert (at) on tenancy.outbox to tenancy_system; grant update on tenancy.inbox to tenancy_system`)
	require.NoError(t, err)
	return pg.System
}

// old commits an event that was written at noon of a day.
func old(t *testing.T, pg *testenv.PG, day time.Time, key string, version int) {
	t.Helper()
	_, err := backdating(t, pg).Exec(t.Context(), `insert into tenancy.outbox (id, tenant_id, type, key, payload, at)
		values (gen_random_uuid(), 'acme', 'changed', $1, convert_to(format('{"Key":"%s","Version":%s}', $1::text, $2::int), 'UTF8'), $3)`,
		key, version, day.Add(12*time.Hour))
	require.NoError(t, err)
}

func name(day time.Time) string { return "outbox_" + day.Format("20060102") }

func exists(t *testing.T, pg *testenv.PG, table string) (yes bool) {
	t.Helper()
	require.NoError(t, pg.System.QueryRow(t.Context(), `select to_regclass('tenancy.' || $1) is not null`, table).Scan(&yes))
	return yes
}

func TestMaintainDropsWhatEverySinkHas(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	day10, day9, day8, day2 := age(t, pg, 10), age(t, pg, 9), age(t, pg, 8), age(t, pg, 2)
	var ahead, behind tenancytest.Sink
	held := &gate{Sink: &behind, room: 1}
	old(t, pg, day10, "a", 1)
	stop := run(t, db, held, &outbox.Options{Name: "behind", Logger: discard()})
	wait(t, behind.Wait, 1)
	stop()
	old(t, pg, day9, "a", 2)
	old(t, pg, day8, "a", 3)
	old(t, pg, day2, "a", 4)
	stop = run(t, db, &ahead, &outbox.Options{Name: "ahead"})
	wait(t, ahead.Wait, 4)
	stop()

	done, err := outbox.Maintain(t.Context(), db, &outbox.MaintainOptions{Logger: discard()})
	require.NoError(t, err)
	require.Empty(t, done.Dropped, "the day of the anchor of the sink behind stays, and the next day's event is needed")
	require.Equal(t, []string{name(day10), name(day9)}, done.Kept)
	sinks, err := outbox.Sinks(t.Context(), db)
	require.NoError(t, err)
	require.Len(t, sinks, 2)
	late := sinks[0]
	if late.Name != "behind" {
		late = sinks[1]
	}
	require.Equal(t, "behind", late.Name)
	require.Greater(t, late.Behind, 7*24*time.Hour)

	require.NoError(t, outbox.Forget(t.Context(), db, late.ID))
	require.ErrorIs(t, outbox.Forget(t.Context(), db, late.ID), tenancy.ErrNotFound)
	done, err = outbox.Maintain(t.Context(), db, nil)
	require.NoError(t, err)
	require.Equal(t, []string{name(day10), name(day9)}, done.Dropped)
	require.False(t, exists(t, pg, name(day9)))
	require.True(t, exists(t, pg, name(day8)), "the last day before the retention: a sink may be thrown back to its end")
	require.True(t, exists(t, pg, name(day2)), "younger than the retention")
	require.True(t, exists(t, pg, name(day2.AddDate(0, 0, 9))), "made ahead")
	require.Empty(t, faults(ahead.Events(), map[string]int{"acme/a": 4}))
}

// TestSinkThrownBackOnAQuietDatabase: the event before the last one is weeks old, and a sink that loses the last one is back
// at it.
func TestSinkThrownBackOnAQuietDatabase(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	old(t, pg, age(t, pg, 30), "a", 1)
	var sink tenancytest.Sink
	stop := run(t, db, &sink, nil)
	wait(t, sink.Wait, 1)
	stop()
	sink.Save()
	old(t, pg, age(t, pg, 0), "a", 2)
	stop = run(t, db, &sink, nil)
	wait(t, sink.Wait, 2)
	stop()
	_, err := outbox.Maintain(t.Context(), db, nil)
	require.NoError(t, err)
	sink.Restore()
	stop = run(t, db, &sink, nil)
	wait(t, sink.Wait, 2)
	stop()
	require.Empty(t, faults(sink.Events(), map[string]int{"acme/a": 2}))
}

// gate lets a number of events into its sink.
type gate struct {
	outbox.Sink
	mu   sync.Mutex
	room int
}

func (g *gate) open(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.room += n
}

// Deliver implements outbox.Sink.
func (g *gate) Deliver(ctx context.Context, from, to string, events []outbox.Event) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.room < len(events) {
		return false, errors.New("closed")
	}
	ok, err := g.Sink.Deliver(ctx, from, to, events)
	if ok && err == nil {
		g.room -= len(events)
	}
	return ok, err
}

// TestMaintainWaitsForOpenTransactions: a transaction that wrote an event of a day past its retention and is still open
// keeps the day from being removed, however far the sinks are.
func TestMaintainWaitsForOpenTransactions(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	day := age(t, pg, 9)
	old(t, pg, age(t, pg, 8), "b", 1)
	tx, err := backdating(t, pg).Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), `insert into tenancy.outbox (id, tenant_id, type, key, payload, at)
		values (gen_random_uuid(), 'acme', 'changed', 'a', '{"Key":"a","Version":1}', $1)`, day.Add(time.Hour))
	require.NoError(t, err)
	done, err := outbox.Maintain(t.Context(), db, nil)
	require.NoError(t, err)
	require.Equal(t, []string{name(day)}, done.Kept)
	require.NoError(t, tx.Commit(t.Context()))
	var sink tenancytest.Sink
	defer run(t, db, &sink, nil)()
	wait(t, sink.Wait, 2)
}

// TestMaintainEmptiesWhereItCannotDrop: while somebody has an event of today in an open transaction, the whole outbox
// cannot be locked, but the old partition can.
func TestMaintainEmptiesWhereItCannotDrop(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	day := age(t, pg, 9)
	old(t, pg, day, "a", 1)
	old(t, pg, age(t, pg, 8), "b", 1)
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `insert into tenancy.outbox (id, tenant_id, type, payload) values (gen_random_uuid(), 'acme', 'x', '')`)
		require.NoError(t, err)
		done, err := outbox.Maintain(t.Context(), db, nil)
		require.NoError(t, err)
		require.Equal(t, []string{name(day)}, done.Emptied)
		return nil
	}))
	done, err := outbox.Maintain(t.Context(), db, nil)
	require.NoError(t, err)
	require.Equal(t, []string{name(day)}, done.Dropped)
}

func TestDefaultPartitionLosesNothingAndIsDrained(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	var day time.Time
	require.NoError(t, pg.System.QueryRow(t.Context(), `select (now() at time zone 'UTC')::date - 20`).Scan(&day))
	for i := range 3 {
		old(t, pg, day, "a", i+1) // there is no partition for it
	}
	var n int
	count := func() int {
		require.NoError(t, pg.System.QueryRow(t.Context(), `select count(*) from tenancy.outbox_default`).Scan(&n))
		return n
	}
	require.Equal(t, 3, count())
	var sink tenancytest.Sink
	held := &gate{Sink: &sink, room: 1}
	stop := run(t, db, held, &outbox.Options{Batch: 1, Logger: discard()})
	wait(t, sink.Wait, 1)
	stop()
	done, err := outbox.Maintain(t.Context(), db, &outbox.MaintainOptions{Logger: discard()})
	require.NoError(t, err)
	require.LessOrEqual(t, done.Drained, int64(1))
	require.GreaterOrEqual(t, count(), 2, "the sink lacks two events")
	held.open(9)
	stop = run(t, db, held, nil)
	wait(t, sink.Wait, 3)
	stop()
	_, err = outbox.Maintain(t.Context(), db, nil)
	require.NoError(t, err)
	require.Equal(t, 1, count(), "the anchor stays")
	require.NoError(t, change(tenancy.WithID(t.Context(), "acme"), db, "b", func() {}))
	stop = run(t, db, held, nil)
	wait(t, sink.Wait, 4)
	stop()
	_, err = outbox.Maintain(t.Context(), db, nil)
	require.NoError(t, err)
	require.Zero(t, count())
}

// TestMaintainUnderLoad removes days again and again while units write and relays read. Nothing is lost. Maintain has the
// patience to wait for the units that are under way, however slow the machine is; what it does without is in
// TestMaintainEmptiesWhereItCannotDrop.
func TestMaintainUnderLoad(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	rounds := testenv.Rounds(6, 100)
	old(t, pg, age(t, pg, 8), "first", 1)
	var one, other tenancytest.Sink
	restart := func() (stop func()) {
		stopOne, stopOther := run(t, db, &one, nil), run(t, db, &other, nil)
		return func() { stopOne(); stopOther() }
	}
	stop := restart()
	ctx, stopWriting := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	want, total, longest := map[string]int{"acme/first": 1}, 1, time.Duration(0)
	for w := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				tenant, key := fmt.Sprint("t", w%2), fmt.Sprint("k", rand.N(5))
				start := time.Now()
				err := change(tenancy.WithID(t.Context(), tenant), db, key, func() {})
				took := time.Since(start)
				if err != nil {
					t.Errorf("change: %v", err)
					return
				}
				mu.Lock()
				want[tenant+"/"+key]++
				total++
				longest = max(longest, took)
				mu.Unlock()
			}
		})
	}
	wait(t, one.Wait, 1) // from now on the sinks are known to Maintain
	wait(t, other.Wait, 1)
	dropped, emptied, made := 0, 0, 0
	for n := range rounds {
		day := age(t, pg, 9+n)
		mu.Lock()
		old(t, pg, day, "old", n+1)
		want["acme/old"]++
		total++
		there := total
		mu.Unlock()
		for pass := 0; dropped <= n; pass++ {
			require.Less(t, pass, 100, "nothing is dropped")
			wait(t, one.Wait, there)
			wait(t, other.Wait, there)
			stop() // relays tell where sinks are once a minute, and at their end
			stop = restart()
			done, err := outbox.Maintain(t.Context(), db, &outbox.MaintainOptions{Ahead: 9 + n, Patience: time.Minute, Logger: discard()})
			require.NoError(t, err)
			dropped, emptied, made = dropped+len(done.Dropped), emptied+len(done.Emptied), made+len(done.Made)
		}
	}
	stopWriting()
	wg.Wait()
	defer func() { stop() }()
	wait(t, one.Wait, total)
	wait(t, other.Wait, total)
	require.Empty(t, faults(one.Events(), want))
	require.Empty(t, faults(other.Events(), want))
	t.Logf("%d events, longest unit %v, %d partitions made, %d dropped, %d emptied", total, longest, made, dropped, emptied)
}
