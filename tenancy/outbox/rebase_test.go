package outbox_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// changes makes n changes of a few aggregates and counts them in want.
func (c *cluster) changes(n int, want map[string]int) {
	c.Helper()
	for i := range n {
		key := fmt.Sprint("k", i%3)
		require.NoError(c, change(tenancy.WithID(c.Context(), "acme"), c.db, key, func() {}))
		want["acme/"+key]++
	}
}

func sum(want map[string]int) (n int) {
	for _, v := range want {
		n += v
	}
	return n
}

// delivered runs a relay until the sink has n events, which are all that there are.
func (c *cluster) delivered(sink *tenancytest.Sink, n int) {
	c.Helper()
	stop := run(c.T, c.db, sink, &outbox.Options{Batch: 7})
	wait(c.T, sink.Wait, n)
	stop()
	pending, err := outbox.Pending(c.Context(), c.db, sink)
	require.NoError(c, err)
	require.Zero(c, pending)
}

// changedLog runs a relay, which must end by itself. Pending must not count where a relay does not read.
func (c *cluster) changedLog(sink outbox.Sink) {
	c.Helper()
	_, err := outbox.Pending(c.Context(), c.db, sink)
	require.ErrorIs(c, err, outbox.ErrLogChanged)
	relay, err := outbox.New(c.db, sink, &outbox.Options{Logger: discard()})
	require.NoError(c, err)
	ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
	defer cancel()
	require.ErrorIs(c, relay.Run(ctx), outbox.ErrLogChanged)
}

// format1 returns a sink with the same events whose position says no more than the first format did.
func format1(t *testing.T, sink *tenancytest.Sink) *tenancytest.Sink {
	t.Helper()
	at, err := sink.Position(t.Context())
	require.NoError(t, err)
	f := strings.Split(at, "|")
	require.Equal(t, "2", f[0])
	var other tenancytest.Sink
	ok, err := other.Deliver(t.Context(), "", strings.Join([]string{"1", f[3], f[4], f[5]}, "|"), sink.Events())
	require.NoError(t, err)
	require.True(t, ok)
	return &other
}

func TestFormat1IsContinued(t *testing.T) {
	t.Parallel()
	for name, batch := range map[string]int{"between ticks": 4, "inside a tick": 5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, _ := open(t)
			ctx := tenancy.WithID(t.Context(), "acme")
			for range 5 {
				require.NoError(t, change(ctx, db, "a", func() {}))
			}
			var first tenancytest.Sink
			stop := run(t, db, &first, &outbox.Options{Batch: batch})
			wait(t, first.Wait, 5)
			stop()
			old := format1(t, &first)
			require.NoError(t, change(ctx, db, "a", func() {}))
			stop = run(t, db, old, nil)
			wait(t, old.Wait, 6)
			require.NoError(t, change(ctx, db, "a", func() {}))
			wait(t, old.Wait, 7)
			stop()
			require.Empty(t, faults(old.Events(), map[string]int{"acme/a": 7}))
			at, err := old.Position(t.Context())
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(at, "2|"), at)
		})
	}
}

// TestRestoredDump moves a sink to a cluster into which a dump was restored, with transaction ids far behind the old ones,
// where a reader that trusts the position loses what is written, and far ahead of them.
func TestRestoredDump(t *testing.T) {
	t.Parallel()
	for name, burn := range map[string]struct{ old, new int }{"ids behind": {old: 5000}, "ids ahead": {new: 5000}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := newCluster(t, false).migrate()
			old.burn(burn.old)
			want := map[string]int{}
			old.changes(30, want)
			var sink tenancytest.Sink
			old.delivered(&sink, 30)
			old.changes(12, want) // in the dump, but not delivered

			c := old.restored()
			c.burn(burn.new)
			c.changes(9, want) // before anybody noticed
			c.changedLog(&sink)
			require.Len(t, sink.Events(), 30)

			// The planted reader trusts the old snapshot.
			at, err := sink.Position(t.Context())
			require.NoError(t, err)
			var naive int
			require.NoError(t, c.system.QueryRow(t.Context(), `select count(*) from tenancy.outbox
				where not pg_visible_in_snapshot(xid, $1::text::pg_snapshot) and pg_visible_in_snapshot(xid, pg_current_snapshot())`,
				strings.Split(at, "|")[3]).Scan(&naive))
			if burn.old > 0 {
				require.Less(t, naive, 21, "the planted reader loses nothing: the test shows nothing")
			}

			n, err := outbox.Rebase(t.Context(), c.db, &sink)
			require.NoError(t, err)
			require.Equal(t, 21, n)
			c.changes(8, want)
			c.delivered(&sink, sum(want))
			c.burn(6000) // past all that the old cluster ever gave out
			c.changes(8, want)
			c.delivered(&sink, sum(want))
			require.Empty(t, faults(sink.Events(), want))
			require.Len(t, sink.Events(), sum(want))
		})
	}
}

