package devclickhouse_test

import (
	"context"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
)

func compressions() map[string]clickhouse.CompressionMethod {
	return map[string]clickhouse.CompressionMethod{
		"none": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD,
		"gzip": clickhouse.CompressionGZIP, "deflate": clickhouse.CompressionDeflate,
	}
}

func withCompression(m clickhouse.CompressionMethod) func(*clickhouse.Options) {
	return func(o *clickhouse.Options) {
		o.Compression = &clickhouse.Compression{Method: m, Level: 3}
		if m == clickhouse.CompressionGZIP {
			o.Settings = clickhouse.Settings{"enable_http_compression": 1}
		}
	}
}

// row has one field per kind of column.
type row struct {
	ID      uint64             `ch:"id"`
	Small   int8               `ch:"small"`
	Huge    *big.Int           `ch:"huge"`
	Ratio   float64            `ch:"ratio"`
	Flag    bool               `ch:"flag"`
	Text    string             `ch:"text"`
	Fixed   string             `ch:"fixed"`
	Kind    string             `ch:"kind"`
	Plan    string             `ch:"plan"`
	Price   decimal.Decimal    `ch:"price"`
	Key     uuid.UUID          `ch:"key"`
	Day     time.Time          `ch:"day"`
	At      time.Time          `ch:"at"`
	Exact   time.Time          `ch:"exact"`
	Maybe   *string            `ch:"maybe"`
	Tags    []string           `ch:"tags"`
	Counts  map[string]uint32  `ch:"counts"`
	Pair    []any              `ch:"pair"`
	Address net.IP             `ch:"address"`
	Nested  [][]int64          `ch:"nested"`
	Labels  map[string]*string `ch:"labels"`
}

const rowTable = `CREATE TABLE kinds (
	id UInt64, small Int8, huge Int256, ratio Float64, flag Bool, text String, fixed FixedString(4),
	kind Enum8('free' = 1, 'paid' = 2), plan LowCardinality(String), price Decimal(18, 4), key UUID,
	day Date32, at DateTime('Europe/Berlin'), exact DateTime64(6, 'UTC'), maybe Nullable(String),
	tags Array(LowCardinality(String)), counts Map(LowCardinality(String), UInt32), pair Tuple(String, Int32),
	address IPv6, nested Array(Array(Int64)), labels Map(String, Nullable(String))
) ENGINE = MergeTree ORDER BY id`

func sample(id uint64) row {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	text := "a'b\\c\n\x00 ü " + strings.Repeat("x", int(id%7))
	r := row{
		ID: id, Small: int8(id) - 64, Huge: new(big.Int).Lsh(big.NewInt(-int64(id)-1), 200), Ratio: float64(id) / 3, Flag: id%2 == 0,
		Text: text, Fixed: "abcd", Kind: []string{"free", "paid"}[id%2], Plan: "pro", Price: decimal.New(int64(id)*12345, -4),
		Key: uuid.NewSHA1(uuid.Nil, []byte{byte(id)}), Day: time.Date(2031, 2, 3, 0, 0, 0, 0, time.UTC),
		At: time.Date(2026, 7, 1, 12, 0, int(id%60), 0, berlin), Exact: time.Date(2026, 7, 1, 12, 0, 0, int(id)*1000, time.UTC),
		Tags: []string{"x", "y"}, Counts: map[string]uint32{"a": 1, "b": uint32(id)}, Pair: []any{"p", int32(id)},
		Address: net.ParseIP("2001:db8::1"), Nested: [][]int64{{1}, {}, {2, int64(id)}}, Labels: map[string]*string{"n": nil},
	}
	if id%2 == 1 {
		r.Maybe, r.Labels["t"] = &text, &text
	}
	return r
}

func TestColumnTypesSurviveTheRoundTrip(t *testing.T) {
	t.Parallel()
	for name, method := range compressions() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, withCompression(method))
			require.NoError(t, c.Exec(t.Context(), rowTable))
			batch, err := c.PrepareBatch(t.Context(), "INSERT INTO kinds")
			require.NoError(t, err)
			const rows = 100
			for id := range uint64(rows) {
				r := sample(id)
				require.NoError(t, batch.AppendStruct(&r))
			}
			require.NoError(t, batch.Send())
			var got []row
			require.NoError(t, c.Select(t.Context(), &got, "SELECT * FROM kinds ORDER BY id"))
			require.Len(t, got, rows)
			for i, g := range got {
				w := sample(uint64(i))
				// Compared as an instant: over HTTP the client does not get
				// the column's zone.
				require.True(t, w.At.Equal(g.At), "%v %v", w.At, g.At)
				require.True(t, w.Price.Equal(g.Price), "%v %v", w.Price, g.Price)
				w.At, g.At, w.Price, g.Price = time.Time{}, time.Time{}, decimal.Zero, decimal.Zero
				require.Equal(t, w, g)
			}
		})
	}
}

