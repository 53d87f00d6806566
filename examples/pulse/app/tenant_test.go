package app_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/pgbilling"
	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// TestATeamLeavesWithAllItHas: with the tables of all blocks in one database, a team's archive holds its rows of each, it can
// be read into another database, and a purge proves that nothing is left.
func TestATeamLeavesWithAllItHas(t *testing.T) {
	t.Parallel()
	reg, pg := directory(t)
	there, to := directory(t)
	var teams []registry.Tenant
	for _, slug := range []string{"acme", "globex"} {
		team, err := reg.Create(t.Context(), registry.NewTenant{Slug: slug, Owner: "ann"})
		require.NoError(t, err)
		teams = append(teams, team)
		_, err = pg.System.Exec(t.Context(), `insert into pulse.contacts (tenant_id, id, version, created_at, updated_at, name, email, phone)
			values ($1, 'c', 1, now(), now(), 'ops', 'ops@example.com', '')`, team.ID)
		require.NoError(t, err)
		subscribed(t, pg, team.ID)
	}
	acme := registry.Trusted(tenancy.WithID(t.Context(), teams[0].ID))
	filled := []string{"billing.customers", "billing.subscriptions", "pulse.contacts", "registry.members"}

	var archive bytes.Buffer
	m, err := reg.Export(acme, &archive, nil)
	require.NoError(t, err)
	rows := map[string]int64{}
	for _, table := range m.Tables {
		rows[table.Name] = table.Rows
	}
	for _, name := range filled {
		require.Equal(t, int64(1), rows[name], name)
	}

	team, err := there.Create(t.Context(), registry.NewTenant{Slug: "acme", Owner: "ann"})
	require.NoError(t, err)
	_, err = there.Import(tenancy.WithID(t.Context(), team.ID), bytes.NewReader(archive.Bytes()), int64(archive.Len()), nil)
	require.NoError(t, err)
	require.Equal(t, int64(1), count(t, to, "billing.subscriptions", team.ID))

	require.NoError(t, reg.SetState(acme, registry.StateChange{To: registry.Deleting}))
	report, err := reg.Purge(acme, "contract ended", &registry.PurgeOptions{Grace: -1})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	for _, name := range filled {
		require.Zero(t, count(t, pg, name, teams[0].ID), name)
		require.Equal(t, int64(1), count(t, pg, name, teams[1].ID), name)
	}
	var others, all int // of what has no tenant
	require.NoError(t, pg.System.QueryRow(t.Context(), `select count(*) filter (where object_id = $1), count(*)
		from (select object_id from billing.events union all select object_id from billing.syncs) o`, "sub_"+teams[1].ID).Scan(&others, &all))
	require.Equal(t, []int{2, 2}, []int{others, all})
}

// directory is a database with the tables of all blocks.
func directory(t *testing.T) (*registry.Registry, *testenv.PG) {
	t.Helper()
	own, err := app.Migrations()
	require.NoError(t, err)
	pg := testenv.Postgres(t, tenancy.Migrations, registry.Migrations, pgbilling.Migrations, own)
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	reg, err := registry.New(db, nil)
	require.NoError(t, err)
	return reg, pg
}

// subscribed gives a team a customer and a subscription at the payment provider.
func subscribed(t *testing.T, pg *testenv.PG, team string) {
	t.Helper()
	plans, err := pgbilling.New(pg.System, nil)
	require.NoError(t, err)
	_, err = plans.SaveCustomer(t.Context(), "fake", team, "cus_"+team)
	require.NoError(t, err)
	mark, err := plans.Ingest(t.Context(), billing.Event{Provider: "fake", ID: "e_" + team, Kind: billing.KindSubscription, Object: "sub_" + team})
	require.NoError(t, err)
	_, err = plans.Apply(t.Context(), billing.Subscription{
		Provider: "fake", ID: "sub_" + team, Customer: "cus_" + team, State: billing.StateActive,
	}, mark.Generation)
	require.NoError(t, err)
}

func count(t *testing.T, pg *testenv.PG, table, team string) (n int64) {
	t.Helper()
	require.NoError(t, pg.System.QueryRow(t.Context(), `select count(*) from `+table+` where tenant_id = $1`, team).Scan(&n))
	return n
}
