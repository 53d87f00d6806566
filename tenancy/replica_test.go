package tenancy_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// replicated is a primary and a replica behind a proxy.
type replicated struct {
	*testenv.Replicated
	db    *tenancy.DB
	proxy *testenv.TCPProxy
	count *counter
}

func openReplicated(t *testing.T, delay time.Duration) *replicated {
	t.Helper()
	r := &replicated{Replicated: testenv.PostgresReplicated(t, delay, tenancy.Migrations, schema), count: &counter{}}
	r.proxy = testenv.Proxy(t, addrOf(t, r.Replica.AppURL))
	var err error
	r.db, err = tenancy.New(r.App, &tenancy.Options{
		System: r.System, Replicas: []*pgxpool.Pool{through(t, r.Replica.AppURL, r.proxy.Addr)}, Metrics: r.count,
	})
	require.NoError(t, err)
	return r
}

// replay pauses or resumes the replica.
func (r *replicated) replay(t *testing.T, word string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.Standby.AdminURL)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `select pg_wal_replay_`+word+`()`)
	require.NoError(t, err)
}

// where a unit ran: on the server in recovery or not.
const whereSQL = `select pg_is_in_recovery()`

func TestReplicaServesOnlyWhatItHasReplayed(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, 0)
	ctx := tenancy.WithID(t.Context(), "acme")
	write := func(body string) (at tenancy.LSN) {
		t.Helper()
		require.NoError(t, r.db.With(&tenancy.TxOptions{CommitLSN: &at}).Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
			tx.Defer(insertNote, body)
			return nil
		}))
		require.NotZero(t, at)
		return at
	}
	read := func(o tenancy.TxOptions) (notes int, replica bool) {
		t.Helper()
		o.Replica = true
		require.NoError(t, r.db.With(&o).Do(ctx, func(ctx context.Context, tx *tenancy.Tx) (err error) {
			if replica, err = tenancy.One[bool](ctx, tx, whereSQL); err == nil {
				notes, err = tenancy.One[int](ctx, tx, `select count(*)::int from notes`)
			}
			return err
		}))
		one, err := tenancy.One[int](ctx, r.db.With(&o), `select count(*)::int from notes`)
		require.NoError(t, err)
		require.Equal(t, notes, one)
		return notes, replica
	}
	first := write("first")
	require.Eventually(t, func() bool { _, replica := read(tenancy.TxOptions{After: first}); return replica }, time.Minute, time.Millisecond,
		"the replica never came that far")
	r.replay(t, "pause")
	second := write("second")
	require.Greater(t, second, first)

	notes, replica := read(tenancy.TxOptions{})
	require.True(t, replica)
	require.Equal(t, 1, notes, "without a token a paused replica answers with what it has")
	for _, isolation := range []pgx.TxIsoLevel{"", pgx.ReadCommitted, pgx.RepeatableRead} {
		notes, replica = read(tenancy.TxOptions{After: second, Isolation: isolation})
		require.False(t, replica)
		require.Equal(t, 2, notes, "a token never reads less than it stands for")
		notes, replica = read(tenancy.TxOptions{After: first, Isolation: isolation})
		require.True(t, replica, "the older token is served by the replica")
		require.Equal(t, 1, notes)
	}
	_, replica = read(tenancy.TxOptions{Isolation: pgx.Serializable})
	require.False(t, replica, "a replica has no serializable units")
	r.replay(t, "resume")
	require.Eventually(t, func() bool { _, replica := read(tenancy.TxOptions{After: second}); return replica }, time.Minute, time.Millisecond)
	notes, _ = read(tenancy.TxOptions{After: second})
	require.Equal(t, 2, notes)
	require.NotZero(t, r.count.get("tenancy.replica_misses"))

	// Writes, events included, are refused on the replica and on the primary alike.
	for _, o := range []tenancy.TxOptions{{Replica: true}, {Replica: true, After: second + 1<<40}} {
		err := r.db.With(&o).Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { tx.Emit(noteAdded{"x"}); return nil })
		var answer *pgconn.PgError
		require.ErrorAs(t, err, &answer)
		require.Equal(t, "25006", answer.Code)
	}
	system, err := tenancy.One[bool](tenancy.System(t.Context(), "test"), r.db.With(&tenancy.TxOptions{Replica: true}), whereSQL)
	require.NoError(t, err)
	require.False(t, system, "the system role has no replica")
}