func TestJSONColumn(t *testing.T) {
	t.Parallel()
	c := open(t, nil)
	require.NoError(t, c.Exec(t.Context(), "CREATE TABLE events (props JSON(plan String)) ENGINE = MergeTree ORDER BY tuple()"))
	require.NoError(t, c.Exec(t.Context(), `INSERT INTO events FORMAT JSONEachRow {"props":{"plan":"pro","seats":3}}`))
	batch, err := c.PrepareBatch(t.Context(), "INSERT INTO events")
	require.NoError(t, err)
	require.NoError(t, batch.Append(`{"plan":"free","seats":1}`))
	require.NoError(t, batch.Send())
	var seats []int64
	rows, err := c.Query(t.Context(), "SELECT props.seats.:Int64 FROM events ORDER BY props.plan DESC")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var n *int64
		require.NoError(t, rows.Scan(&n))
		seats = append(seats, *n)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, []int64{3, 1}, seats)
}

func TestParametersAndSettings(t *testing.T) {
	t.Parallel()
	c := open(t, nil)
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_threads": 3, "output_format_json_quote_64bit_integers": true}),
		clickhouse.WithParameters(clickhouse.Parameters{"text": `it's \ "quoted"`, "list": "['a','b']", "empty": ""}))
	var text, empty, threads string
	var list []string
	require.NoError(t, c.QueryRow(ctx, "SELECT {text:String}, {list:Array(String)}, {empty:String}, toString(getSetting('max_threads'))").Scan(&text, &list, &empty, &threads))
	require.Equal(t, []any{`it's \ "quoted"`, []string{"a", "b"}, "", "3"}, []any{text, list, empty, threads})

	var bound string
	require.NoError(t, c.QueryRow(t.Context(), "SELECT concat({a:String}, toString({b:UInt8}))", clickhouse.Named("a", "tab\there"), clickhouse.Named("b", 7)).Scan(&bound))
	require.Equal(t, "tab\there7", bound)

	require.NoError(t, c.Exec(ctx, "CREATE TABLE p (s String, n UInt64) ENGINE = Memory"))
	require.NoError(t, c.Exec(ctx, "INSERT INTO p VALUES ({text:String}, 1 + 1), ('b', length({list:Array(String)}))"))
	var n uint64
	require.NoError(t, c.QueryRow(ctx, "SELECT sum(n) FROM p WHERE s = {text:String} OR s = 'b'").Scan(&n))
	require.EqualValues(t, 4, n)

	err := c.Exec(clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"no_such_setting": 1})), "SELECT 1")
	requireCode(t, err, 115)
	err = c.Exec(clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"readonly": 1})), "DROP TABLE p")
	requireCode(t, err, 164)
}

func requireCode(t testing.TB, err error, code int32) {
	t.Helper()
	var e *clickhouse.Exception
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, "%v", e)
}

func TestErrorsAreClickHouses(t *testing.T) {
	t.Parallel()
	c := open(t, nil)
	requireCode(t, c.Exec(t.Context(), "SELECT * FROM nowhere"), 60)
	requireCode(t, c.Exec(t.Context(), "SELEC 1"), 62)
	requireCode(t, c.Exec(t.Context(), "SELECT 1; SELECT 2"), 62)
	requireCode(t, c.Exec(t.Context(), "INSERT INTO nowhere FORMAT JSONEachRow {}"), 60)
	requireCode(t, c.Exec(t.Context(), "SELECT {x:UInt8}"), 456)
	requireCode(t, c.Exec(t.Context(), "SELECT throwIf(number = 1) FROM numbers(2)"), 395)
	requireCode(t, connect(t, server(t).addr, "no_such_database", nil).Ping(t.Context()), 81)
}

func TestTokenMakesARetriedInsertOne(t *testing.T) {
	t.Parallel()
	c := open(t, nil)
	require.NoError(t, c.Exec(t.Context(), "CREATE TABLE d (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100"))
	send := func(token string, first uint64) {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": token, "async_insert": 0}))
		batch, err := c.PrepareBatch(ctx, "INSERT INTO d")
		require.NoError(t, err)
		for n := range uint64(1000) {
			require.NoError(t, batch.Append(first+n))
		}
		require.NoError(t, batch.Send())
	}
	var n uint64
	for _, step := range []struct {
		token string
		first uint64
		want  uint64
	}{{"a", 0, 1000}, {"a", 0, 1000}, {"a", 5000, 1000}, {"b", 5000, 2000}} {
		send(step.token, step.first)
		require.NoError(t, c.QueryRow(t.Context(), "SELECT count() FROM d").Scan(&n))
		require.Equal(t, step.want, n)
	}
}

