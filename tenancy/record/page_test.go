package record_test

import (
	"context"
	"crypto/rand"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// orders are those of the page tests: one way, mixed, with nulls first and last.
var orders = []string{
	"", "-id", "stars", "-stars,title", "stars,-title", "-created_at", "slug,stars", "-slug", "slug nulls first,-due", "-due nulls last,slug,-stars",
	"open,-ratio,due", "raw,-price",
}

func someNotes(r *mathrand.Rand, n int) []note {
	list := make([]note, n)
	for i := range list {
		list[i] = note{
			Title: "t" + strconv.Itoa(r.IntN(3)), Stars: r.Int32N(3), Ratio: float64(r.IntN(3)) / 4, Open: r.IntN(2) == 0,
			Raw: []byte{byte(r.IntN(2))}, Price: float64(r.IntN(3)) / 8,
		}
		if r.IntN(3) > 0 {
			list[i].Slug = ptr("s" + strconv.Itoa(i))
		}
		if r.IntN(3) > 0 {
			list[i].Due = ptr(time.UnixMicro(int64(r.IntN(3))).UTC())
		}
	}
	return list
}

func ids(list []note) []string {
	ids := make([]string, len(list))
	for i, n := range list {
		ids[i] = n.ID
	}
	return ids
}

// walk reads all pages forward and then back, and returns both as seen from the front.
func walk(t *testing.T, q record.Query, read func(record.Query) record.Page[note]) (forward, backward []string) {
	t.Helper()
	pages := 0
	for page := read(q); ; page = read(q) {
		forward = append(forward, ids(page.Items)...)
		if page.Next == "" {
			q.After, q.Before = "", page.Prev
			backward = ids(page.Items)
			break
		}
		q.After = page.Next
		pages++
		require.Less(t, pages, 1000)
	}
	for q.Before != "" {
		page := read(q)
		backward = append(ids(page.Items), backward...)
		q.Before = page.Prev
	}
	return forward, backward
}

// TestCursorOfALongValue: a cursor that no client could give back is an error, not a walk that begins again for ever.
func TestCursorOfALongValue(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		require.NoError(t, notes.InsertAll(ctx, db, []note{{Title: strings.Repeat("a", 9000)}, {Title: "b"}, {Title: strings.Repeat("c", 4000)}, {Title: "d"}}))
		_, err := notes.Page(ctx, db, record.Query{Order: "title", Limit: 1})
		require.ErrorContains(t, err, "too long")
		require.NotContains(t, err.Error(), "aaa")
		page, err := notes.Page(ctx, db, record.Query{Order: "title", Limit: 3})
		require.NoError(t, err)
		page, err = notes.Page(ctx, db, record.Query{Order: "title", Limit: 3, After: page.Next})
		require.NoError(t, err)
		require.Equal(t, "d", page.Items[0].Title)
		_, err = notes.Page(ctx, db, record.Query{Limit: math.MaxInt})
		require.ErrorContains(t, err, "Limit")
	})
}

// TestPagesOfExactNumbers: numbers that differ by less than a float64 can tell do not hold a page up, nor get lost.
func TestPagesOfExactNumbers(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		require.NoError(t, notes.InsertAll(ctx, db, []note{{Title: "1", Stars: 1}, {Title: "2", Stars: 2}, {Title: "3", Stars: 3}, {Title: "0"}}))
		_, err := notes.Update(ctx, db, "price = 0.1 + stars * 0.00000000000000000001", "")
		require.NoError(t, err)
		for _, order := range []string{"price", "-price", "open,-price"} {
			for _, limit := range []int{1, 3} {
				forward, backward := walk(t, record.Query{Order: order, Limit: limit}, func(q record.Query) record.Page[note] {
					page, err := notes.Page(ctx, db, q)
					require.NoError(t, err)
					return page
				})
				require.Len(t, forward, 4, order)
				require.ElementsMatch(t, slices.Compact(slices.Sorted(slices.Values(forward))), forward, order)
				require.Equal(t, forward, backward, order)
			}
		}
	})
}

func TestPages(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		r := mathrand.New(mathrand.NewPCG(1, 2))
		require.NoError(t, notes.InsertAll(ctx, db, someNotes(r, 61)))
		require.NoError(t, notes.InsertAll(tenancy.WithID(ctx, "globex"), db, someNotes(r, 20)))
		for _, order := range orders {
			for _, limit := range []int{1, 7, 61, 100} {
				q := record.Query{Order: order, Limit: limit, Where: "stars < $1", Args: []any{2}}
				total := q
				total.Limit = 0
				if order != "" && order != "-id" {
					total.Order += ",id"
					if lastDesc(order) {
						total.Order = order + ",-id"
					}
				} else if order == "" {
					total.Order = "id"
				}
				all, err := notes.List(ctx, db, total)
				require.NoError(t, err)
				forward, backward := walk(t, q, func(q record.Query) record.Page[note] {
					page, err := notes.Page(ctx, db, q)
					require.NoError(t, err)
					return page
				})
				require.Equal(t, ids(all), forward, order)
				require.Equal(t, ids(all), backward, order)
			}
		}
	})
}

