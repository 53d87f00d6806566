package record_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

func fullNote() note {
	return note{
		Title: "Grüße 'x' \"y\" \\ z", Slug: ptr("a"), Stars: 7, Ratio: 1.25, Due: ptr(time.Date(2030, 5, 6, 7, 8, 9, 123456000, time.UTC)),
		Open: true, Tags: []string{"a", "b, \"c\" \\ {d}", ""}, Scores: []int64{1, -2}, Raw: []byte{0, 1, 255},
		Meta:  meta{Color: "red", Sizes: []int{1, 2}, Inner: &meta{Text: "in"}},
		Extra: map[string]int{"k": 1}, Author: ptr(author("0190f5ad-0000-7000-8000-000000000001")), Price: 12.5,
	}
}

func TestSaveAndFind(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		n := fullNote()
		want := n
		require.NoError(t, notes.Save(ctx, db, &n))
		require.Len(t, n.ID, 36)
		require.Equal(t, int64(1), n.Version)
		require.WithinDuration(t, time.Now(), n.CreatedAt, time.Minute)
		require.Equal(t, n.CreatedAt, n.UpdatedAt)
		require.Equal(t, time.UTC, n.CreatedAt.Location())
		require.Equal(t, time.UTC, n.Due.Location())
		want.Base, want.TitleLC = n.Base, "grüße 'x' \"y\" \\ z"
		require.Equal(t, want, n)

		found, err := notes.Find(ctx, db, n.ID)
		require.NoError(t, err)
		require.Equal(t, want, found)

		n.Title, n.Slug, n.Tags = "B", nil, nil
		require.NoError(t, notes.Save(ctx, db, &n))
		require.Equal(t, int64(2), n.Version)
		require.Equal(t, "b", n.TitleLC)
		require.Equal(t, []string{}, n.Tags)
		found, err = notes.FindBy(ctx, db, "title = $1 and slug is null", "B")
		require.NoError(t, err)
		require.Equal(t, n, found)

		stale := want
		require.ErrorIs(t, notes.Save(ctx, db, &stale), tenancy.ErrStale)
		require.Equal(t, want, stale, "a record that was not saved is unchanged")

		_, err = notes.Find(ctx, db, "nobody")
		require.ErrorIs(t, err, tenancy.ErrNotFound)
		_, err = notes.Find(tenancy.WithID(ctx, "globex"), db, n.ID)
		require.ErrorIs(t, err, tenancy.ErrNotFound)
		foreign := n
		require.ErrorIs(t, notes.Save(tenancy.WithID(ctx, "globex"), db, &foreign), tenancy.ErrStale)
		_, err = notes.Find(context.Background(), db, n.ID)
		require.ErrorIs(t, err, tenancy.ErrNoTenant)
	})
}

func TestZeroRecord(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		n := note{Title: "x"}
		require.NoError(t, notes.Save(ctx, db, &n))
		want := note{Base: n.Base, Title: "x", TitleLC: "x", Tags: []string{}, Scores: []int64{}, Raw: []byte{}}
		require.Equal(t, want, n)
	})
}

func TestDeleteAndRestore(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		n := note{Title: "x", Slug: ptr("s")}
		require.NoError(t, notes.Save(ctx, db, &n))
		old := n
		require.NoError(t, notes.Delete(ctx, db, &n))
		require.NotNil(t, n.DeletedAt)
		require.Equal(t, int64(2), n.Version)
		require.ErrorIs(t, notes.Delete(ctx, db, &old), tenancy.ErrStale)
		require.ErrorIs(t, notes.Delete(ctx, db, &n), tenancy.ErrStale)
		_, err := notes.Find(ctx, db, n.ID)
		require.ErrorIs(t, err, tenancy.ErrNotFound)
		again, err := notes.First(ctx, db, record.Query{Where: "id = $1", Args: []any{n.ID}, WithDeleted: true})
		require.NoError(t, err)
		require.Equal(t, n, again)
		require.ErrorIs(t, notes.Save(ctx, db, &again), tenancy.ErrStale, "a deleted record is not saved")

		other := note{Title: "y", Slug: ptr("s")}
		require.NoError(t, notes.Save(ctx, db, &other), "the slug is free again")
		err = notes.Restore(ctx, db, &n)
		require.ErrorIs(t, err, record.ErrConflict)
		require.NoError(t, notes.Erase(ctx, db, &other))
		require.NoError(t, notes.Restore(ctx, db, &n))
		require.Nil(t, n.DeletedAt)
		require.ErrorIs(t, notes.Restore(ctx, db, &n), tenancy.ErrStale)
		_, err = notes.Find(ctx, db, n.ID)
		require.NoError(t, err)
	})
}

