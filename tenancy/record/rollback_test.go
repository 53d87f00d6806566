package record_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// TestRollbackTakesBack: a record that was saved by a savepoint or a unit that is rolled back has not been saved.
func TestRollbackTakesBack(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		old := note{Title: "old"}
		require.NoError(t, notes.Save(ctx, db, &old))
		fresh, later, listed, found, upserted := note{Title: "a"}, note{Title: "b"}, []note{{Title: "c"}}, note{Title: "d", Slug: ptr("d")}, note{Title: "e", Slug: ptr("e")}
		row := line{Name: "f"}
		deleted := old
		oldBefore := old
		work := func(ctx context.Context, tx *tenancy.Tx) error {
			require.NoError(t, notes.Save(ctx, tx, &fresh))
			fresh.Stars++
			require.NoError(t, notes.Save(ctx, tx, &fresh))
			require.Equal(t, int64(2), fresh.Version)
			require.NoError(t, notes.SaveLater(tx, &later))
			require.NoError(t, notes.InsertAll(ctx, db, listed)) // db means the open unit, too
			_, err := notes.FindOrSave(ctx, tx, &found, "slug")
			require.NoError(t, err)
			require.NoError(t, notes.Upsert(ctx, tx, &upserted, "slug"))
			require.NoError(t, lines.Save(ctx, tx, &row))
			require.NoError(t, notes.Delete(ctx, tx, &deleted))
			return nil
		}
		unsaved := func() {
			t.Helper()
			require.Equal(t, note{Title: "a", Stars: fresh.Stars, Tags: fresh.Tags, Scores: fresh.Scores, Raw: fresh.Raw}, fresh)
			for _, n := range []note{later, listed[0], found, upserted} {
				require.Zero(t, n.Base)
				require.Empty(t, n.TitleLC)
			}
			require.Zero(t, row.ID)
			require.Equal(t, oldBefore, deleted)
		}
		require.ErrorIs(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			require.NoError(t, work(ctx, tx))
			return errPlanned
		}), errPlanned)
		unsaved()
		require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			_ = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				require.NoError(t, work(ctx, tx))
				return errPlanned
			})
			unsaved()
			return work(ctx, tx)
		}))
		n, err := notes.Count(ctx, db, record.Query{})
		require.NoError(t, err)
		require.Equal(t, int64(5), n)
		for _, want := range []note{fresh, listed[0], found, upserted} {
			got, err := notes.Find(ctx, db, want.ID)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	})
}

// TestRunAgain: a unit that saves a record from outside is run again after a serialization failure, and inserts it then.
func TestRunAgain(t *testing.T) {
	t.Parallel()
	for name, save := range map[string]func(context.Context, *tenancy.Tx, *note) error{
		"Save":      func(ctx context.Context, tx *tenancy.Tx, n *note) error { return notes.Save(ctx, tx, n) },
		"SaveLater": func(_ context.Context, tx *tenancy.Tx, n *note) error { return notes.SaveLater(tx, n) },
		"InsertAll": func(ctx context.Context, tx *tenancy.Tx, n *note) error {
			list := []note{*n}
			err := notes.InsertAll(ctx, tx, list)
			*n = note{Title: "a"}
			return err
		},
	} {
		kit := tenancytest.New(t)
		ctx := tenancy.WithID(t.Context(), "acme")
		n := note{Title: "a"}
		runs := 0
		require.NoError(t, kit.DB().Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			if runs++; runs < 3 {
				defer kit.FailNext(&pgconn.PgError{Code: "40001"})
			}
			return save(ctx, tx, &n)
		}), name)
		require.Equal(t, 3, runs)
		count, err := notes.Count(ctx, kit.DB(), record.Query{})
		require.NoError(t, err)
		require.Equal(t, int64(1), count, name)
	}
}
