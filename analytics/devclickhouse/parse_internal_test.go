package devclickhouse

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/stretchr/testify/require"
)

func TestParseStatement(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sql, head, format, data string }{
		{"INSERT INTO t FORMAT Native", "INSERT INTO t ", "Native", ""},
		{"insert into t values (1)", "insert into t ", "Values", " (1)"},
		{"INSERT INTO t(a,b) FORMAT CSV \r\n1,2\n", "INSERT INTO t(a,b) ", "CSV", "1,2\n"},
		{"INSERT INTO t FORMAT TSV\n\n1", "INSERT INTO t ", "TSV", "\n1"},
		{"INSERT INTO format FORMAT values\nx", "INSERT INTO format ", "values", "x"},
		{"INSERT INTO db.values VALUES(1)", "INSERT INTO db.values ", "Values", "(1)"},
		{"INSERT INTO select.format (`values`) /* FORMAT CSV */ -- VALUES\n VALUES (';')", "INSERT INTO select.format (`values`) /* FORMAT CSV */ -- VALUES\n ", "Values", " (';')"},
		{"INSERT INTO FUNCTION file('x', 'FORMAT CSV') SETTINGS a = 'VALUES' FORMAT JSONEachRow {}", "INSERT INTO FUNCTION file('x', 'FORMAT CSV') SETTINGS a = 'VALUES' ", "JSONEachRow", "{}"},
		{"/* a /* b */ INSERT INTO */ INSERT t VALUES (1)", "/* a /* b */ INSERT INTO */ INSERT t ", "Values", " (1)"},
	} {
		st := parseStatement(c.sql)
		require.GreaterOrEqual(t, st.data, 0, c.sql)
		require.Equal(t, []string{c.head, c.format, c.data}, []string{st.sql, st.format, c.sql[st.data:]})
	}
	for sql, format := range map[string]string{
		"SELECT 1":                                           "",
		"SELECT 1 FORMAT CSV":                                "CSV",
		"SELECT 1 format JSON;":                              "JSON",
		"SELECT 'FORMAT CSV' -- FORMAT TSV":                  "",
		"SELECT (SELECT 1 FORMAT CSV) AS x":                  "",
		"SELECT $a$ FORMAT CSV $a$ FORMAT TSV":               "TSV",
		"INSERT INTO t SELECT 1":                             "",
		"INSERT INTO t SELECT 'a' FORMAT Values":             "",
		"INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x": "",
		"INSERT INTO t (a) FROM INFILE 'x' FORMAT CSV":       "",
		"INSERT INTO t":                                      "",
		"INSERT":                                             "",
		"":                                                   "",
		"EXPLAIN SELECT 'it''s \\' FORMAT CSV' FORMAT Pretty": "Pretty",
	} {
		st := parseStatement(sql)
		require.Equal(t, -1, st.data, sql)
		require.Equal(t, format, st.format, sql)
		require.Equal(t, sql, st.sql)
	}
}

func FuzzParseStatement(f *testing.F) {
	for _, s := range []string{"INSERT INTO t (a) FORMAT Native\n\x01\x02", "SELECT '", "/* /* */", "$$", "$a$", "INSERT INTO a.b.c VALUES", "`", "--", "INSERT INTO t FORMAT", "'\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		st := parseStatement(sql)
		if st.data < 0 {
			require.Equal(t, sql, st.sql)
			return
		}
		// The head is what is before the data, and asks for none itself.
		require.True(t, strings.HasPrefix(sql, st.sql))
		require.LessOrEqual(t, len(st.sql)+len("FORMAT"), st.data)
		require.LessOrEqual(t, st.data, len(sql))
		require.NotEmpty(t, st.format)
		require.Equal(t, -1, parseStatement(st.sql).data)
		// What the data is makes no difference.
		if st.format != "Values" && st.data == len(sql) && strings.HasSuffix(sql, "\n") {
			again := parseStatement(sql + "FORMAT CSV 'x")
			require.Equal(t, st, again)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		"query=SELECT+1&param_x=1&max_threads=2", "session_timeout=60&session_check=1&session_id=a", "session_timeout=1e9", "compress=1&network_compression_method=zstd",
		"a%20b=1", "x';DROP TABLE t --=1", "=1", "param_=", "wait_end_of_query=1&enable_http_compression=1", "readonly=1", "%zz",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		v, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		r, err := parseRequest(v, http.Header{"Accept-Encoding": {"gzip"}}, true)
		if err != nil {
			var e *exception
			require.True(t, errors.As(err, &e))
			require.NotZero(t, e.code)
			return
		}
		require.LessOrEqual(t, len(r.settings)+len(r.params), len(v)+1)
		require.LessOrEqual(t, r.timeout, maxSessionTimeout)
		for _, s := range r.settings {
			// What gets into SET unquoted is a plain name.
			require.False(t, strings.ContainsAny(s.name, " '`\\=,;()-/*\n"), s.name)
		}
	})
}

// FuzzQuote checks with the lexer that a quoted text is one token.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "'", `\`, `\'`, "`", "a\x00b", "'; DROP TABLE t", "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, q := range []string{quoteText(s), quoteName(s)} {
			l := lexer{s: q + " end"}
			require.Equal(t, token{tokenQuoted, q, 0}, l.next())
			require.True(t, l.next().is("end"))
		}
	})
}

func frames(t testing.TB, m compress.Method, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := compress.NewWriter(compress.LevelZero, m)
	for _, p := range parts {
		require.NoError(t, w.Compress([]byte(p)))
		b.Write(w.Data)
	}
	return b.Bytes()
}

func TestFrameReader(t *testing.T) {
	t.Parallel()
	for _, m := range []compress.Method{compress.None, compress.LZ4, compress.LZ4HC, compress.ZSTD} {
		b := frames(t, m, strings.Repeat("first ", 100), "second")
		got, err := io.ReadAll(newFrameReader(bytes.NewReader(b)))
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("first ", 100)+"second", string(got))
		one := len(frames(t, m, strings.Repeat("first ", 100)))
		for cut := range b {
			_, err := io.ReadAll(newFrameReader(bytes.NewReader(b[:cut])))
			if cut == 0 || cut == one {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d looks complete", cut)
			}
		}
		for i := range b {
			bad := bytes.Clone(b)
			bad[i] ^= 0x40
			got, err := io.ReadAll(newFrameReader(bytes.NewReader(bad)))
			require.Error(t, err, "changed byte %d goes unnoticed: %.20q", i, got)
		}
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add(frames(f, compress.LZ4, "abc", "def"))
	f.Add(frames(f, compress.ZSTD, strings.Repeat("abc", 100)))
	f.Add([]byte("0123456789abcdef\x82\x09\x00\x00\x00\xff\xff\xff\xff"))
	f.Add([]byte("0123456789abcdef\x82\x00\x00\x00\x00\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := io.ReadAll(newFrameReader(bytes.NewReader(b)))
		if err == nil && len(b) > 0 {
			require.GreaterOrEqual(t, len(b), frameHeader)
		}
		require.LessOrEqual(t, len(got), maxFrame)
	})
}

func TestParseException(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ code, status int }{
		"Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)": {60, 404},
		"Code: 62. DB::Exception: Syntax error":                            {62, 400},
		"Code: 394. DB::Exception: Query was cancelled":                    {394, 500},
		"something else, Code: 60. inside":                                 {1002, 500},
		"Code: 99999999999999999999. DB::Exception: x":                     {1002, 500},
		"": {1002, 500},
	} {
		e := parseException(text)
		require.Equal(t, want.code, e.code, text)
		require.Equal(t, want.status, e.status(), text)
	}
}
