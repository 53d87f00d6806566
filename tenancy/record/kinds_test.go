package record_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

type kinds struct {
	ID       int64 `db:"id,pk"`
	B        *bool
	I8       int8
	I16      int16
	I32      *int32
	U        uint
	U32      uint32 `db:"u32"`
	F32      float32
	F64      *float64
	Day      *time.Time `db:"day,type=date"`
	Moment   time.Time
	Moments  []time.Time
	Flags    []bool
	Halves   []float64
	Blobs    [][]byte
	States   []state
	OptTags  []string `db:"opt_tags,null"`
	Raw      json.RawMessage
	Anything any `db:"anything,null"`
	List     []meta
	Dict     map[string]any
	PtrJSON  *meta `db:"ptr_json"`
	NullText sql.NullString
	NullInt  sql.Null[int64] `db:"null_int,type=bigint"`
	Amount   string          `db:"amount,type=numeric"`
	IDText   string          `db:"id_text,type=uuid"`
	Span     time.Duration   `db:"span"`
	Addr     *netip.Addr     `db:"addr,type=inet"`
}

func TestKinds(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		table := record.Define[kinds]("app.kinds", nil)
		require.NoError(t, table.Verify(ctx, db))
		berlin := time.FixedZone("somewhere", 7200)
		full := kinds{
			ID: 1, B: ptr(true), I8: -128, I16: math.MaxInt16, I32: ptr(int32(math.MinInt32)), U: math.MaxInt64, U32: math.MaxUint32,
			F32: 1.5, F64: ptr(math.Inf(-1)), Day: ptr(time.Date(2030, 2, 3, 0, 0, 0, 0, time.UTC)),
			Moment: time.Date(2030, 1, 1, 1, 2, 3, 456789, berlin), Moments: []time.Time{time.Date(2030, 1, 1, 0, 0, 0, 1000, time.UTC)},
			Flags: []bool{true, false}, Halves: []float64{0.5, -1}, Blobs: [][]byte{{1, 2}, {}}, States: []state{"a", "b,\"c"},
			OptTags: []string{"x"}, Raw: json.RawMessage(`[1]`), Anything: []any{"a", 1.5, nil}, List: []meta{{Color: "red"}},
			Dict: map[string]any{"k": "v"}, PtrJSON: &meta{Text: "t"}, NullText: sql.NullString{String: "s", Valid: true},
			NullInt: sql.Null[int64]{V: 5, Valid: true}, Amount: "12.50", IDText: "0190f5ad-0000-7000-8000-000000000001",
			Span: time.Minute, Addr: ptr(netip.MustParseAddr("192.0.2.1")),
		}
		empty := kinds{ID: 2, Amount: "0", IDText: full.IDText}
		wantFull, wantEmpty := full, empty
		wantFull.Moment = time.Date(2029, 12, 31, 23, 2, 3, 456000, time.UTC)
		wantEmpty.Moments, wantEmpty.Flags, wantEmpty.Halves, wantEmpty.Blobs, wantEmpty.States = []time.Time{}, []bool{}, []float64{}, [][]byte{}, []state{}
		wantEmpty.Raw, wantEmpty.List, wantEmpty.Dict = json.RawMessage("null"), []meta{}, map[string]any{}
		for _, write := range []func(list []kinds) error{
			func(list []kinds) error { // a key of ours and no version: what Save would update
				for i := range list {
					if _, err := table.FindOrSave(ctx, db, &list[i], "id"); err != nil {
						return err
					}
				}
				return nil
			},
			func(list []kinds) error { return table.InsertAll(ctx, db, list) },
			func(list []kinds) error {
				if err := table.InsertAll(ctx, db, []kinds{{ID: 1, Amount: "1", IDText: full.IDText}, {ID: 2, Amount: "1", IDText: full.IDText}}); err != nil {
					return err
				}
				for i := range list {
					if err := table.Save(ctx, db, &list[i]); err != nil {
						return err
					}
				}
				return nil
			},
		} {
			list := []kinds{full, empty}
			require.NoError(t, write(list))
			require.Equal(t, []kinds{wantFull, wantEmpty}, list)
			found, err := table.List(ctx, db, record.Query{Order: "id"})
			require.NoError(t, err)
			require.Equal(t, []kinds{wantFull, wantEmpty}, found)
			n, err := table.DeleteBy(ctx, db, "true")
			require.NoError(t, err)
			require.Equal(t, int64(2), n)
		}
		tooLarge := full
		tooLarge.U = math.MaxUint64
		require.ErrorContains(t, table.InsertAll(ctx, db, []kinds{tooLarge}), "column u of app.kinds")
		bad := full
		bad.Dict = map[string]any{"f": func() {}}
		require.ErrorContains(t, table.InsertAll(ctx, db, []kinds{bad}), "column dict of app.kinds")
	})
}

