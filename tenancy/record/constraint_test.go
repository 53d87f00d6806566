package record_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

func TestConstraintErrors(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		const secret = "s3cret-value"
		taken := note{Title: "x", Slug: ptr(secret)}
		require.NoError(t, notes.Save(ctx, db, &taken))
		named := line{Name: secret}
		require.NoError(t, lines.Save(ctx, db, &named))
		spot := place{Room: secret, Shelf: 1}
		require.NoError(t, places.Save(ctx, db, &spot))

		insert := func(n note) func() error { return func() error { return notes.Save(ctx, db, &n) } }
		for _, c := range []struct {
			name       string
			run        func() error
			kind       error
			code       string
			table      string
			constraint string
			columns    []string
		}{
			{"partial unique index", insert(note{Title: "y", Slug: ptr(secret)}), record.ErrConflict, "23505", "notes", "notes_slug", []string{"slug"}},
			{"unique", func() error { return lines.Save(ctx, db, &line{Name: secret}) }, record.ErrConflict, "23505", "lines", "lines_tenant_id_name_key", []string{"name"}},
			{"primary key", func() error { return places.Save(ctx, db, &place{Room: secret, Shelf: 1}) }, record.ErrConflict, "23505", "places", "places_pkey", []string{"room", "shelf"}},
			{"bulk", func() error { return lines.InsertAll(ctx, db, []line{{Name: "a"}, {Name: "a"}}) }, record.ErrConflict, "23505", "lines", "lines_tenant_id_name_key", []string{"name"}},
			{"check", insert(note{Title: "y", Stars: -1}), record.ErrCheck, "23514", "notes", "notes_stars_check", []string{"stars"}},
			{"check of an update", func() error {
				_, err := notes.Update(ctx, db, "stars = stars - 1", "")
				return err
			}, record.ErrCheck, "23514", "notes", "notes_stars_check", []string{"stars"}},
			{"required", func() error {
				_, err := notes.Update(ctx, db, "title = $1", "", nil)
				return err
			}, record.ErrRequired, "23502", "notes", "", []string{"title"}},
		} {
			err := c.run()
			require.ErrorIs(t, err, c.kind, c.name)
			var answer *pgconn.PgError
			require.ErrorAs(t, err, &answer, c.name)
			require.Equal(t, c.code, answer.Code, c.name)
			constraint, ok := errors.AsType[*record.ConstraintError](err)
			require.True(t, ok, c.name)
			require.Equal(t, c.table, constraint.Table, c.name)
			require.Equal(t, c.constraint, constraint.Constraint, c.name)
			require.Equal(t, c.columns, constraint.Columns, c.name)
			require.NotContains(t, err.Error(), secret, c.name)
			require.NotContains(t, err.Error(), "tenant_id,", c.name)
			for _, other := range []error{record.ErrConflict, record.ErrCheck, record.ErrRequired, record.ErrReference} {
				require.Equal(t, errors.Is(other, c.kind), errors.Is(err, other), c.name)
			}
		}
		// Another tenant has its own values.
		require.NoError(t, notes.Save(tenancy.WithID(ctx, "globex"), db, &note{Title: "y", Slug: ptr(secret)}))
		require.NoError(t, lines.Save(tenancy.WithID(ctx, "globex"), db, &line{Name: secret}))
	})
}

func TestConstraintsOfDeferredWrites(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		require.NoError(t, lines.Save(ctx, db, &line{Name: "a"}))
		err := lines.Explain(db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { return lines.SaveLater(tx, &line{Name: "a"}) }))
		require.ErrorIs(t, err, record.ErrConflict)
		constraint, _ := errors.AsType[*record.ConstraintError](err)
		require.Equal(t, []string{"name"}, constraint.Columns)
		require.Equal(t, err, lines.Explain(err), "explained once")
		require.NoError(t, lines.Explain(nil))
		require.ErrorIs(t, lines.Explain(context.Canceled), context.Canceled)
	})
}

// The in-memory kit has no foreign keys.
func TestReferences(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	err := lines.Save(ctx, db, &line{Name: "a", NoteID: ptr("nothing")})
	require.ErrorIs(t, err, record.ErrReference)
	constraint, _ := errors.AsType[*record.ConstraintError](err)
	require.Equal(t, []string{"note_id"}, constraint.Columns)

	n := note{Title: "x"}
	require.NoError(t, notes.Save(ctx, db, &n))
	require.NoError(t, lines.Save(ctx, db, &line{Name: "a", NoteID: &n.ID}))
	err = notes.Erase(ctx, db, &n)
	require.ErrorIs(t, err, record.ErrReference)
	constraint, _ = errors.AsType[*record.ConstraintError](err)
	require.Equal(t, "lines", constraint.Table)
	foreign := line{Name: "a", NoteID: &n.ID}
	require.ErrorIs(t, lines.Save(tenancy.WithID(ctx, "globex"), db, &foreign), record.ErrReference, "another tenant's record")
}