func TestReplicaCostsOneRoundTrip(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, 0)
	ctx := tenancy.WithID(t.Context(), "acme")
	primary := testenv.Proxy(t, addrOf(t, r.AppURL))
	db, err := tenancy.New(through(t, r.AppURL, primary.Addr), &tenancy.Options{Replicas: []*pgxpool.Pool{through(t, r.Replica.AppURL, r.proxy.Addr)}})
	require.NoError(t, err)
	var at tenancy.LSN
	write := func() error {
		return db.With(&tenancy.TxOptions{CommitLSN: &at}).Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
			tx.Defer(insertNote, "x")
			tx.Emit(noteAdded{"x"})
			return nil
		})
	}
	read := func() error {
		_, err := tenancy.All[note](ctx, db.With(&tenancy.TxOptions{Replica: true, After: at}), `select id, body from notes`)
		return err
	}
	for range 3 {
		require.NoError(t, write())
	}
	before := primary.RoundTrips()
	require.NoError(t, write())
	require.EqualValues(t, 1, primary.RoundTrips()-before, "the token costs no trip")

	require.Eventually(t, func() bool { // warm, and come far enough
		before := primary.RoundTrips()
		return read() == nil && primary.RoundTrips() == before
	}, time.Minute, time.Millisecond)
	onPrimary, onReplica := primary.RoundTrips(), r.proxy.RoundTrips()
	require.NoError(t, read())
	require.EqualValues(t, 1, r.proxy.RoundTrips()-onReplica)
	require.Zero(t, primary.RoundTrips()-onPrimary)
}

func TestDeadReplicaFallsBack(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, 0)
	ctx := tenancy.WithID(t.Context(), "acme")
	reader := r.db.With(&tenancy.TxOptions{Replica: true})
	where := func() bool {
		t.Helper()
		replica, err := tenancy.One[bool](ctx, reader, whereSQL)
		require.NoError(t, err)
		return replica
	}
	require.True(t, where())
	// In the middle of a unit, and of a single statement.
	runs := 0
	require.NoError(t, reader.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		runs++
		replica, err := tenancy.One[bool](ctx, tx, whereSQL)
		require.NoError(t, err)
		require.Equal(t, runs == 1, replica)
		if runs == 1 {
			r.proxy.Reset()
		}
		_, err = tenancy.One[bool](ctx, tx, whereSQL)
		return err
	}))
	require.Equal(t, 2, runs)
	require.True(t, where())
	r.proxy.Cut()
	for range 20 {
		require.False(t, where())
	}
	r.proxy.Restore()
	require.Eventually(t, where, time.Minute, 10*time.Millisecond, "a replica that is back is used again")
	require.NoError(t, r.Standby.Kill())
	// A backend may outlive its killed postmaster for a moment and answer rightly; no read fails in the meantime.
	require.Eventually(t, func() bool { return !where() }, time.Minute, 10*time.Millisecond, "the primary takes over")
	// The function's own error is nobody else's affair: it does not run again on the primary.
	runs = 0
	err := reader.Do(ctx, func(context.Context, *tenancy.Tx) error { runs++; return errRefused })
	require.ErrorIs(t, err, errRefused)
	require.Equal(t, 1, runs)
}

// TestReadYourWritesOnALateReplica writes and reads at once on a replica that is always late: with a token nothing is ever
// stale. The same reads without one are the planted fault: some must be.
func TestReadYourWritesOnALateReplica(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, 200*time.Millisecond)
	ctx := tenancy.WithID(t.Context(), "acme")
	stale, fresh, replicas := 0, 0, 0
	for i := range testenv.Rounds(30, 300) {
		var at tenancy.LSN
		body := fmt.Sprint("note ", i)
		require.NoError(t, r.db.With(&tenancy.TxOptions{CommitLSN: &at}).Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
			tx.Defer(insertNote, body)
			return nil
		}))
		if i%10 == 9 { // let it catch up, so that the replica serves some
			require.Eventually(t, func() bool {
				replica, err := tenancy.One[bool](ctx, r.db.With(&tenancy.TxOptions{Replica: true, After: at}), whereSQL)
				return err == nil && replica
			}, time.Minute, 5*time.Millisecond)
		}
		for _, after := range []tenancy.LSN{0, at} {
			var n int
			require.NoError(t, r.db.With(&tenancy.TxOptions{Replica: true, After: after}).Do(ctx, func(ctx context.Context, tx *tenancy.Tx) (err error) {
				var replica bool
				if replica, err = tenancy.One[bool](ctx, tx, whereSQL); err == nil {
					n, err = tenancy.One[int](ctx, tx, `select count(*)::int from notes where body = $1`, body)
				}
				if replica && after != 0 {
					replicas++
				}
				return err
			}))
			switch {
			case n == 1 && after != 0:
				fresh++
			case n == 0 && after != 0:
				t.Errorf("%s is not there", body)
			case n == 0:
				stale++
			}
		}
	}
	require.Equal(t, testenv.Rounds(30, 300), fresh)
	require.NotZero(t, stale, "the replica is never late, so this test proves nothing")
	require.NotZero(t, replicas, "the replica never serves, so this test proves nothing")
	t.Logf("%d fresh reads with a token (%d of them on the replica), %d stale ones without", fresh, replicas, stale)
}

func TestDemotedPrimaryIsLeft(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, 0)
	ctx := tenancy.WithID(t.Context(), "acme")
	// A name that leads to a server which has become a replica, until it is asked the second time.
	was, is := addrOf(t, r.Replica.AppURL), addrOf(t, r.AppURL)
	pool, dials := dialing(t, r.AppURL, was, is)
	db, err := tenancy.New(pool, nil)
	require.NoError(t, err)
	runs := 0
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		runs++
		_, err := tx.Exec(ctx, insertNote, "x")
		return err
	}))
	require.Equal(t, 2, runs)
	require.EqualValues(t, 2, dials.Load())
}
