package record_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

func TestVerify(t *testing.T) {
	both(t, func(t *testing.T, db *tenancy.DB, ctx context.Context) {
		for _, verify := range []func(context.Context, tenancy.Querier) error{
			notes.Verify, lines.Verify, places.Verify, taggeds.Verify, shareds.Verify,
		} {
			require.NoError(t, verify(ctx, db))
		}
	})
}

// Each drift between a struct and its table is found, by its words.
func TestVerifyFindsDrift(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	type key struct {
		ID int64 `db:"id,pk,auto"`
	}
	unique := &record.Options{Unique: []record.Unique{{Columns: []string{"name"}}}}
	for want, verify := range map[string]func(context.Context, tenancy.Querier) error{
		"no such table": record.Define[key]("app.nothing", nil).Verify,
		"field Colour has no column colour": record.Define[struct {
			line
			Colour string
		}]("app.lines", unique).Verify,
		"column name is text, field Name wants bigint": record.Define[struct {
			key
			Name int
		}]("app.lines", unique).Verify,
		"column note_id may be null": record.Define[struct {
			key
			Name   string
			NoteID string
		}]("app.lines", unique).Verify,
		"column name is required": record.Define[key]("app.lines", nil).Verify,
		"no tenant column org_id": record.Define[line]("app.lines", &record.Options{Tenant: "org_id"}).Verify,
		"unique index lines_tenant_id_name_key (tenant_id, name) is not declared": record.Define[line]("app.lines", nil).Verify,
		"declared with the name other": record.Define[line]("app.lines", &record.Options{
			Unique: []record.Unique{{Columns: []string{"name"}, Name: "other"}},
		}).Verify,
		"is declared, but not there so": record.Define[line]("app.lines", &record.Options{
			Unique: []record.Unique{{Columns: []string{"name"}}, {Columns: []string{"n"}}},
		}).Verify,
		"unique index lines_name_key (name) is declared": record.Define[line]("app.lines", &record.Options{
			Unique: []record.Unique{{Columns: []string{"name"}, AllTenants: true}},
		}).Verify,
		"check lines_n_check is declared": record.Define[line]("app.lines", &record.Options{
			Unique: unique.Unique, Checks: map[string]string{"lines_n_check": "n > 0"},
		}).Verify,
		"column due is timestamp with time zone, field Due wants text": record.Define[struct {
			record.Base
			Title string
			Due   string
		}]("app.notes", nil).Verify,
		"column stars is integer, field Stars wants timestamptz": record.Define[struct {
			record.Base
			Stars time.Time
		}]("app.notes", nil).Verify,
	} {
		require.ErrorContains(t, verify(ctx, db), want)
	}
}

// TestVerifyTeaches: the columns of a constraint whose name says nothing are known once the table was verified.
func TestVerifyTeaches(t *testing.T) {
	t.Parallel()
	pg := postgres(t)
	db, err := tenancy.New(pg.App, nil)
	require.NoError(t, err)
	ctx := tenancy.WithID(t.Context(), "acme")
	_, err = pg.Owner.Exec(ctx, `alter table app.places add constraint enough check (books + shelf < 100)`)
	require.NoError(t, err)
	table := record.Define[place]("app.places", nil)
	refused := func() *record.ConstraintError {
		err := table.Save(ctx, db, &place{Room: "r", Shelf: 1, Books: 1000})
		require.ErrorIs(t, err, record.ErrCheck)
		constraint, _ := errors.AsType[*record.ConstraintError](err)
		return constraint
	}
	require.Nil(t, refused().Columns)
	require.NoError(t, table.Verify(ctx, db))
	require.ElementsMatch(t, []string{"books", "shelf"}, refused().Columns)
}
