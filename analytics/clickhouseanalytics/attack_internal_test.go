package clickhouseanalytics

import (
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// open returns a store with events of two tenants: three of acme, five of evil's rival.
func open(t *testing.T, opts *Options) *Store {
	t.Helper()
	ch := testenv.ClickHouse(t)
	auth := clickhouse.Auth{Database: ch.Database}
	if opts != nil && opts.Database == "own" {
		opts.Database, auth.Database = ch.Database, ""
	}
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{ch.Addr}, Protocol: clickhouse.HTTP, Auth: auth})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	s, err := New(conn, opts)
	require.NoError(t, err)
	require.NoError(t, s.Migrate(t.Context()))
	for tenant, n := range map[string]int{"acme": 3, "it's \\ rival": 5} {
		b := analytics.Batch{Token: "t" + tenant}
		for i := range n {
			b.Records = append(b.Records, analytics.Record{
				ID: fmt.Sprintf("018e2f6a-0000-7000-8000-%012x", i), Tenant: tenant, Name: "Sold", User: "u", Time: noon,
				Props: []byte(`{"plan":"` + tenant[:4] + `","n":1}`),
			})
		}
		require.NoError(t, s.Insert(t.Context(), b))
	}
	return s
}

func sold(tenant string) analytics.Query {
	return analytics.Query{Tenant: tenant, Event: "Sold", Agg: analytics.AggCount, From: noon, To: noon.Add(time.Hour)}
}

// TestWallHoldsWithoutThePredicate plants the worst fault, a query text without its tenant condition.
func TestWallHoldsWithoutThePredicate(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*Options{"default": nil, "qualified": {Database: "own", Table: "Web_Events"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, opts)
			q := sold("acme")
			q.By, q.Limit = analytics.Field{Name: "plan", Kind: reflect.String}, 10
			st, err := s.statement(q)
			require.NoError(t, err)
			faulty := strings.ReplaceAll(st.text, "tenant = {p0:String}", "{p0:String} != ''")
			require.Equal(t, 2, strings.Count(faulty, "{p0:String} != ''"))
			count := func(tenant, text string) (n uint64) {
				require.NoError(t, s.conn.QueryRow(s.walled(t.Context(), tenant), "SELECT toUInt64(ifNull(sum(n), 0)) FROM ("+text+")", st.args...).Scan(&n))
				return n
			}
			require.EqualValues(t, 3, count("acme", faulty))
			require.EqualValues(t, 5, count("it's \\ rival", faulty))
			require.EqualValues(t, 0, count("' OR 1=1 --", faulty))
			require.EqualValues(t, 0, count("", faulty))

			// Without the wall the fault shows: the test can fail.
			var n uint64
			require.NoError(t, s.conn.QueryRow(t.Context(), "SELECT toUInt64(sum(n)) FROM ("+faulty+")", st.args...).Scan(&n))
			require.EqualValues(t, 8, n)
		})
	}
}

func TestWallCannotBeTakenDownByAQuery(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	ctx := s.walled(t.Context(), "acme")
	for _, text := range []string{
		"SELECT count() FROM events SETTINGS additional_table_filters = {}",
		"SELECT count() FROM events SETTINGS readonly = 0",
		"INSERT INTO events (tenant) SELECT 'acme'",
		"DROP TABLE events",
		"SELECT count() FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
	} {
		require.Error(t, s.conn.Exec(ctx, text), text)
	}
	for _, text := range []string{
		"SELECT count() FROM events",
		"SELECT count() FROM events AS e",
		"SELECT count() FROM events FINAL",
		"SELECT count() FROM (SELECT * FROM events)",
		"WITH c AS (SELECT * FROM events) SELECT count() FROM c",
		"SELECT countIf(a.tenant != 'acme') + 3 FROM (SELECT 1 AS one) AS o CROSS JOIN events AS a",
		"SELECT count() FROM (SELECT tenant FROM events UNION DISTINCT SELECT tenant FROM events) ARRAY JOIN [1, 2, 3] AS x",
	} {
		var n uint64
		require.NoError(t, s.conn.QueryRow(ctx, text).Scan(&n), text)
		require.EqualValues(t, 3, n, text)
	}
}

