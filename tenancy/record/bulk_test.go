package record_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// TestManyRows: what does not fit into one statement is written in order, all or nothing.
func TestManyRows(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		const n = 12_000
		list := make([]tagged, n)
		for i := range list {
			list[i].Name = fmt.Sprintf("%05d", i)
		}
		require.NoError(t, taggeds.InsertAll(ctx, db, list))
		for i := range list {
			require.Equal(t, fmt.Sprintf("%05d", i), list[i].Name)
			require.Equal(t, int64(1), list[i].Version)
			require.Equal(t, "acme", list[i].TenantID)
			require.True(t, i == 0 || list[i-1].ID < list[i].ID, "ids are in the order of the records")
		}
		found, err := taggeds.List(ctx, db, record.Query{Order: "id"})
		require.NoError(t, err)
		require.Equal(t, list, found)

		// The last of them is refused, so none is there.
		more := make([]shared, n)
		for i := range more {
			more[i] = shared{Key: fmt.Sprint(i), Name: fmt.Sprint(i)}
		}
		more[n-1].Name = "0"
		before := append([]shared{}, more...)
		require.ErrorIs(t, shareds.InsertAll(ctx, db, more), record.ErrConflict)
		require.Equal(t, before, more)
		count, err := shareds.Count(ctx, db, record.Query{})
		require.NoError(t, err)
		require.Zero(t, count)
	})
}

// TestLargeRows: statements are bounded in bytes, not only in rows.
func TestLargeRows(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		large := strings.Repeat("x", 3<<20)
		list := []note{{Title: large}, {Title: "a", Raw: []byte(large)}, {Title: "b", Tags: []string{large}}, {Title: "c", Meta: meta{Text: large}}}
		require.NoError(t, notes.InsertAll(ctx, db, list))
		found, err := notes.List(ctx, db, record.Query{Order: "id"})
		require.NoError(t, err)
		require.Equal(t, list, found)
	})
}

func TestUpsertAll(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		first := []note{{Title: "a", Slug: ptr("a"), Stars: 1}, {Title: "b", Slug: ptr("b"), Stars: 2}}
		require.NoError(t, notes.UpsertAll(ctx, db, first, "slug"))
		require.NoError(t, notes.Delete(ctx, db, &first[1]))
		second := []note{{Title: "c", Slug: ptr("c")}, {Title: "A", Slug: ptr("a")}, {Title: "B", Slug: ptr("b")}, {Title: "none"}}
		require.NoError(t, notes.UpsertAll(ctx, db, second, "slug"))
		require.Equal(t, first[0].ID, second[1].ID, "ids of rows that existed")
		require.Equal(t, []int64{1, 2, 1, 1}, []int64{second[0].Version, second[1].Version, second[2].Version, second[3].Version})
		require.NotEqual(t, first[1].ID, second[2].ID, "a deleted record is not in the partial index")
		require.Equal(t, "a", second[1].TitleLC)
		found, err := notes.FindMany(ctx, db, []string{second[0].ID, second[1].ID, second[2].ID, second[3].ID})
		require.NoError(t, err)
		require.Equal(t, second, found)

		twice := []note{{Title: "x", Slug: ptr("x")}, {Title: "y", Slug: ptr("x")}}
		require.Equal(t, "21000", code(notes.UpsertAll(ctx, db, twice, "slug")))
		require.Equal(t, "42P10", code(notes.Upsert(ctx, db, &note{Title: "x"}, "title")))

		// By the key, a deleted record is brought back.
		gone := second[0]
		require.NoError(t, notes.Delete(ctx, db, &gone))
		back := note{Base: record.Base{ID: gone.ID}, Title: "back"}
		require.NoError(t, notes.Upsert(ctx, db, &back, "id"))
		require.Nil(t, back.DeletedAt)
		require.Equal(t, int64(3), back.Version)
		require.Equal(t, second[0].CreatedAt, back.CreatedAt)

		list := []line{{Name: "a"}, {Name: "b"}}
		require.NoError(t, lines.UpsertAll(ctx, db, list, "name"))
		again := []line{{Name: "b"}, {Name: "c"}, {Name: "a"}}
		require.NoError(t, lines.UpsertAll(ctx, db, again, "name"))
		require.Equal(t, []int64{list[1].ID, list[0].ID}, []int64{again[0].ID, again[2].ID})
		require.Equal(t, []int64{7, 7, 7}, []int64{again[0].N, again[1].N, again[2].N})
	})
}
