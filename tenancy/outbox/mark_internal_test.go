package outbox

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
)

func TestMarks(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"0198c0de-0000-7000-8000-000000000001":   "0198c0de-0000-7000-8000-000000000001",
		"0198C0DE00007000-8000000000000001":      "0198c0de-0000-7000-8000-000000000001",
		"{0198c0de-0000-7000-8000-00000000000A}": "0198c0de-0000-7000-8000-00000000000a",
		"00000000000000000000000000":             "00000000-0000-0000-0000-000000000000",
		"7ZZZZZZZZZZZZZZZZZZZZZZZZZ":             "ffffffff-ffff-ffff-ffff-ffffffffffff",
		"01ARZ3NDEKTSV4RRFFQ69G5FAV":             "01563e3a-b5d3-d676-4c61-efb99302bd5b",
		"monthly@1780293600":                     "8d48a16c-7b1c-83ce-9dcf-d191155c508a", // the first of its SHA-256
	} {
		require.Equal(t, want, mark(id), id)
	}
}

// PostgreSQL says what a UUID is: what it took before, it takes under the same mark.
func TestMarksOfUUIDsAreThoseOfPostgreSQL(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	r := rand.New(rand.NewPCG(1, 2))
	const digits = "0123456789abcdefABCDEF"
	var ids []string
	for range 20_000 {
		text := ""
		for i := range 32 {
			if i > 0 && i%4 == 0 && r.IntN(2) == 0 {
				text += "-"
			}
			text += digits[r.IntN(len(digits)):][:1]
		}
		if r.IntN(3) == 0 {
			text = "{" + text + "}"
		}
		if at := r.IntN(len(text)); r.IntN(3) == 0 { // a mistake
			text = text[:at] + []string{"", "-", "g", "{", "}", " ", "0"}[r.IntN(7)] + text[at+r.IntN(2):]
		}
		ids = append(ids, text)
	}
	_, err := pg.Owner.Exec(t.Context(), `create function as_uuid(id text) returns text language plpgsql as
		'begin return id::uuid; exception when invalid_text_representation then return null; end'`)
	require.NoError(t, err)
	rows, err := pg.Owner.Query(t.Context(), `select as_uuid(id) from unnest($1::text[]) with ordinality u (id, n) order by n`, ids)
	require.NoError(t, err)
	defer rows.Close()
	valid := 0
	for _, id := range ids {
		require.True(t, rows.Next())
		var want pgtype.Text
		require.NoError(t, rows.Scan(&want))
		_, ok := parseUUID(id)
		require.Equal(t, want.Valid, ok, id)
		if want.Valid {
			require.Equal(t, want.String, mark(id), id)
			valid++
		}
	}
	require.NoError(t, rows.Err())
	require.Greater(t, valid, 10_000)
	require.Less(t, valid, 19_000)
}

var canonical = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func FuzzMark(f *testing.F) {
	for _, id := range []string{
		"0198c0de-0000-7000-8000-000000000001", "{0198C0DE000070008000000000000001}", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
		"01ARZ3NDEKTSV4RRFFQ69G5FA\n", "01KB\r\nRZ3NDEKTSV4RRFFQ69G5F", "monthly@1780293600", "flow~1.2", "{", "-", "{}", "ä",
	} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		got := mark(id)
		require.Regexp(t, canonical, got)
		require.Equal(t, got, mark(got))
		if raw, ok := parseULID(id); ok {
			require.Equal(t, id, crockford.EncodeToString(slices.Concat(make([]byte, 4), raw[:]))[6:], "another text has the same mark")
		}
		if raw, ok := parseUUID(id); ok {
			require.Equal(t, fmt.Sprintf("%x", raw), strings.ToLower(strings.NewReplacer("-", "", "{", "", "}", "").Replace(id)))
		}
	})
}