func TestNamesNeverBecomeSQL(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	for _, name := range []string{"", "a b", "a`b", "a.b", "a) OR (1", "x\x00", strings.Repeat("x", 65)} {
		for _, change := range []func(*analytics.Query){
			func(q *analytics.Query) {
				q.Agg, q.Field = analytics.AggSum, analytics.Field{Name: name, Kind: reflect.Int64}
			},
			func(q *analytics.Query) {
				q.Where = []analytics.Filter{{Field: analytics.Field{Name: name, Kind: reflect.String}, Value: "x"}}
			},
		} {
			q := sold("acme")
			change(&q)
			_, err := s.Query(t.Context(), q)
			require.ErrorIs(t, err, analytics.ErrInvalid, name)
		}
		if name != "" {
			q := sold("acme")
			q.By, q.Limit = analytics.Field{Name: name, Kind: reflect.String}, 1
			_, err := s.Query(t.Context(), q)
			require.ErrorIs(t, err, analytics.ErrInvalid, name)
			_, err = New(s.conn, &Options{Table: name})
			require.ErrorContains(t, err, "Options.Table")
			_, err = New(s.conn, &Options{Database: name})
			require.ErrorContains(t, err, "Options.Database")
		}
	}
	q := sold("acme")
	q.Agg = "sum(1) --"
	q.Field = analytics.Field{Name: "n", Kind: reflect.Int64}
	_, err := s.Query(t.Context(), q)
	require.ErrorIs(t, err, analytics.ErrInvalid)
	q = sold("acme")
	q.Where = []analytics.Filter{{Field: analytics.Field{Name: "n", Kind: reflect.Int64}, Value: []string{"x"}}}
	_, err = s.Query(t.Context(), q)
	require.ErrorIs(t, err, analytics.ErrInvalid)
}

func TestLongSeriesKeepTheURLShort(t *testing.T) {
	t.Parallel()
	q := sold("acme")
	for i := range 5000 {
		q.Buckets = append(q.Buckets, noon.Add(time.Duration(i)*time.Minute))
	}
	st, err := (&Store{events: "events"}).statement(q)
	require.NoError(t, err)
	require.Less(t, len(fmt.Sprint(st.args...)), 500)
}

func TestMigrationsAreNumberedWithoutGaps(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(files, "sql/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for i, name := range names {
		require.True(t, strings.HasPrefix(name, fmt.Sprintf("sql/%04d_", i+1)), name)
	}
}

func TestQueriesReadTheTenantsRowsOnly(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	var b strings.Builder
	for i := range 4 { // parts large enough that reading all of them would show
		b.Reset()
		fmt.Fprintf(&b, "INSERT INTO events (tenant, event, id, user_id, time, props) SELECT 'tenant' || toString(number %% 50), 'Sold', "+
			"generateUUIDv4(), toString(number), toDateTime64('2026-03-10 12:00:00', 3, 'UTC') + %d, '{}' FROM numbers(100000)", i)
		require.NoError(t, s.conn.Exec(t.Context(), b.String()))
	}
	st, err := s.statement(sold("acme"))
	require.NoError(t, err)
	rows, err := s.conn.Query(s.walled(t.Context(), "acme"), "EXPLAIN ESTIMATE "+st.text, st.args...)
	require.NoError(t, err)
	defer rows.Close()
	var total uint64
	for rows.Next() {
		var database, table string
		var parts, n, marks uint64
		require.NoError(t, rows.Scan(&database, &table, &parts, &n, &marks))
		total += n
	}
	require.NoError(t, rows.Err())
	require.Positive(t, total)
	require.Less(t, total, uint64(100_000), "the primary key narrows a query to its tenant")
}
