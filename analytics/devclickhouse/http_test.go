package devclickhouse_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics/devclickhouse"
)

func TestHTTPBasics(t *testing.T) {
	t.Parallel()
	addr := server(t).addr
	for _, path := range []string{"/ping", "/"} {
		res, err := http.Get("http://" + addr + path)
		require.NoError(t, err)
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		require.NoError(t, err)
		require.Equal(t, "Ok.\n", string(b))
	}
	res, body := call(t, addr, "query_id=my-id&"+query("SELECT 1 AS one, 'a'"), "")
	require.Equal(t, "1\ta\n", body)
	require.Equal(t, "my-id", res.Header.Get("X-ClickHouse-Query-Id"))
	require.Equal(t, "text/tab-separated-values; charset=UTF-8", res.Header.Get("Content-Type"))

	res, body = call(t, addr, "", "SELECT * FROM nowhere_at_all")
	require.Equal(t, 404, res.StatusCode)
	require.Equal(t, "60", res.Header.Get("X-ClickHouse-Exception-Code"))
	require.True(t, strings.HasPrefix(body, "Code: 60. DB::Exception: "), "%s", body)

	require.Equal(t, "7\n", post(t, addr, query("SELECT 3 +"), "4"), "a query in two places")
	require.Equal(t, "[\"b'\"]\n", post(t, addr, "param_x=b'&"+query("SELECT {x:String} FORMAT JSONCompactEachRow"), ""))

	req, err := http.NewRequest(http.MethodPut, "http://"+addr+"/", nil)
	require.NoError(t, err)
	res, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, 405, res.StatusCode)
}

func TestFormatsThatHaveAFrameComeInOnePiece(t *testing.T) {
	t.Parallel()
	addr := server(t).addr
	const sql = "SELECT number AS n FROM numbers(5000) SETTINGS max_block_size = 100 "
	var doc struct {
		Rows int
		Data []struct{ N any }
	}
	require.NoError(t, json.Unmarshal([]byte(post(t, addr, "", sql+"FORMAT JSON")), &doc))
	require.Equal(t, 5000, doc.Rows)
	require.Len(t, doc.Data, 5000)
	require.NoError(t, json.Unmarshal([]byte(post(t, addr, "default_format=JSON", sql)), &doc))
	require.Equal(t, 1, strings.Count(post(t, addr, "", sql+"FORMAT CSVWithNames"), `"n"`))
	require.Equal(t, 5000, strings.Count(post(t, addr, "", sql+"FORMAT CSV"), "\n"))
	require.Equal(t, 4999, strings.Count(post(t, addr, "", sql+"FORMAT Values"), "),("))
}

func TestInsertsInEveryShape(t *testing.T) {
	t.Parallel()
	addr := server(t).addr
	post(t, addr, "", "CREATE TABLE default.shapes (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
	t.Cleanup(func() { post(t, addr, "", "DROP TABLE default.shapes") })
	res, body := call(t, addr, query("INSERT INTO default.shapes FORMAT JSONEachRow"), `{"a":1,"s":"x"}`)
	require.Equal(t, 200, res.StatusCode, body)
	var summary map[string]string
	require.NoError(t, json.Unmarshal([]byte(res.Header.Get("X-ClickHouse-Summary")), &summary))
	require.Equal(t, "1", summary["written_rows"])
	for _, in := range []struct{ params, body string }{
		{"", "INSERT INTO default.shapes VALUES (2, 'FORMAT')"},
		{"", "insert into default.shapes (s, a) values ('SELECT', 1 + 2), (concat('a', 'b'), 4);"},
		{"", "INSERT INTO `default`.\"shapes\" (a) -- FORMAT CSV\nFORMAT TSV\n5\n6\n"},
		{query("INSERT INTO default.shapes"), "SELECT 7, 'format'"},
		{query("INSERT INTO TABLE default.shapes SETTINGS async_insert = 1 FORMAT CSV"), "8,\"q\"\n"},
		{"database=default", "INSERT INTO shapes /* c */ SELECT number, '' FROM numbers(9, 1)"},
	} {
		require.Empty(t, post(t, addr, in.params, in.body))
	}
	// Larger than what is read to find out that it is an INSERT.
	var big strings.Builder
	big.WriteString("INSERT INTO default.shapes FORMAT TSV\n")
	for n := range 200_000 {
		fmt.Fprintf(&big, "%d\tbig\n", 1000+n)
	}
	require.Greater(t, big.Len(), 1<<20)
	require.Empty(t, post(t, addr, "", big.String()))
	require.Equal(t, "9\t45\n", post(t, addr, "", "SELECT count(), sum(a) FROM default.shapes WHERE s != 'big'"))
	require.Equal(t, "200000\n", post(t, addr, "", "SELECT uniqExact(a) FROM default.shapes WHERE s = 'big'"))
}

func TestGetOnlyReads(t *testing.T) {
	t.Parallel()
	addr := server(t).addr
	res, err := http.Get("http://" + addr + "/?" + query("CREATE TABLE default.never (a UInt8) ENGINE = Memory"))
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, "164", res.Header.Get("X-ClickHouse-Exception-Code"))
	res, err = http.Get("http://" + addr + "/?max_threads=2&" + query("SELECT getSetting('max_threads')"))
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "2\n", string(b))
}

