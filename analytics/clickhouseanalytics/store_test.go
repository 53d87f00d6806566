package clickhouseanalytics_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/analyticstest"
	"github.com/ashlar-go/ashlar/analytics/clickhouseanalytics"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// newStore returns a migrated store in a database of its own.
func newStore(t *testing.T) (*clickhouseanalytics.Store, driver.Conn) {
	t.Helper()
	ch := testenv.ClickHouse(t)
	conn := ch.Conn()
	store, err := clickhouseanalytics.New(conn, nil)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	return store, conn
}

// open connects over HTTP.
func open(addr, database string) (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{
		Addr: []string{addr}, Protocol: clickhouse.HTTP, Auth: clickhouse.Auth{Database: database},
	})
}

func TestStoreConformance(t *testing.T) {
	t.Parallel()
	analyticstest.Run(t, func(t *testing.T) analytics.Store {
		store, _ := newStore(t)
		return store
	}, analyticstest.Features{})
}

type signUp struct {
	At   time.Time `event:",time"`
	N    int
	Plan string
}

var (
	signedUp = analytics.Define[signUp]("Signed Up")
	noon     = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	day      = analytics.Between(noon.Add(-12*time.Hour), noon.Add(12*time.Hour))
	quiet    = slog.New(slog.NewTextHandler(io.Discard, nil))
)

// unsure is a store whose first answers are lost after the insert took effect.
type unsure struct {
	analytics.Store
	lost atomic.Int32
}

func (u *unsure) Insert(ctx context.Context, b analytics.Batch) error {
	if err := u.Store.Insert(ctx, b); err != nil || u.lost.Add(-1) < 0 {
		return err
	}
	return errors.New("the answer was lost")
}

func TestRepeatsAreDroppedByToken(t *testing.T) {
	t.Parallel()
	inner, conn := newStore(t)
	require.NoError(t, conn.Exec(t.Context(), "SYSTEM STOP MERGES events"), "merges collapse repeats by id")
	store := &unsure{Store: inner}
	store.lost.Store(2)
	dir := t.TempDir()
	a, err := analytics.New(store, &analytics.Options{Dir: dir, BatchSize: 40, Logger: quiet})
	require.NoError(t, err)
	for i := range 100 {
		require.NoError(t, signedUp.Track(t.Context(), a, signUp{At: noon.AddDate(0, -i%3, 0), N: i}))
	}
	require.NoError(t, a.Flush(t.Context()))
	require.EqualValues(t, 2, a.Stats().Retried)
	all := analytics.Between(noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0))
	n, err := a.Value(t.Context(), signedUp.Count(), all, nil)
	require.NoError(t, err)
	require.EqualValues(t, 100, n.Value)
	sum, err := a.Value(t.Context(), signedUp.Sum("n"), all, nil)
	require.NoError(t, err)
	require.EqualValues(t, 99*100/2, sum.Value)
	require.NoError(t, a.Close())
}

func TestLateRepeatsCollapseByID(t *testing.T) {
	t.Parallel()
	store, conn := newStore(t)
	require.NoError(t, conn.Exec(t.Context(), "SYSTEM STOP MERGES events"))
	b := analytics.Batch{Records: []analytics.Record{
		{ID: "018e2f6a-0000-7000-8000-000000000001", Name: "x", Time: noon, Props: []byte(`{}`)},
		{ID: "018e2f6a-0000-7000-8000-000000000002", Name: "x", Time: noon, Props: []byte(`{}`)},
	}}
	for _, b.Token = range []string{"known", "known", "forgotten"} {
		require.NoError(t, store.Insert(t.Context(), b))
	}
	count := func() (n uint64) {
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count() FROM events").Scan(&n))
		return n
	}
	require.EqualValues(t, 4, count(), "counted until parts merge")
	require.NoError(t, conn.Exec(t.Context(), "SYSTEM START MERGES events"))
	require.NoError(t, conn.Exec(t.Context(), "OPTIMIZE TABLE events FINAL"))
	require.EqualValues(t, 2, count())
}

