package registry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// TestLookupsRunAsTheSystemRole: the two definer functions belong to the role that sees all rows, not to the tables' owner,
// who is lent that role for the moment of the migration only.
func TestLookupsRunAsTheSystemRole(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations, registry.Migrations)
	rows, err := pg.Owner.Query(t.Context(), `select p.proname::text, r.rolname::text, array_to_string(p.proconfig, ','),
		has_function_privilege('public', p.oid, 'execute') from pg_proc p join pg_roles r on r.oid = p.proowner
		where p.pronamespace = 'registry'::regnamespace and p.prosecdef
		and has_function_privilege('tenancy_app', p.oid, 'execute') order by 1`)
	require.NoError(t, err)
	var list [][]any
	for rows.Next() {
		values, err := rows.Values()
		require.NoError(t, err)
		list = append(list, values)
	}
	require.Equal(t, [][]any{
		{"memberships", "tenancy_system", "search_path=pg_catalog, pg_temp", false},
		{"resolve", "tenancy_system", "search_path=pg_catalog, pg_temp", false},
	}, list)
	var create bool
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select has_schema_privilege('tenancy_system', 'registry', 'create')`).Scan(&create))
	require.False(t, create)
}