func TestErrorInTheMiddleOfAResult(t *testing.T) {
	t.Parallel()
	const sql = "SELECT number, throwIf(number = 190000) FROM numbers(200000) SETTINGS max_block_size = 1000, max_threads = 1"
	for name, method := range compressions() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, withCompression(method))
			rows, err := c.Query(t.Context(), sql)
			require.NoError(t, err)
			defer rows.Close()
			seen := 0
			for rows.Next() {
				seen++
			}
			require.LessOrEqual(t, seen, 190000)
			require.NotZero(t, seen, "the result was not streamed")
			requireCode(t, rows.Err(), 395)
		})
	}
	t.Run("QueryFormat", func(t *testing.T) {
		t.Parallel()
		c := open(t, nil)
		r, err := c.QueryFormat(t.Context(), "CSV", sql)
		require.NoError(t, err)
		defer r.Close()
		body, err := io.ReadAll(r)
		requireCode(t, err, 395)
		require.True(t, strings.HasPrefix(string(body), "0,0\n1,0\n"), "%.40q", body)
		require.NotContains(t, string(body), "exception")
	})
}

func TestResultIsStreamed(t *testing.T) {
	t.Parallel()
	for name, method := range compressions() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, withCompression(method))
			rows, err := c.Query(t.Context(), "SELECT number, toString(number), repeat('y', 20) FROM numbers(200000) SETTINGS max_block_size = 10000")
			require.NoError(t, err)
			defer rows.Close()
			var n, sum uint64
			var a, b string
			for rows.Next() {
				require.NoError(t, rows.Scan(&n, &a, &b))
				sum += n
			}
			require.NoError(t, rows.Err())
			require.EqualValues(t, 19999900000, sum)
		})
	}
	// Ten blocks of 0.2 s each: the first arrives long before the last.
	c := open(t, nil)
	rows, err := c.Query(t.Context(), "SELECT sleepEachRow(0.2) FROM numbers(10) SETTINGS max_block_size = 1, max_threads = 1")
	require.NoError(t, err)
	defer rows.Close()
	require.True(t, rows.Next())
	first := time.Now()
	for rows.Next() {
	}
	require.NoError(t, rows.Err())
	require.Greater(t, time.Since(first), time.Second, "the first row arrived with the last")
}

func TestLeavingClientEndsItsQuery(t *testing.T) {
	t.Parallel()
	c := open(t, nil)
	require.NoError(t, c.Exec(t.Context(), "CREATE TABLE sink (n UInt64) ENGINE = MergeTree ORDER BY n"))
	for name, sql := range map[string]string{
		"select":        "SELECT count() FROM numbers(1e15) WHERE NOT ignore(sipHash64(number)) AND 'left-select' != ''",
		"insert select": "INSERT INTO sink SELECT number FROM numbers(1e15) WHERE NOT ignore(sipHash64(number)) AND number > 1e14 AND 'left-insert' != ''",
		"streamed":      "SELECT sleepEachRow(0.01), 'left-stream' FROM numbers(1e9) SETTINGS max_block_size = 10",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.Exec(ctx, sql) }()
			running := func() bool {
				var n uint64
				require.NoError(t, c.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE startsWith(query, {q:String})",
					clickhouse.Named("q", sql)).Scan(&n))
				return n > 0
			}
			require.Eventually(t, running, time.Minute, 10*time.Millisecond)
			cancel()
			if err := <-ended; name != "streamed" { // the client drops errors behind the headers
				require.ErrorIs(t, err, context.Canceled)
			}
			require.Eventually(t, func() bool { return !running() }, time.Minute, 20*time.Millisecond, "the query runs on without its client")
		})
	}
}

func TestExternalTable(t *testing.T) {
	t.Parallel()
	c := open(t, nil)
	table, err := ext.NewTable("wanted", ext.Column("n", "UInt64"), ext.Column("s", "String"))
	require.NoError(t, err)
	for n := range uint64(10) {
		require.NoError(t, table.Append(n, "v"))
	}
	var sum uint64
	require.NoError(t, c.QueryRow(clickhouse.Context(t.Context(), clickhouse.WithExternalTable(table)), "SELECT sum(n) FROM wanted WHERE s = 'v'").Scan(&sum))
	require.EqualValues(t, 45, sum)
}

func TestInsertFormat(t *testing.T) {
	t.Parallel()
	c := open(t, nil)
	require.NoError(t, c.Exec(t.Context(), "CREATE TABLE f (n UInt64, s String) ENGINE = MergeTree ORDER BY n"))
	require.NoError(t, c.InsertFormat(t.Context(), "JSONEachRow", "INSERT INTO f", strings.NewReader("{\"n\":1,\"s\":\"a\"}\n{\"n\":2,\"s\":\"b\"}\n")))
	require.NoError(t, c.InsertFormat(t.Context(), "CSV", "INSERT INTO f", strings.NewReader("3,c\n")))
	r, err := c.QueryFormat(t.Context(), "TSV", "SELECT * FROM f ORDER BY n")
	require.NoError(t, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "1\ta\n2\tb\n3\tc\n", string(b))
	requireCode(t, c.InsertFormat(t.Context(), "CSV", "INSERT INTO f", strings.NewReader("x,c\n")), 27)
}
