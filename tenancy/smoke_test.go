package tenancy_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

type ev struct{ A int }

func (ev) EventType() string { return "ev" }

func TestSmoke(t *testing.T) {
	pg := testenv.Postgres(t, tenancy.Migrations)
	_, err := pg.Owner.Exec(t.Context(), `create table notes (tenant_id text not null, id bigint generated always as identity, body text not null);
	select tenancy.protect('notes');`)
	require.NoError(t, err)
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	ctx := tenancy.WithID(t.Context(), "acme")
	err = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Emit(ev{1})
		_, err := tx.Exec(ctx, `insert into notes(body) values($1)`, "hi")
		return err
	})
	require.NoError(t, err)
	type Note struct {
		ID   int64
		Body string
	}
	notes, err := tenancy.All[Note](ctx, db, `select id, body from notes`)
	require.NoError(t, err)
	require.Equal(t, []Note{{1, "hi"}}, notes)
	n, err := tenancy.One[int](tenancy.System(ctx, "test"), db, `select count(*)::int from tenancy.outbox`)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = tenancy.One[int](tenancy.WithID(ctx, "b"), db, `select count(*)::int from notes`)
	require.NoError(t, err)
	require.Equal(t, 0, n)
}