func TestWithoutVersion(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		a, b := line{Name: "a"}, line{Name: "b"}
		require.NoError(t, lines.Save(ctx, db, &a))
		require.NoError(t, lines.Save(ctx, db, &b))
		require.Equal(t, []int64{1, 2, 7}, []int64{a.ID, b.ID, a.N})
		a.Name = "c"
		require.NoError(t, lines.Save(ctx, db, &a))
		found, err := lines.Find(ctx, db, 1)
		require.NoError(t, err)
		require.Equal(t, a, found)
		require.NoError(t, lines.Delete(ctx, db, &a))
		require.ErrorIs(t, lines.Save(ctx, db, &a), tenancy.ErrNotFound)
	})
}

func TestNaturalKey(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		p := place{Room: "a", Shelf: 1, Books: 2}
		require.NoError(t, places.Save(ctx, db, &p))
		twin := place{Room: "a", Shelf: 1}
		err := places.Save(ctx, db, &twin)
		require.ErrorIs(t, err, record.ErrConflict)
		p.Books++
		require.NoError(t, places.Save(ctx, db, &p))
		got, err := places.FindBy(ctx, db, "room = $1 and shelf = $2", "a", 1)
		require.NoError(t, err)
		require.Equal(t, place{"a", 1, 2, 3}, got)
		_, err = places.Find(ctx, db, "a")
		require.ErrorContains(t, err, "FindBy")
	})
}

func TestBulk(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		list := []note{fullNote(), {Title: "two"}, {Title: "three", Tags: []string{"x"}}}
		require.NoError(t, notes.InsertAll(ctx, db, list))
		found, err := notes.List(ctx, db, record.Query{Order: "id"})
		require.NoError(t, err)
		require.Equal(t, list, found)
		require.ErrorContains(t, notes.InsertAll(ctx, db, list), "saved before")
		require.NoError(t, notes.InsertAll(ctx, db, nil))

		bad := []note{{Title: "ok"}, {Title: ""}}
		require.ErrorIs(t, notes.InsertAll(ctx, db, bad), record.ErrCheck)
		require.Equal(t, []note{{Title: "ok"}, {Title: ""}}, bad)
		n, err := notes.Count(ctx, db, record.Query{})
		require.NoError(t, err)
		require.Equal(t, int64(3), n)
	})
}

func TestUpsert(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		a := line{Name: "a"}
		require.NoError(t, lines.Upsert(ctx, db, &a, "name"))
		b := line{Name: "a"}
		require.NoError(t, lines.Upsert(ctx, db, &b, "name"))
		require.Equal(t, a.ID, b.ID)

		n := note{Title: "one", Slug: ptr("s")}
		require.NoError(t, notes.Upsert(ctx, db, &n, "slug"))
		m := note{Title: "two", Slug: ptr("s"), Stars: 3}
		require.NoError(t, notes.Upsert(ctx, db, &m, "slug"))
		require.Equal(t, n.ID, m.ID)
		require.Equal(t, int64(2), m.Version)
		require.Equal(t, n.CreatedAt, m.CreatedAt)
	})
}