// TestRebaseGoesOnWhereItStopped fails Rebase half-way.
func TestRebaseGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	old := newCluster(t, false).migrate()
	old.burn(3000)
	want := map[string]int{}
	old.changes(10, want)
	var sink tenancytest.Sink
	old.delivered(&sink, 10)
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, old.db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
		for n := range 700 {
			tx.Emit(changed{"big", n + 1})
		}
		return nil
	}))
	want["acme/big"] = 700
	c := old.restored()
	c.changedLog(&sink)
	_, err := outbox.Rebase(t.Context(), c.db, &gate{Sink: &sink, room: 300})
	require.ErrorContains(t, err, "closed")
	require.Greater(t, len(sink.Events()), 10)
	require.Less(t, len(sink.Events()), 710)
	sinks, err := outbox.Sinks(t.Context(), c.db)
	require.NoError(t, err)
	require.Positive(t, sinks[0].Behind, "Maintain keeps what the sink lacks")
	c.changedLog(&sink)
	_, err = outbox.Rebase(t.Context(), c.db, &sink)
	require.NoError(t, err)
	c.changes(5, want)
	c.delivered(&sink, sum(want))
	require.Empty(t, faults(sink.Events(), want))
}

// TestDumpRestoredTwice: the second database gives out sequences that the first one, to which the sink was brought over
// meanwhile, had given to other events.
func TestDumpRestoredTwice(t *testing.T) {
	t.Parallel()
	old := newCluster(t, false).migrate()
	want := map[string]int{}
	old.changes(12, want)
	var sink tenancytest.Sink
	old.delivered(&sink, 12)
	first, second := old.restored(), old.restored()
	first.changes(9, map[string]int{})
	first.changedLog(&sink)
	n, err := rebase(t, first, &sink)
	require.NoError(t, err)
	require.Equal(t, 9, n)

	second.changes(5, map[string]int{}) // sequences 13 to 17, as five of the nine
	second.changedLog(&sink)
	n, err = rebase(t, second, &sink)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	second.changes(3, map[string]int{})
	second.delivered(&sink, 12+9+5+3)
	require.Empty(t, second.missing(&sink))
}

// TestDatabaseSetBackAfterRebase: no event has come since Rebase that could tell that the log is not the same.
func TestDatabaseSetBackAfterRebase(t *testing.T) {
	t.Parallel()
	c := newCluster(t, true).migrate()
	c.changes(6, map[string]int{})
	var sink tenancytest.Sink
	c.delivered(&sink, 6)
	c.stop()
	c.copyTo(c.server.Dir + ".saved")
	c.start()
	c.changes(50, map[string]int{}) // the sequence of a copy begins up to 32 later
	c.burn(100)
	n, err := rebase(t, c, &sink)
	require.NoError(t, err)
	require.Equal(t, 50, n)
	c.stop()
	c.setBack()
	c.changes(4, map[string]int{})
	c.changedLog(&sink)
	n, err = rebase(t, c, &sink)
	require.NoError(t, err)
	require.Equal(t, 4, n)
	c.changes(2, map[string]int{})
	c.delivered(&sink, 6+50+4+2)
	require.Empty(t, c.missing(&sink))
}

// TestDatabaseSetBack throws a database back in time by its files: the same cluster, the same timeline, and transaction
// ids that are given out a second time.
func TestDatabaseSetBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t, true).migrate()
	want := map[string]int{}
	c.changes(20, want)
	var sink tenancytest.Sink
	c.delivered(&sink, 20)
	c.stop()
	c.copyTo(c.server.Dir + ".saved")
	c.start()
	c.changes(10, want)
	c.delivered(&sink, 30) // a crash by itself changes nothing
	c.changes(15, want)
	c.delivered(&sink, 45)
	c.stop()
	c.setBack()

	require.Equal(t, 20, c.count())
	c.changes(3, map[string]int{})
	c.changedLog(&sink) // of which Pending may not say that the sink has them: their transaction ids are those of delivered events
	c.changes(37, map[string]int{})
	planted := format1(t, &sink)
	c.changedLog(&sink)
	n, err := outbox.Rebase(t.Context(), c.db, &sink)
	require.NoError(t, err)
	require.Equal(t, 40, n)
	c.changes(3, map[string]int{})
	c.delivered(&sink, 45+43)
	require.Empty(t, c.missing(&sink))

	stop := run(t, c.db, planted, nil)
	wait(t, planted.Wait, 45+1)
	stop()
	require.NotEmpty(t, c.missing(planted), "the planted reader loses nothing: the test shows nothing")
}