// TestPagesOfKinds: nulls of types that say so themselves, infinities, numbers that are none, and times have a place in a
// page's order, each of them at its end once.
func TestPagesOfKinds(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		table := record.Define[kinds]("app.kinds", nil)
		at := func(n int64) kinds {
			return kinds{ID: n, Amount: "1", IDText: "00000000-0000-0000-0000-000000000001", Moment: time.UnixMicro(1)}
		}
		list := []kinds{at(1), at(2), at(3), at(4), at(5), at(6)}
		list[0].NullText, list[1].NullText = sql.NullString{String: "a", Valid: true}, sql.NullString{Valid: true}
		list[2].NullInt, list[3].NullInt = sql.Null[int64]{V: math.MaxInt64, Valid: true}, sql.Null[int64]{V: -1, Valid: true}
		list[0].F64, list[1].F64, list[2].F64, list[3].F64 = ptr(math.NaN()), ptr(math.Inf(1)), ptr(math.Inf(-1)), ptr(math.NaN())
		list[4].F32, list[5].F32 = 0.1, -0.1
		list[2].Day, list[3].Day = ptr(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)), ptr(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
		list[0].Moment, list[5].Moment = time.Time{}, time.UnixMicro(-1)
		require.NoError(t, table.InsertAll(ctx, db, list))
		for _, order := range []string{"null_text", "-null_text", "null_int", "-null_int", "f64", "-f64,null_text", "f32", "day", "-day", "moment", "-moment"} {
			q := record.Query{Order: order + ",id"}
			if order[0] == '-' {
				q.Order = order + ",-id"
			}
			all, err := table.List(ctx, db, q)
			require.NoError(t, err)
			for _, limit := range []int{1, 2} {
				var forward, backward []int64
				q.Limit, q.After, q.Before = limit, "", ""
				for more := true; more; more = q.After != "" {
					page, err := table.Page(ctx, db, q)
					require.NoError(t, err, order)
					for _, k := range page.Items {
						forward = append(forward, k.ID)
					}
					require.LessOrEqual(t, len(forward), len(list), order)
					q.After = page.Next
					if q.After == "" {
						q.Before = page.Prev
						backward = append([]int64{}, forward[len(forward)-len(page.Items):]...)
						break
					}
				}
				for q.Before != "" {
					page, err := table.Page(ctx, db, q)
					require.NoError(t, err, order)
					ids := []int64{}
					for _, k := range page.Items {
						ids = append(ids, k.ID)
					}
					backward = append(ids, backward...)
					require.LessOrEqual(t, len(backward), len(list), order)
					q.Before = page.Prev
				}
				var want []int64
				for _, k := range all {
					want = append(want, k.ID)
				}
				require.Equal(t, want, forward, order)
				require.Equal(t, want, backward, order)
			}
		}
	})
}