func TestSessions(t *testing.T) {
	t.Parallel()
	addr := server(t).addr
	post(t, addr, "session_id=s1", "CREATE TEMPORARY TABLE tmp (a UInt8)")
	post(t, addr, "session_id=s1", "INSERT INTO tmp VALUES (5)")
	require.Equal(t, "5\n", post(t, addr, "session_id=s1&session_check=1", "SELECT a FROM tmp"))
	for params, code := range map[string]string{"session_id=s2": "60", "": "60", "session_id=s3&session_check=1": "372", "session_id=s1&session_timeout=0": "36"} {
		res, body := call(t, addr, params, "SELECT a FROM tmp")
		require.Equal(t, code, res.Header.Get("X-ClickHouse-Exception-Code"), "%s %s", params, body)
	}
	// While a session works it is locked.
	busy, err := http.Post("http://"+addr+"/?session_id=s1&"+query("SELECT sleepEachRow(0.1) FROM numbers(600) SETTINGS max_block_size = 1"), "", nil)
	require.NoError(t, err)
	res, _ := call(t, addr, "session_id=s1", "SELECT 1")
	require.Equal(t, "373", res.Header.Get("X-ClickHouse-Exception-Code"))
	busy.Body.Close() // ends the query
	require.Eventually(t, func() bool {
		res, _ := call(t, addr, "session_id=s1", "SELECT 1")
		return res.StatusCode == 200
	}, time.Minute, 20*time.Millisecond)
	// A session that is not used ends.
	post(t, addr, "session_id=s1", "DROP TABLE tmp") // the tests can be run twice
	post(t, addr, "session_id=short&session_timeout=1", "SELECT 1")
	require.Eventually(t, func() bool {
		res, _ := call(t, addr, "session_id=short&session_check=1&session_timeout=1", "SELECT 1")
		return res.StatusCode == 404
	}, time.Minute, 1500*time.Millisecond)
}

func TestWholeAnswerOnRequest(t *testing.T) {
	t.Parallel()
	addr := server(t).addr
	const sql = "SELECT throwIf(number = 190000) FROM numbers(200000) SETTINGS max_block_size = 1000, max_threads = 1"
	res, body := call(t, addr, "wait_end_of_query=1", sql)
	require.Equal(t, 500, res.StatusCode, "%.100s", body)
	require.True(t, strings.HasPrefix(body, "Code: 395."), "%.100s", body)
	res, body = call(t, addr, "", sql)
	require.Equal(t, 200, res.StatusCode)
	tag := res.Header.Get("X-ClickHouse-Exception-Tag")
	require.Len(t, tag, 16)
	require.Contains(t, body, "\r\n__exception__\r\n"+tag+"\r\nCode: 395.")
	require.True(t, strings.HasSuffix(body, " "+tag+"\r\n__exception__\r\n"), "%q", body[max(0, len(body)-200):])
	require.Equal(t, 1000, strings.Count(post(t, addr, "wait_end_of_query=1", "SELECT number FROM numbers(1000)"), "\n"))
}

func TestCompressedAnswer(t *testing.T) {
	t.Parallel()
	req, err := http.NewRequest(http.MethodPost, "http://"+server(t).addr+"/?enable_http_compression=1", strings.NewReader("SELECT number FROM numbers(1000)"))
	require.NoError(t, err)
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
	z, err := gzip.NewReader(res.Body)
	require.NoError(t, err)
	b, err := io.ReadAll(z)
	require.NoError(t, err)
	require.Equal(t, 1000, strings.Count(string(b), "\n"))
}

// TestBrokenInsertLeavesNothing sends part of an INSERT and goes away.
func TestBrokenInsertLeavesNothing(t *testing.T) {
	t.Parallel()
	addr := server(t).addr
	post(t, addr, "", "CREATE TABLE default.broken (a UInt64) ENGINE = MergeTree ORDER BY a")
	t.Cleanup(func() { post(t, addr, "", "DROP TABLE default.broken") })
	rows := strings.Repeat("12345\n", 1000)
	for _, end := range []string{"cut", "bad chunk"} {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		fmt.Fprintf(c, "POST /?%s HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", query("INSERT INTO default.broken FORMAT TSV"), len(rows), rows)
		if end == "bad chunk" {
			fmt.Fprint(c, "zz\r\n")
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			require.Equal(t, "210", res.Header.Get("X-ClickHouse-Exception-Code"))
		}
		require.NoError(t, c.Close())
	}
	// The same rows, cut inside a compressed frame.
	frame := "0123456789abcdef\x82\x40\x00\x00\x00\x40\x00\x00\x00only a part"
	res, _ := call(t, addr, "decompress=1&"+query("INSERT INTO default.broken FORMAT TSV"), frame)
	require.Equal(t, "210", res.Header.Get("X-ClickHouse-Exception-Code"))
	running := func() bool {
		return post(t, addr, "", "SELECT count() FROM system.processes WHERE startsWith(query, 'INSERT INTO default.broken')") != "0\n"
	}
	require.Eventually(t, func() bool { return !running() }, time.Minute, 20*time.Millisecond)
	require.Equal(t, "0\n", post(t, addr, "", "SELECT count() FROM default.broken"))
}

func TestOnlyLocalClientsAreServed(t *testing.T) {
	t.Parallel()
	addr := server(t).addr
	for _, in := range []struct {
		host, origin string
		want         int
	}{
		{"localhost:1", "", 200},
		{"[::1]:1", "", 200},
		{"127.0.0.1", "http://localhost:3000", 200},
		{"db.example.com", "", 403},
		{"127.0.0.1.example.com", "", 403},
		{"localhost", "https://example.com", 403},
		{"localhost", "null", 403},
	} {
		req, err := http.NewRequest(http.MethodPost, "http://"+addr+"/", strings.NewReader("SELECT 1"))
		require.NoError(t, err)
		req.Host = in.host
		if in.origin != "" {
			req.Header.Set("Origin", in.origin)
		}
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, in.want, res.StatusCode, "%+v", in)
	}
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:8123", "db.example.com:80", "nonsense"} {
		_, err := devclickhouse.New(t.Context(), &devclickhouse.Options{Addr: addr})
		require.ErrorContains(t, err, "Options.Addr", addr)
	}
}
