package sqlexpr_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlexpr"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func env() *sqlexpr.Env {
	row := map[string]any{
		"id": "a", "n": int64(7), "f": 0.5, "ok": true, "none": nil, "at": now.Add(-time.Hour), "tags": []any{"x", "y", nil},
		"doc": sqlexpr.JSON(`{"k":"v","n":1,"o":{"p":true},"z":null}`), "raw": []byte{1},
	}
	params := []any{int64(3), "b", nil, []any{int64(1), int64(7)}, time.Hour}
	return &sqlexpr.Env{
		Now: now,
		Column: func(table, name string) (any, bool) {
			v, ok := row[name]
			return v, ok && (table == "" || table == "t")
		},
		Param: func(n int) (any, bool) {
			if n > len(params) {
				return nil, false
			}
			return params[n-1], true
		},
	}
}

// TestEval has what the differential test of package record does not reach, or not by chance.
func TestEval(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]any{
		"1 + 2 * 3 - 4 / 2":                  int64(5),
		"2 * -3":                             int64(-6),
		"-7 / 2":                             int64(-3),
		"-7 % 2":                             int64(-1),
		"not true or true":                   true,
		"not (true or true)":                 false,
		"1 < 2 and 2 < 3 or none":            true,
		"none and false":                     false,
		"none or false":                      nil,
		"none = none":                        nil,
		"none is not distinct from none":     true,
		"1 in (2, none)":                     nil,
		"1 not in (2, 3)":                    true,
		"n between 1 and 7 and ok":           true,
		"n = any($4)":                        true,
		"n <> all($4)":                       false,
		"'x' = any(tags)":                    true,
		"'q' = any(tags)":                    nil,
		"(n, id) > (7, 'A')":                 true,
		"(1, none) = (2, 3)":                 false,
		"(1, none) = (1, 3)":                 nil,
		"row(1, 2) <= row(1, 2)":             true,
		"'it''s' || '!'":                     "it's!",
		`"id" || t.id`:                       "aa",
		"now() - at = interval '1 hour'":     true,
		"now() - $5 = at":                    true,
		"at < now() - interval '30 minutes'": true,
		"cast('5' as integer) + '5'::int":    int64(10),
		"2.5::bigint":                        int64(2),
		"n::text || ''":                      "7",
		"doc->>'k'":                          "v",
		"doc->>'n'":                          "1",
		"doc->'o'->>'p'":                     "true",
		"doc->>'z'":                          nil,
		"case when none then 1 when ok then 2 end":         int64(2),
		"case n when 7 then 'seven' else 'no' end":         "seven",
		"case n when 8 then 'x' end":                       nil,
		"coalesce(none, none, 3)":                          int64(3),
		"nullif(n, 7)":                                     nil,
		"greatest(1, none, 5, 3)":                          int64(5),
		"least(none, none)":                                nil,
		"concat('a', none, n)":                             "a7",
		"array[1, 2] = array[1, 2]":                        true,
		"cardinality(tags)":                                int64(3),
		"'a%b' like 'a\\%b'":                               true,
		"'aXb' like 'a\\%b'":                               false,
		"'äöü' like '_ö_'":                                 true,
		"'GRÜSSE' ilike 'grü%'":                            true,
		"(ok is not true) is false":                        true,
		"none is not true":                                 true,
		"raw = raw":                                        true,
		"$3":                                               nil,
		"'2030-01-01T00:00:00+01:00'::timestamptz < now()": true,
		"1 + 0.5":                                          1.5,
		"statement_timestamp() = current_timestamp":        true,
		"interval '1 day' * 2 = interval '48 hours'":       true,
	} {
		n, err := sqlexpr.Parse(text)
		require.NoError(t, err, text)
		got, err := sqlexpr.Eval(n, env())
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for text, code := range map[string]string{
		"":                                "42601",
		"1 +":                             "42601",
		"(":                               "42601",
		"()":                              "42601",
		"1 < 2 < 3":                       "42601",
		"'open":                           "42601",
		"x between 1":                     "42601",
		"case when true then 1":           "42601",
		"1 / 0":                           "22012",
		"5 % 0":                           "22012",
		"9223372036854775807 + 1":         "22003",
		"-9223372036854775807 - 2":        "22003",
		"9223372036854775807 * 2":         "22003",
		"'abc'::int":                      "22P02",
		"1e300::bigint":                   "22003",
		"missing = 1":                     "42703",
		"other.id = 'a'":                  "42703",
		"$9 = 1":                          "42P02",
		"$0 = 1":                          "42P02",
		"n and true":                      "42804",
		"'ab' like 'a\\'":                 "22025",
		"(1, 2) = (1, 2, 3)":              "42601",
		"exists (select 1)":               "0A000",
		"id = (select 'a')":               "0A000",
		"id ~ 'a.*'":                      "0A000",
		"jsonb_path_exists(doc, '$')":     "0A000",
		"id = 'a' -- comment":             "0A000",
		"id /* comment */ = 'a'":          "0A000",
		"id = 'a'; drop table x":          "0A000",
		"id collate \"C\" < 'b'":          "0A000",
		"'a' < 1":                         "0A000",
		"now() - interval '1 month' < at": "0A000",
		"interval '1000000 weeks' = $5":   "22008",
		"interval '1 hour' * 9223372036854775807 = $5": "22003",
		"(1, 2)":                           "0A000",
		"1 = (1, 2)":                       "0A000",
		strings.Repeat("(", 500) + "1":     "0A000",
		strings.Repeat("not ", 500) + "ok": "0A000",
		strings.Repeat(" ", 70_000):        "0A000",
	} {
		n, err := sqlexpr.Parse(text)
		if err == nil {
			_, err = sqlexpr.Eval(n, env())
		}
		require.Equal(t, code, sqlexpr.Code(err), "%.60s: %v", text, err)
		if code == "0A000" {
			require.ErrorContains(t, err, "run this test on PostgreSQL")
		}
	}
}

func TestParseSet(t *testing.T) {
	t.Parallel()
	list, err := sqlexpr.ParseSet(`"n" = n + $1, id = lower(id)`)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, []string{"n", "id"}, []string{list[0].Column, list[1].Column})
	v, err := sqlexpr.Eval(list[0].Value, env())
	require.NoError(t, err)
	require.Equal(t, int64(10), v)
	for _, bad := range []string{"", "n", "n = ", "n == 1", "(a, b) = (1, 2)", "n = 1,", "n = 1 n = 2", "$1 = 2"} {
		_, err := sqlexpr.ParseSet(bad)
		require.Error(t, err, bad)
	}
}

// FuzzParse: no text and no values make the parser or the evaluation panic, or take long.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"a = 1 and (b is null or c like 'x%') and not d", "(a, b) > ($1, $2)", "x = any($4) and now() - interval '1 day' < at",
		"case when n > 3 then n / 0 else -n end::text || doc->>'k'", "n between 1 and 2 or id in ('a', 'b') is true",
		"coalesce(none, greatest(n, $1)) % 5 <> 1e3", "n = n + 1, id = upper(id)", "array[1,2] = $4", `"q""q".x = ''''`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := sqlexpr.Parse(text); err == nil {
			_, _ = sqlexpr.Eval(n, env())
			_ = sqlexpr.Conjuncts(n)
		}
		if list, err := sqlexpr.ParseSet(text); err == nil {
			for _, a := range list {
				_, _ = sqlexpr.Eval(a.Value, env())
			}
		}
	})
}