func lastDesc(order string) bool {
	at := 0
	for i := range order {
		if order[i] == ',' {
			at = i + 1
		}
	}
	return order[at] == '-'
}

// TestPagesWhileOthersWrite: whatever is inserted, deleted and moved meanwhile, every record that stays where it is is seen
// exactly once in each direction.
func TestPagesWhileOthersWrite(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		r := mathrand.New(mathrand.NewPCG(3, 4))
		for _, order := range orders {
			stable, moving := someNotes(r, 30), someNotes(r, 15)
			for i := range stable {
				stable[i].Slug = ptr("stable" + strconv.Itoa(i))
			}
			for i := range moving {
				moving[i].Slug = nil
			}
			require.NoError(t, notes.InsertAll(ctx, db, stable))
			require.NoError(t, notes.InsertAll(ctx, db, moving))
			change := func() {
				n := note{Title: "t" + strconv.Itoa(r.IntN(3)), Stars: r.Int32N(3)}
				require.NoError(t, notes.Save(ctx, db, &n))
				victim := &moving[r.IntN(len(moving))]
				victim.Stars, victim.Title = r.Int32N(3), "t"+strconv.Itoa(r.IntN(3))
				if victim.Version < 3 {
					require.NoError(t, notes.Save(ctx, db, victim))
				} else if victim.DeletedAt == nil {
					require.NoError(t, notes.Delete(ctx, db, victim))
				}
			}
			forward, backward := walk(t, record.Query{Order: order, Limit: 4}, func(q record.Query) record.Page[note] {
				change()
				page, err := notes.Page(ctx, db, q)
				require.NoError(t, err)
				return page
			})
			for _, way := range [][]string{forward, backward} {
				seen := map[string]int{}
				for _, id := range way {
					seen[id]++
				}
				for _, n := range stable {
					require.Equal(t, 1, seen[n.ID], order)
				}
			}
			_, err := notes.DeleteBy(ctx, db, "true")
			require.NoError(t, err)
		}
	})
}

// TestOffsetsFail: the check of the test above finds what is wrong with pages by number.
func TestOffsetsFail(t *testing.T) {
	t.Parallel()
	db := tenancytest.New(t).DB()
	ctx := tenancy.WithID(t.Context(), "acme")
	stable := someNotes(mathrand.New(mathrand.NewPCG(3, 4)), 30)
	require.NoError(t, notes.InsertAll(ctx, db, stable))
	seen := map[string]int{}
	for at := 0; at < 40; at += 4 {
		require.NoError(t, notes.Save(ctx, db, &note{Title: "in front"}))
		list, err := notes.List(ctx, db, record.Query{Order: "-id"})
		require.NoError(t, err)
		for _, n := range list[min(at, len(list)):min(at+4, len(list))] {
			seen[n.ID]++
		}
	}
	twice := 0
	for _, n := range stable {
		if seen[n.ID] != 1 {
			twice++
		}
	}
	require.Positive(t, twice)
}

func TestEmptyPages(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		page, err := notes.Page(ctx, db, record.Query{})
		require.NoError(t, err)
		require.Equal(t, record.Page[note]{Items: []note{}}, page)

		list := someNotes(mathrand.New(mathrand.NewPCG(5, 6)), 4)
		require.NoError(t, notes.InsertAll(ctx, db, list))
		first, err := notes.Page(ctx, db, record.Query{Limit: 2})
		require.NoError(t, err)
		require.Empty(t, first.Prev)
		_, err = notes.DeleteBy(ctx, db, "id = any($1)", []string{list[2].ID, list[3].ID})
		require.NoError(t, err)
		end, err := notes.Page(ctx, db, record.Query{Limit: 2, After: first.Next})
		require.NoError(t, err)
		require.Empty(t, end.Items)
		require.Empty(t, end.Next)
		again, err := notes.Page(ctx, db, record.Query{Limit: 2, Before: end.Prev})
		require.NoError(t, err)
		require.Equal(t, ids(first.Items), ids(again.Items), "the way back from an empty page")
	})
}

