package tenancy_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

func TestCheckRefusesRolesThatSeeEverything(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations, schema)
	superuser, err := pgxpool.New(t.Context(), strings.Replace(pg.AppURL, "ashlar_app@", "postgres@", 1))
	require.NoError(t, err)
	t.Cleanup(superuser.Close)
	for name, c := range map[string]struct {
		app, system *pgxpool.Pool
		want        string // "" = safe
	}{
		"app alone":         {app: pg.App},
		"app and system":    {app: pg.App, system: pg.System},
		"superuser":         {app: superuser, want: "postgres is a superuser"},
		"owner":             {app: pg.Owner, want: "owns tables with row-level security"},
		"system as app":     {app: pg.System, want: "is no member of tenancy_app"},
		"superuser, system": {app: pg.App, system: superuser, want: "is a superuser"},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := tenancy.New(c.app, &tenancy.Options{System: c.system})
			require.NoError(t, err)
			if err = db.Check(t.Context()); c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, tenancy.ErrUnsafeRole)
			require.ErrorContains(t, err, c.want)
		})
	}
	require.NoError(t, tenancytest.New(t).DB().Check(t.Context()), "a fake has no roles")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	db, err := tenancy.New(pg.App, nil)
	require.NoError(t, err)
	require.ErrorIs(t, db.Check(ended), context.Canceled)
}

// TestFailedCommitWinsOverRows: rows that One does not like must not hide that
// nothing was committed.
func TestFailedCommitWinsOverRows(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	_, err := pg.Owner.Exec(t.Context(), `create table late (tenant_id text, id int, unique (id) deferrable initially deferred);
		select tenancy.protect('late')`)
	require.NoError(t, err)
	ctx := tenancy.WithID(t.Context(), "acme")
	_, err = tenancy.One[int](ctx, db, `insert into late (id) values (1), (1) returning id`)
	var answer *pgconn.PgError
	require.ErrorAs(t, err, &answer)
	require.Equal(t, "23505", answer.Code)
	_, err = tenancy.One[int](ctx, db, `insert into late (id) values (1), (2) returning id`)
	require.ErrorIs(t, err, pgx.ErrTooManyRows)
}
