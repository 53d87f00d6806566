package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing/pgbilling"
	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

func TestNoTableIsForgotten(t *testing.T) {
	t.Parallel()
	own, err := app.Migrations()
	require.NoError(t, err)
	pg := testenv.Postgres(t, tenancy.Migrations, registry.Migrations, pgbilling.Migrations, own)
	opts := &guard.Options{Allow: app.Exceptions()}
	require.NoError(t, guard.Check(t.Context(), pg.App, opts))
	found, err := guard.Audit(t.Context(), pg.App, opts)
	require.NoError(t, err)
	for _, f := range found {
		require.Contains(t, []guard.Severity{guard.Slow, guard.Advice}, f.Severity, f)
	}

	// Each exception is one: without it the guard complains.
	for i := range app.Exceptions() {
		less := append(app.Exceptions()[:i:i], app.Exceptions()[i+1:]...)
		require.ErrorIs(t, guard.Check(t.Context(), pg.App, &guard.Options{Allow: less}), guard.ErrUnguarded, app.Exceptions()[i].Object)
	}

	_, err = pg.Owner.Exec(t.Context(), `create table pulse.notes (tenant_id text, body text); grant select on pulse.notes to tenancy_app`)
	require.NoError(t, err)
	require.ErrorContains(t, guard.Check(t.Context(), pg.App, opts), "pulse.notes")
}