// The documentation says from where on numbers are estimates, and how good those of uniques are.
func TestEstimatesAreCloseAndSmallNumbersExact(t *testing.T) {
	t.Parallel()
	store, conn := newStore(t)
	a, err := analytics.New(store, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	stored := 0
	for _, n := range []int{4096, 8192, 1_000_000} {
		require.NoError(t, conn.Exec(t.Context(), fmt.Sprintf("INSERT INTO events (event, id, user_id, time, props) SELECT 'Signed Up', "+
			"generateUUIDv4(), 'user ' || toString(number), toDateTime64('2026-03-10 12:00:00', 3, 'UTC'), '{\"n\":' || toString(number) || '}' "+
			"FROM numbers(%d, %d)", stored, n-stored)))
		stored = n
		users, err := a.Value(t.Context(), signedUp.Users(), day, nil)
		require.NoError(t, err)
		median, err := a.Value(t.Context(), signedUp.Quantile("n", 0.5), day, nil)
		require.NoError(t, err)
		t.Logf("of %d: users %v, median %v", n, users.Value, median.Value)
		require.EqualValues(t, n, users.Events)
		if n <= 4096 {
			require.EqualValues(t, n, users.Value)
		}
		if n <= 8192 {
			require.EqualValues(t, float64(n-1)/2, median.Value)
		}
		require.InEpsilon(t, n, users.Value, 0.01)
		require.InEpsilon(t, float64(n)/2, median.Value, 0.1)
	}
}

func TestOutageOfTheNetworkLosesNothing(t *testing.T) {
	t.Parallel()
	ch := testenv.ClickHouse(t)
	proxy := testenv.Proxy(t, ch.Addr)
	conn, err := open(proxy.Addr, ch.Database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	store, err := clickhouseanalytics.New(conn, nil)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	a, err := analytics.New(store, &analytics.Options{Dir: t.TempDir(), BatchSize: 50, FlushInterval: 10 * time.Millisecond, Logger: quiet})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	for i := range 1000 {
		switch i {
		case 200, 600:
			proxy.Cut()
		case 400, 800:
			proxy.Restore()
		}
		require.NoError(t, signedUp.Track(t.Context(), a, signUp{At: noon, N: i}), "an outage is not the caller's problem")
	}
	require.NoError(t, a.Flush(t.Context()))
	cancel()
	require.NoError(t, <-done)
	sum, err := a.Value(t.Context(), signedUp.Sum("n"), day, nil)
	require.NoError(t, err)
	require.Equal(t, analytics.Point{Time: noon.Add(-12 * time.Hour), Value: 999 * 1000 / 2, Events: 1000}, sum)
	require.NoError(t, a.Close())

	proxy.Cut()
	_, err = store.Query(t.Context(), analytics.Query{Event: "Signed Up", Agg: analytics.AggCount, From: noon, To: noon.Add(1)})
	require.ErrorContains(t, err, "clickhouseanalytics: query")
}

func TestOnlyDataIsRejected(t *testing.T) {
	t.Parallel()
	store, conn := newStore(t)
	insert := func(id, props string) error {
		return store.Insert(t.Context(), analytics.Batch{Token: id + props, Records: []analytics.Record{
			{ID: id, Tenant: "a", Name: "x", Time: noon, Props: []byte(props)},
		}})
	}
	const id = "018e2f6a-0000-7000-8000-000000000001"
	require.NoError(t, insert(id, `{"a":1}`))
	require.NoError(t, store.Insert(t.Context(), analytics.Batch{Token: "empty"}))
	require.ErrorIs(t, insert("not a uuid", `{}`), analytics.ErrRejected)
	for _, props := range []string{`{"a":`, `{"a":1}}`, `nonsense`} {
		err := insert(id, props)
		require.ErrorIs(t, err, analytics.ErrRejected, props)
	}

	require.NoError(t, conn.Exec(t.Context(), "DROP TABLE events"))
	err := insert(id, `{}`)
	require.Error(t, err)
	require.NotErrorIs(t, err, analytics.ErrRejected, "an operator can mend a missing table")
	var ex *clickhouse.Exception
	require.ErrorAs(t, err, &ex)
	require.EqualValues(t, 60, ex.Code)
}

func TestPoisonInABatchCostsOneEvent(t *testing.T) {
	t.Parallel()
	inner, _ := newStore(t)
	a, err := analytics.New(poisoner{inner}, &analytics.Options{Dir: t.TempDir(), Logger: quiet})
	require.NoError(t, err)
	for i := range 100 {
		require.NoError(t, signedUp.Track(t.Context(), a, signUp{At: noon, N: i}))
	}
	require.NoError(t, a.Flush(t.Context()))
	require.EqualValues(t, 1, a.Stats().Dead)
	sum, err := a.Value(t.Context(), signedUp.Sum("n"), day, nil)
	require.NoError(t, err)
	require.EqualValues(t, 99*100/2-42, sum.Value)
	require.NoError(t, a.Close())
}

// poisoner makes one event of a batch unreadable for the server.
type poisoner struct{ analytics.Store }

func (p poisoner) Insert(ctx context.Context, b analytics.Batch) error {
	b.Records = slices.Clone(b.Records)
	for i, r := range b.Records {
		if strings.Contains(string(r.Props), `"n":42,`) {
			b.Records[i].Props = []byte(`{"n":42`)
		}
	}
	return p.Store.Insert(ctx, b)
}

func TestMigrateRepeatsAndRaces(t *testing.T) {
	t.Parallel()
	ch := testenv.ClickHouse(t)
	var wg sync.WaitGroup
	for range 4 {
		store, err := clickhouseanalytics.New(ch.Conn(), &clickhouseanalytics.Options{Table: "web"})
		require.NoError(t, err)
		wg.Go(func() {
			for range 3 {
				if err := store.Migrate(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	conn := ch.Conn()
	var ddl string
	require.NoError(t, conn.QueryRow(t.Context(), "SHOW CREATE TABLE web").Scan(&ddl))
	for _, part := range []string{
		"ReplacingMergeTree", "non_replicated_deduplication_window = 10000", "toYYYYMM(time)",
		"(tenant, event, toDate(time), cityHash64(user_id), id)",
	} {
		require.Contains(t, ddl, part)
	}
}

func TestNewNeedsAConnection(t *testing.T) {
	t.Parallel()
	_, err := clickhouseanalytics.New(nil, nil)
	require.ErrorContains(t, err, "connection")
}

// TestOrphanedTokenLosesNothing plants what a server killed between writing a token down and putting the part in place
// leaves behind: a token that it remembers, for rows that it does not have.
func TestOrphanedTokenLosesNothing(t *testing.T) {
	t.Parallel()
	store, conn := newStore(t)
	var batch analytics.Batch
	batch.Token = "orphan"
	for i := range 6 {
		// Two months: one of them is orphaned twice, the other not at all.
		batch.Records = append(batch.Records, analytics.Record{
			ID: fmt.Sprintf("018f0000-0000-7000-8000-%012d", i), Tenant: "acme", Name: "Signed Up",
			Time: noon.AddDate(0, i%2, 0), Props: []byte(`{"n":1}`),
		})
	}
	other := analytics.Batch{Token: "orphan", Records: []analytics.Record{{
		ID: "018f0000-0000-7000-8000-999999999999", Tenant: "other", Name: "Signed Up", Time: noon, Props: []byte(`{}`),
	}}}
	require.NoError(t, store.Insert(t.Context(), other))
	other.Token, other.Records[0].ID = "orphan+", "018f0000-0000-7000-8000-999999999998"
	require.NoError(t, store.Insert(t.Context(), other))

	for range 3 { // repeats change nothing
		require.NoError(t, store.Insert(t.Context(), batch))
		var rows, ids uint64
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(), uniqExact(id) FROM events WHERE tenant = 'acme'`).Scan(&rows, &ids))
		require.EqualValues(t, 6, ids, "an event was lost")
		require.EqualValues(t, 6, rows, "an event was stored twice")
	}
}