// TestTextsThatNoDatabaseStores: both refuse them, with the same code.
func TestTextsThatNoDatabaseStores(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		refused := func(err error, want string) {
			t.Helper()
			var answer *pgconn.PgError
			require.ErrorAs(t, err, &answer)
			require.Equal(t, want, answer.Code)
		}
		for _, bad := range []string{"a\x00b", "a\xffb"} {
			refused(notes.Save(ctx, db, &note{Title: bad}), "22021")
			refused(notes.Save(ctx, db, &note{Title: "x", Tags: []string{"y", bad}}), "22021")
			refused(notes.InsertAll(ctx, db, []note{{Title: "x"}, {Title: bad}}), "22021")
			refused(notes.InsertAll(ctx, db, []note{{Title: "x"}, {Title: "x", Tags: []string{bad}}}), "22021")
			refused(notes.InsertAll(ctx, db, []note{{Title: "x", Slug: ptr("s")}, {Title: "x", Slug: &bad}}), "22021")
			_, err := notes.Find(ctx, db, bad)
			refused(err, "22021")
			_, err = notes.FindMany(ctx, db, []string{"x", bad})
			refused(err, "22021")
			_, err = notes.Update(ctx, db, "title = $1", "id = $2", "x", bad)
			refused(err, "22021")
			_, err = notes.Page(ctx, db, record.Query{Where: "slug = $1", Args: []any{sql.NullString{String: bad, Valid: true}}})
			refused(err, "22021")
		}
		refused(notes.Save(ctx, db, &note{Title: "x", Meta: meta{Text: "\x00"}}), "22P05")
		refused(notes.InsertAll(ctx, db, []note{{Title: "x", Meta: meta{Text: "\x00"}}}), "22P05")
		require.NoError(t, notes.Save(ctx, db, &note{Title: "x", Meta: meta{Text: `\u0000`}}))

		refused(notes.Save(ctx, db, &note{Title: "x", Author: ptr(author("nobody"))}), "22P02")
		refused(notes.InsertAll(ctx, db, []note{{Title: "x", Author: ptr(author("nobody"))}}), "22P02")
		n := note{Title: "x", Author: ptr(author("C56A4180-65AA-42EC-A945-5FD21DEC0538"))}
		require.NoError(t, notes.Save(ctx, db, &n))
		require.Equal(t, author("c56a4180-65aa-42ec-a945-5fd21dec0538"), *n.Author)
		list, err := notes.List(ctx, db, record.Query{})
		require.NoError(t, err)
		require.Len(t, list, 2, "nothing of what was refused")
		_, err = notes.List(ctx, db, record.Query{Where: "author = $1", Args: []any{"nobody"}})
		refused(err, "22P02")
		_, err = lines.Find(ctx, db, "nobody")
		refused(err, "22P02")
	})
}

// TestTypesBehindTexts: texts of another type are what the database makes of them, and the kit does not compare them as texts.
func TestTypesBehindTexts(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		table := record.Define[kinds]("app.kinds", nil)
		late := time.Date(2030, 2, 3, 1, 0, 0, 0, time.FixedZone("", 2*3600))
		upper := "00000000-0000-0000-0000-00000000000A"
		require.NoError(t, table.InsertAll(ctx, db, []kinds{{ID: 1, Amount: "9", IDText: upper, Moment: late, Day: &late}}))
		k, err := table.Find(ctx, db, 1)
		require.NoError(t, err)
		require.Equal(t, time.Date(2030, 2, 2, 0, 0, 0, 0, time.UTC), *k.Day)
		require.Equal(t, strings.ToLower(upper), k.IDText)
		for _, q := range []record.Query{
			{Where: "id_text = $1", Args: []any{upper}}, {Where: "$1 = id_text", Args: []any{upper}},
			{Where: "id_text = any($1)", Args: []any{[]string{upper}}}, {Where: "day = $1", Args: []any{*k.Day}},
		} {
			n, err := table.Count(ctx, db, q)
			require.NoError(t, err, q.Where)
			require.Equal(t, int64(1), n, q.Where)
		}
		n, err := table.Count(ctx, db, record.Query{Where: "amount > $1", Args: []any{"10"}})
		if err == nil {
			require.Zero(t, n)
		} else {
			require.ErrorContains(t, err, "run this test on PostgreSQL")
		}
		_, err = table.Update(ctx, db, "b = true, b = false", "")
		var answer *pgconn.PgError
		require.ErrorAs(t, err, &answer)
		require.Equal(t, "42601", answer.Code)
	})
}
