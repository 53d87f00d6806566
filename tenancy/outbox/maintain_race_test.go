package outbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// TestMaintainMakesDaysWhileSomebodyWrites: where there is always an open transaction with an event, days must be made all
// the same, and before their first event, or the default partition grows for ever.
func TestMaintainMakesDaysWhileSomebodyWrites(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `insert into tenancy.outbox (id, tenant_id, type, payload) values (gen_random_uuid(), 'acme', 'x', '')`)
		require.NoError(t, err)
		done, err := outbox.Maintain(t.Context(), db, &outbox.MaintainOptions{Ahead: 10})
		require.NoError(t, err)
		require.Len(t, done.Made, 3, "7 are there")
		return nil
	}))
}

// TestMadeDayIsLikeTheOthers compares a day that was attached with one of the first migration.
func TestMadeDayIsLikeTheOthers(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	done, err := outbox.Maintain(t.Context(), db, &outbox.MaintainOptions{Ahead: 8})
	require.NoError(t, err)
	require.Len(t, done.Made, 1)
	describe := func(table string) (text string) {
		require.NoError(t, pg.Owner.QueryRow(t.Context(), `select format('%s %s %s %s %s %s %s %s', relrowsecurity, relforcerowsecurity, relacl, relispartition,
			(select array_agg(format('%s %s %s', attname, attnotnull, format_type(atttypid, atttypmod)) order by attnum) from pg_attribute where attrelid = c.oid and attnum > 0),
			(select array_agg(format('%s %s', polname, polroles::regrole[])) from pg_policy where polrelid = c.oid),
			(select array_agg(tgname order by tgname) from pg_trigger where tgrelid = c.oid),
			(select array_agg(pg_get_indexdef(indexrelid, 1, true) order by indkey::text) from pg_index where indrelid = c.oid))
			from pg_class c where c.oid = ('tenancy.' || $1)::regclass`, table).Scan(&text))
		return text
	}
	var first string
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select tenancy.outbox_part((now() at time zone 'UTC')::date)`).Scan(&first))
	require.Equal(t, describe(first), describe(done.Made[0]))
	_, err = backdating(t, pg).Exec(t.Context(), `insert into tenancy.outbox (id, tenant_id, type, payload, at)
		values (gen_random_uuid(), 'acme', 'x', '', now() + interval '8 days')`)
	require.NoError(t, err)
	var seq, in int
	require.NoError(t, pg.System.QueryRow(t.Context(), `select seq, (select count(*) from tenancy.`+done.Made[0]+`) from tenancy.outbox`).Scan(&seq, &in))
	require.Equal(t, 1, seq)
	require.Equal(t, 1, in)
}

// TestDaysAreThoseOfUTC makes a day in a session whose zone, Asia/Kolkata, prints as IST, which PostgreSQL reads as Israel's.
func TestDaysAreThoseOfUTC(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	cfg := pg.System.Config()
	cfg.ConnConfig.RuntimeParams["timezone"], cfg.ConnConfig.RuntimeParams["datestyle"] = "Asia/Kolkata", "Postgres, DMY"
	abroad, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer abroad.Close()
	for _, days := range []int{-9, 9} {
		var bounds string
		require.NoError(t, abroad.QueryRow(t.Context(), `select tenancy.outbox_add((now() at time zone 'UTC')::date + $1::int, 5000)::text`, days).Scan(&bounds))
		require.Equal(t, "true", bounds)
		var day string
		require.NoError(t, pg.System.QueryRow(t.Context(), `select pg_get_expr(relpartbound, oid), to_char((now() at time zone 'UTC')::date + $1::int, 'YYYY-MM-DD')
			from pg_class where oid = ('tenancy.' || tenancy.outbox_part((now() at time zone 'UTC')::date + $1::int))::regclass`, days).Scan(&bounds, &day))
		require.Contains(t, bounds, "FROM ('"+day+" 00:00:00+00')")
	}
}

// TestMaintainsAtOnce runs several at a time over many days to drop.
func TestMaintainsAtOnce(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	for n := range 12 {
		old(t, pg, age(t, pg, 8+n), "a", 1)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	dropped := map[string]int{}
	for range 4 {
		wg.Go(func() {
			done, err := outbox.Maintain(t.Context(), db, nil)
			if err != nil {
				t.Errorf("Maintain: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, part := range done.Dropped {
				dropped[part]++
			}
		})
	}
	wg.Wait()
	for part, n := range dropped {
		require.Equal(t, 1, n, part)
		require.False(t, exists(t, pg, part))
	}
	_, err := outbox.Maintain(t.Context(), db, nil)
	require.NoError(t, err)
	for n := range 12 {
		require.Equal(t, n == 0, exists(t, pg, name(day(t, pg, 8+n))), "only the last one before the retention stays")
	}
}

// day returns the day n days ago.
func day(t *testing.T, pg *testenv.PG, n int) (day time.Time) {
	t.Helper()
	require.NoError(t, pg.System.QueryRow(t.Context(), `select (now() at time zone 'UTC')::date - $1::int`, n).Scan(&day))
	return day
}

// TestMaintainLeavesNoHole: while somebody reads the oldest day it cannot go, and then the days behind it stay, too, because
// a new sink begins with the oldest event that is there.
func TestMaintainLeavesNoHole(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	day10, day9 := age(t, pg, 10), age(t, pg, 9)
	for n, d := range []time.Time{day10, day9, age(t, pg, 8)} {
		old(t, pg, d, "a", n+1)
	}
	tx, err := pg.System.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), `select * from tenancy.`+name(day10))
	require.NoError(t, err)
	done, err := outbox.Maintain(t.Context(), db, nil)
	require.NoError(t, err)
	require.Empty(t, done.Dropped)
	require.Equal(t, []string{name(day10), name(day9)}, done.Kept)
	require.NoError(t, tx.Rollback(t.Context()))
	var sink tenancytest.Sink
	defer run(t, db, &sink, nil)()
	wait(t, sink.Wait, 3)
	require.Empty(t, faults(sink.Events(), map[string]int{"acme/a": 3}))
}

// asking calls meanwhile, once, before the statement that begins with text is sent.
type asking struct {
	tenancy.Driver
	text      string
	meanwhile func()
}

type askingSession struct {
	tenancy.Session
	of *asking
}

// Acquire implements tenancy.Driver.
func (a *asking) Acquire(ctx context.Context, t tenancy.Target) (tenancy.Session, error) {
	s, err := a.Driver.Acquire(ctx, t)
	return askingSession{s, a}, err
}

// Send implements tenancy.Session.
func (s askingSession) Send(ctx context.Context, b *tenancy.Batch) (pgx.BatchResults, error) {
	for _, q := range b.Queries {
		if s.of.meanwhile != nil && len(q.SQL) >= len(s.of.text) && q.SQL[:len(s.of.text)] == s.of.text {
			meanwhile := s.of.meanwhile
			s.of.meanwhile = nil
			meanwhile()
		}
	}
	return s.Session.Send(ctx, b)
}

// TestMaintainHearsOfANewSink: a sink that begins after Maintain has asked for the sinks, and has the first events, lacks
// the next ones.
func TestMaintainHearsOfANewSink(t *testing.T) {
	t.Parallel()
	for what, text := range map[string]string{"days": "select tenancy.outbox_retire", "default partition": "-- Removes events"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			db, pg := open(t)
			for n := range 4 {
				d := day(t, pg, 12-n)
				if what == "days" {
					d = age(t, pg, 12-n)
				}
				old(t, pg, d, "a", n+1)
			}
			var sink tenancytest.Sink
			held := &gate{Sink: &sink, room: 1}
			between, err := tenancy.New(nil, &tenancy.Options{Driver: &asking{Driver: db.Driver(), text: text, meanwhile: func() {
				stop := run(t, db, held, &outbox.Options{Batch: 1, Logger: discard()})
				wait(t, sink.Wait, 1)
				stop()
			}}})
			require.NoError(t, err)
			_, err = outbox.Maintain(t.Context(), between, &outbox.MaintainOptions{Logger: discard()})
			require.NoError(t, err)
			require.Len(t, sink.Events(), 1, fmt.Sprint(what, ": nobody asked"))
			held.open(9)
			defer run(t, db, held, nil)()
			wait(t, sink.Wait, 4)
			require.Empty(t, faults(sink.Events(), map[string]int{"acme/a": 4}))
		})
	}
}

// TestMaintainAsTheOwner: to the owner the outbox looks empty, sinks and all, but it may drop partitions.
func TestMaintainAsTheOwner(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	day10 := age(t, pg, 10)
	old(t, pg, day10, "a", 1)
	var sink tenancytest.Sink
	stop := run(t, db, &gate{Sink: &sink}, &outbox.Options{Logger: discard()})
	require.Eventually(t, func() bool {
		sinks, err := outbox.Sinks(t.Context(), db)
		return err == nil && len(sinks) == 1
	}, time.Minute, 5*time.Millisecond)
	stop()
	_, err := outbox.Maintain(t.Context(), on(t, pg.App, pg.Owner), nil)
	require.ErrorContains(t, err, "no member of tenancy_system")
	require.True(t, exists(t, pg, name(day10)))
}

// TestMaintainWhileAUnitForgets: a unit that has forgotten a sink, and goes on, keeps the default partition from being drained,
// but neither Maintain nor a relay from ending. Where there is nothing to drain, Maintain does not even try.
func TestMaintainWhileAUnitForgets(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	var first, second tenancytest.Sink
	var day time.Time
	require.NoError(t, pg.System.QueryRow(t.Context(), `select (now() at time zone 'UTC')::date - 20`).Scan(&day))
	forgetting := func(meanwhile func()) {
		sinks, err := outbox.Sinks(t.Context(), db)
		require.NoError(t, err)
		require.NotEmpty(t, sinks)
		require.NoError(t, db.Do(tenancy.System(t.Context(), "outbox forget"), func(ctx context.Context, _ *tenancy.Tx) error {
			require.NoError(t, outbox.Forget(ctx, db, sinks[0].ID))
			meanwhile()
			return nil
		}))
	}
	maintain := func(patience time.Duration) int64 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done, err := outbox.Maintain(ctx, db, &outbox.MaintainOptions{Patience: patience, Logger: discard()})
		require.NoError(t, err)
		return done.Drained
	}
	require.NoError(t, change(tenancy.WithID(t.Context(), "acme"), db, "b", func() {}))
	stop := run(t, db, &first, nil)
	wait(t, first.Wait, 1)
	stop()
	forgetting(func() { require.Zero(t, maintain(time.Hour)) })

	for i := range 3 {
		old(t, pg, day, "a", i+1) // there is no partition for it
	}
	stop = run(t, db, &first, nil)
	wait(t, first.Wait, 4)
	stop()
	forgetting(func() {
		require.Zero(t, maintain(0))
		stop := run(t, db, &second, nil)
		wait(t, second.Wait, 4)
		stop()
	})
	require.Equal(t, int64(2), maintain(time.Hour), "all but the anchor")
	require.Empty(t, faults(second.Events(), map[string]int{"acme/a": 3, "acme/b": 1}))
}

// TestNoLocksUntilTheEndOfAUnit: Maintain and Rebase take locks that others wait for.
func TestNoLocksUntilTheEndOfAUnit(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	db = db.With(&tenancy.TxOptions{Isolation: pgx.ReadCommitted})
	require.NoError(t, db.InTx(tenancy.System(t.Context(), "outbox maintenance"), func(ctx context.Context) error {
		_, err := outbox.Maintain(ctx, db, nil)
		require.ErrorContains(t, err, "unit of work")
		_, err = outbox.Rebase(ctx, db, &tenancytest.Sink{})
		require.ErrorContains(t, err, "unit of work")
		return nil
	}))
}