func TestUpdate(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		list := []note{{Title: "a", Stars: 1}, {Title: "b", Stars: 5}, {Title: "c", Stars: 9}}
		require.NoError(t, notes.InsertAll(ctx, db, list))
		n, err := notes.Update(ctx, db, "stars = stars + $1, title = upper(title)", "stars + $1 <= $2", 2, 10)
		require.NoError(t, err)
		require.Equal(t, int64(2), n)
		got, err := notes.List(ctx, db, record.Query{Order: "-stars"})
		require.NoError(t, err)
		require.Equal(t, []string{"c", "B", "A"}, []string{got[0].Title, got[1].Title, got[2].Title})
		require.Equal(t, []int64{1, 2, 2}, []int64{got[0].Version, got[1].Version, got[2].Version})
		n, err = notes.DeleteBy(ctx, db, "stars < 8")
		require.NoError(t, err)
		require.Equal(t, int64(2), n)
		many, err := notes.FindMany(ctx, db, []string{list[2].ID, list[0].ID, "none", list[2].ID})
		require.NoError(t, err)
		require.Len(t, many, 1)
		ok, err := notes.Exists(ctx, db, record.Query{Where: "title = 'B'"})
		require.NoError(t, err)
		require.False(t, ok)
	})
}

func TestSaveLater(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		n := note{Title: "a"}
		require.NoError(t, db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { return notes.SaveLater(tx, &n) }))
		require.Equal(t, int64(1), n.Version)
		n.Title = "b"
		stale := n
		require.NoError(t, db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { return notes.SaveLater(tx, &n) }))
		got, err := notes.Find(ctx, db, n.ID)
		require.NoError(t, err)
		require.Equal(t, "b", got.Title)
		require.Equal(t, int64(2), got.Version)
		err = db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { return notes.SaveLater(tx, &stale) })
		require.ErrorIs(t, err, tenancy.ErrStale)
	})
}

func TestFindOrSave(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		first := note{Title: "one", Slug: ptr("s")}
		created, err := notes.FindOrSave(ctx, db, &first, "slug")
		require.NoError(t, err)
		require.True(t, created)
		second := note{Title: "two", Slug: ptr("s")}
		created, err = notes.FindOrSave(ctx, db, &second, "slug")
		require.NoError(t, err)
		require.False(t, created)
		require.Equal(t, first, second)
		_, err = notes.FindOrSave(ctx, db, &note{Title: "x"}, "slug")
		require.ErrorContains(t, err, "null is not unique")
		_, err = notes.FindOrSave(ctx, db, &note{Title: "x"})
		require.ErrorContains(t, err, "needs the columns")
		_, err = notes.FindOrSave(ctx, db, &note{Title: "x"}, "none")
		require.ErrorContains(t, err, "unknown column")

		// Many at once agree on one record.
		var group sync.WaitGroup
		found := make([]line, 8)
		for i := range found {
			group.Go(func() {
				found[i] = line{Name: "same"}
				_, err := lines.FindOrSave(ctx, db, &found[i], "name")
				assertNoError(t, err)
			})
		}
		group.Wait()
		for _, l := range found {
			require.Equal(t, found[0], l)
		}
	})
}

// TestMissingArguments: a parameter without an argument would be the tenant or the limit.
func TestMissingArguments(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		for name, run := range map[string]func() error{
			"List": func() error {
				_, err := notes.List(ctx, db, record.Query{Where: "title = $2", Args: []any{"x"}})
				return err
			},
			"FindBy": func() error { _, err := notes.FindBy(ctx, db, "title = $1"); return err },
			"Page":   func() error { _, err := notes.Page(ctx, db, record.Query{Where: "title = $1"}); return err },
			"Count": func() error {
				_, err := notes.Count(ctx, db, record.Query{Where: "title = $99999999999999999999"})
				return err
			},
			"Update":   func() error { _, err := notes.Update(ctx, db, "title = $2", "stars = $1", 1); return err },
			"DeleteBy": func() error { _, err := notes.DeleteBy(ctx, db, "stars = $2", 1); return err },
		} {
			require.ErrorContains(t, run(), "arguments", name)
		}
		_, err := notes.List(ctx, db, record.Query{Where: "title = '$5' and title <> $1", Args: []any{"x"}})
		require.NoError(t, err)
		for _, where := range []string{"true) or (true", "(true", "true)", "title = 'x"} {
			_, err = notes.List(ctx, db, record.Query{Where: where})
			require.ErrorContains(t, err, "record: ", where)
		}
		_, err = notes.DeleteBy(ctx, db, "")
		require.ErrorContains(t, err, "without a condition")
	})
}

// assertNoError may be called from any goroutine.
func assertNoError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
