package guard_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
)

func TestExceptionsAreDeclaredWithAReason(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations, app)
	_, err := pg.Owner.Exec(t.Context(), `create table app.countries (code text primary key); create table app.currencies (code text primary key);
		grant select on app.countries, app.currencies to tenancy_app`)
	require.NoError(t, err)
	audit := func(allow ...guard.Exception) []guard.Finding {
		found, err := guard.Audit(t.Context(), pg.App, &guard.Options{Allow: allow})
		require.NoError(t, err)
		return found
	}
	require.Len(t, audit(), 2)
	left := audit(guard.Exception{Rule: "T18", Object: "app.countries", Reason: "the same for everybody"})
	require.Len(t, left, 1)
	require.Equal(t, "app.currencies", left[0].Object)
	require.Empty(t, audit(guard.Exception{Rule: "T18", Object: "app.c*", Reason: "the same for everybody"}))
	require.Len(t, audit(guard.Exception{Rule: "T01", Object: "app.c*", Reason: "another rule"}), 2)
	require.Len(t, audit(guard.Exception{Rule: "T18", Object: "app.countr", Reason: "no wildcard"}), 2)
	for _, e := range []guard.Exception{
		{Rule: "T18", Object: "app.countries"},
		{Rule: "T18", Reason: "which one?"},
		{Rule: "T99", Object: "app.countries", Reason: "no such rule"},
	} {
		_, err := guard.Audit(t.Context(), pg.App, &guard.Options{Allow: []guard.Exception{e}})
		require.ErrorContains(t, err, "Options.Allow")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations, app)
	require.NoError(t, guard.Check(t.Context(), pg.App, nil))
	require.ErrorIs(t, guard.Check(t.Context(), pg.Owner, nil), tenancy.ErrUnsafeRole)
	require.Error(t, guard.Check(t.Context(), nil, nil))

	exec := func(sql string) {
		_, err := pg.Owner.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`create index lower_body on app.notes (tenant_id, lower(body))`)
	require.NoError(t, guard.Check(t.Context(), pg.App, nil), "what is slow stops no program")
	exec(`do $$ begin execute format('grant temporary on database %I to public', current_database()); end $$`)
	exec(`create table app.readings_new partition of app.readings for values from ('2020-01-01') to ('2021-01-01')`)
	found, err := guard.Audit(t.Context(), pg.App, nil)
	require.NoError(t, err)
	require.Len(t, found, 3)
	require.NoError(t, guard.Check(t.Context(), pg.App, nil), "nor does advice: a partition of next month, temporary tables")
	exec(`alter table app.notes no force row level security`)
	err = guard.Check(t.Context(), pg.App, nil)
	require.ErrorIs(t, err, guard.ErrUnguarded)
	require.ErrorContains(t, err, "alter table app.notes force row level security")
	var bad *guard.Error
	require.ErrorAs(t, err, &bad)
	require.Len(t, bad.Findings, 1)
	require.Equal(t, guard.Breach, bad.Findings[0].Severity)
}

// TestSettingsOfSessionsAreFound sets a tenant for a database, in a connection's start and by a statement.
func TestSettingsOfSessionsAreFound(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations, app)
	require19 := func(q guard.Querier, object string) {
		t.Helper()
		found, err := guard.Audit(t.Context(), q, nil)
		require.NoError(t, err)
		require.NotEmpty(t, found)
		require.Equal(t, []string{"T19", object}, []string{found[0].Rule, found[0].Object})
	}
	cfg, err := pgxpool.ParseConfig(pg.AppURL)
	require.NoError(t, err)
	cfg.ConnConfig.RuntimeParams["tenancy.tenant"] = "globex"
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require19(pool, "session")

	conn, err := pgx.Connect(t.Context(), pg.AppURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	_, err = conn.Exec(t.Context(), `begin; select set_config('tenancy.tenant', 'globex', true); commit`)
	require.NoError(t, err)
	found, err := guard.Audit(t.Context(), conn, nil)
	require.NoError(t, err)
	require.Empty(t, found, "what was local to a transaction is over")

	database := pgx.Identifier{pg.Name()}.Sanitize()
	_, err = pg.Owner.Exec(t.Context(), `alter database `+database+` set row_security = off`)
	require.NoError(t, err)
	require19(pg.App, pg.Name())
}

func TestAnotherTenantColumn(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations)
	_, err := pg.Owner.Exec(t.Context(), `create table orgs ("org id" uuid, id uuid, primary key ("org id", id)); select tenancy.protect('orgs', 'org id')`)
	require.NoError(t, err)
	allow := []guard.Exception{{Rule: "T18", Object: "tenancy.*", Reason: "these have tenant_id"}}
	found, err := guard.Audit(t.Context(), pg.App, &guard.Options{TenantColumn: "org id", Allow: allow})
	require.NoError(t, err)
	require.Empty(t, found)
	_, err = pg.Owner.Exec(t.Context(), `alter policy tenancy_app on orgs using ("org id" = (select tenancy.tenant_id()::uuid) or id is null)`)
	require.NoError(t, err)
	found, err = guard.Audit(t.Context(), pg.App, &guard.Options{TenantColumn: "org id", Allow: allow})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "T05", found[0].Rule)
}