func TestForgedCursors(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		globex := tenancy.WithID(ctx, "globex")
		for _, c := range []context.Context{ctx, globex} {
			require.NoError(t, notes.InsertAll(c, db, someNotes(mathrand.New(mathrand.NewPCG(7, 8)), 5)))
		}
		q := record.Query{Order: "stars", Limit: 2, Where: "stars < $1", Args: []any{5}}
		page, err := notes.Page(ctx, db, q)
		require.NoError(t, err)
		q.After = page.Next
		_, err = notes.Page(ctx, db, q)
		require.NoError(t, err)
		again, err := notes.Page(ctx, db, record.Query{Order: "stars", Limit: 2, Where: "stars < $1", Args: []any{5}})
		require.NoError(t, err)
		require.Equal(t, page.Next, again.Next, "the same page has the same bytes")

		refused := func(what string, ctx context.Context, table *record.Table[note], change func(q *record.Query)) {
			t.Helper()
			q := q
			change(&q)
			_, err := table.Page(ctx, db, q)
			require.ErrorIs(t, err, record.ErrCursor, what)
		}
		refused("tenant", globex, notes, func(*record.Query) {})
		refused("order", ctx, notes, func(q *record.Query) { q.Order = "-stars" })
		refused("nulls", ctx, notes, func(q *record.Query) { q.Order = "stars nulls first" })
		refused("condition", ctx, notes, func(q *record.Query) { q.Where = "stars <= $1" })
		refused("argument", ctx, notes, func(q *record.Query) { q.Args = []any{6} })
		refused("argument's type", ctx, notes, func(q *record.Query) { q.Args = []any{"5"} })
		refused("argument's width", ctx, notes, func(q *record.Query) { q.Args = []any{int64(5)} })
		for _, c := range []struct {
			where string
			args  [2]any
		}{
			{"title = any($1)", [2]any{[]string{"a b"}, []string{"a", "b"}}},
			{"title = $1", [2]any{sealedName("a"), sealedName("b")}},
			{"due < $1", [2]any{time.Unix(0, 0).UTC(), time.Unix(0, 0).In(time.FixedZone("", 3600))}},
		} {
			own := q
			own.Where, own.After = "stars < 5 or "+c.where, ""
			own.Args = []any{c.args[0]}
			page, err := notes.Page(ctx, db, own)
			require.NoError(t, err)
			own.After, own.Args = page.Next, []any{c.args[0]}
			_, err = notes.Page(ctx, db, own)
			require.NoError(t, err)
			own.Args = []any{c.args[1]}
			_, err = notes.Page(ctx, db, own)
			require.ErrorIs(t, err, record.ErrCursor, c.where)
		}
		refused("deleted", ctx, notes, func(q *record.Query) { q.WithDeleted = true })
		refused("key", ctx, notes.WithCursorKeys(randomKey()), func(*record.Query) {})
		refused("longer", ctx, notes, func(q *record.Query) { q.After += "AA" })
		refused("shorter", ctx, notes, func(q *record.Query) { q.After = q.After[:len(q.After)-1] })
		refused("text", ctx, notes, func(q *record.Query) { q.After = "../../etc" })
		for i := range q.After {
			refused("one sign", ctx, notes, func(q *record.Query) {
				b := []byte(q.After)
				b[i] = map[bool]byte{true: 'A', false: 'B'}[b[i] != 'A']
				q.After = string(b)
			})
		}
		require.NotContains(t, page.Next, "stars")
		_, err = notes.List(ctx, db, q)
		require.ErrorContains(t, err, "belong to Page")
		_, err = notes.Page(ctx, db, record.Query{After: page.Next, Before: page.Next})
		require.ErrorContains(t, err, "both")
		_, err = notes.Page(ctx, db, record.Query{Limit: -1})
		require.ErrorContains(t, err, "negative")
		_, err = notes.Page(ctx, db, record.Query{Order: "meta"})
		require.ErrorContains(t, err, "cannot be ordered by meta")
		for _, order := range []string{"nothing", "title,title", "title upwards", ",", "title;drop table x", "-"} {
			_, err = notes.Page(ctx, db, record.Query{Order: order})
			require.ErrorContains(t, err, "Query.Order", order)
		}
	})
}

// sealedName is text that does not print.
type sealedName string

// String hides it.
func (sealedName) String() string { return "hidden" }

func randomKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return key
}

func TestCursorKeys(t *testing.T) {
	t.Parallel()
	db := tenancytest.New(t).DB()
	ctx := tenancy.WithID(t.Context(), "acme")
	before, after := randomKey(), randomKey()
	require.NoError(t, notes.InsertAll(ctx, db, someNotes(mathrand.New(mathrand.NewPCG(9, 9)), 5)))
	old, now, gone := notes.WithCursorKeys(before), notes.WithCursorKeys(after, before), notes.WithCursorKeys(after)
	page, err := old.Page(ctx, db, record.Query{Limit: 2})
	require.NoError(t, err)
	next, err := now.Page(ctx, db, record.Query{Limit: 2, After: page.Next})
	require.NoError(t, err, "the old key still opens")
	_, err = old.Page(ctx, db, record.Query{Limit: 2, After: next.Next})
	require.ErrorIs(t, err, record.ErrCursor, "the new key seals")
	_, err = gone.Page(ctx, db, record.Query{Limit: 2, After: page.Next})
	require.ErrorIs(t, err, record.ErrCursor)
	require.Panics(t, func() { notes.WithCursorKeys() })
	require.Panics(t, func() { notes.WithCursorKeys([]byte("short")) })
	require.Panics(t, func() {
		record.Define[note]("app.notes", &record.Options{SoftDelete: true, CursorKeys: [][]byte{[]byte("short")}})
	})
}