func (c *cluster) setBack() {
	c.Helper()
	c.replaceData(c.server.Dir + ".saved")
	c.start()
}

func (c *cluster) count() (n int) {
	require.NoError(c, c.system.QueryRow(c.Context(), `select count(*) from tenancy.outbox`).Scan(&n))
	return n
}

// missing compares the sink with the database: events that are not in it, or twice, or out of order for their key.
func (c *cluster) missing(sink *tenancytest.Sink) (list []string) {
	c.Helper()
	at := map[string]int{}
	for i, e := range sink.Events() {
		if _, twice := at[e.ID]; twice {
			list = append(list, e.ID+" twice")
		}
		at[e.ID] = i
	}
	rows, err := c.system.Query(c.Context(), `select id::text, key from tenancy.outbox order by seq`)
	require.NoError(c, err)
	var id, key string
	last := map[string]int{}
	_, err = pgx.ForEachRow(rows, []any{&id, &key}, func() error {
		i, ok := at[id]
		if !ok {
			list = append(list, id+" missing")
		} else if i < last[key] {
			list = append(list, id+" out of order")
		}
		last[key] = max(last[key], i)
		return nil
	})
	require.NoError(c, err)
	return list
}

// TestCrashGivesIdsOutAgain: transactions that rolled back are not on disk when the server crashes, and their ids are
// given to others. A position that counts them as done, planted here, loses those others' events.
func TestCrashGivesIdsOutAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, true).migrate()
	_, err := c.admin.Exec(t.Context(), `alter system set wal_writer_delay = '10s'`)
	require.NoError(t, err)
	_, err = c.admin.Exec(t.Context(), `select pg_reload_conf()`)
	require.NoError(t, err)
	var sink tenancytest.Sink
	want, reused := map[string]int{}, false
	for n := 0; !reused; n++ {
		require.Less(t, n, 10, "no transaction id was given out again: the test shows nothing")
		c.changes(3, want)
		c.delivered(&sink, sum(want))
		c.changes(1, want)
		for range 20 {
			tx, err := c.admin.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), `select pg_current_xact_id()`)
			require.NoError(t, err)
			require.NoError(t, tx.Rollback(t.Context()))
		}
		var raw string
		require.NoError(t, c.system.QueryRow(t.Context(), `select pg_current_snapshot()::text`).Scan(&raw))
		// The server dies when the relay has read and delivered; it has no chance to write anything.
		stop := run(t, c.db, &fatalSink{Sink: &sink, server: c}, &outbox.Options{Logger: discard()})
		wait(t, sink.Wait, sum(want))
		stop()
		var planted tenancytest.Sink
		ok, err := planted.Deliver(t.Context(), "", "1|"+raw+"||0", sink.Events())
		require.NoError(t, err)
		require.True(t, ok)

		c.restart()
		require.NoError(t, c.system.QueryRow(t.Context(),
			`select pg_snapshot_xmax(pg_current_snapshot()) < pg_snapshot_xmax($1::text::pg_snapshot)`, raw).Scan(&reused))
		c.changes(9, want)
		c.delivered(&sink, sum(want))
		require.Empty(t, c.missing(&sink))
		if reused {
			c.burn(100)
			c.changes(1, want)
			stop := run(t, c.db, &planted, nil)
			wait(t, planted.Wait, sum(want)-9)
			stop()
			require.NotEmpty(t, c.missing(&planted), "the planted reader loses nothing: the test shows nothing")
		}
	}
}

// fatalSink kills the server at the end of the first Deliver of an event.
type fatalSink struct {
	*tenancytest.Sink
	server *cluster
	once   sync.Once
}

// Deliver implements outbox.Sink.
func (s *fatalSink) Deliver(ctx context.Context, from, to string, events []outbox.Event) (bool, error) {
	ok, err := s.Sink.Deliver(ctx, from, to, events)
	if len(events) > 0 {
		s.once.Do(func() { require.NoError(s.server, s.server.server.Kill()) })
	}
	return ok, err
}

func rebase(t *testing.T, c *cluster, sink outbox.Sink) (int, error) {
	t.Helper()
	return outbox.Rebase(t.Context(), c.db, sink)
}
