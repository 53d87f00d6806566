package registry_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// TestRawSQLSeesOneTenant: what the app role can reach without this package, e.g. by injected SQL, is its own tenant and two
// functions that answer one exact key.
func TestRawSQLSeesOneTenant(t *testing.T) {
	t.Parallel()
	f, pg := postgres(t)
	acme, globex := f.tenant("acme", "ann"), f.tenant("globex", "eve")
	_, _ = f.invite(acme, "bob@example.com", "member")
	f.key(acme, registry.NewKey{})
	require.NoError(t, registry.Quota{Name: "q", Limit: 9}.Take(f.as(acme, ""), f.reg, 1))
	require.NoError(t, registry.Setting[int]{Name: "s"}.Set(f.as(acme, ""), f.reg, 1))
	eve := f.as(globex, "")
	for _, table := range []string{"tenants", "names", "members", "invitations", "api_keys", "settings", "quotas"} {
		own, err := tenancy.One[int](f.as(acme, ""), f.db, `select count(*)::int from registry.`+table)
		require.NoError(t, err)
		require.NotZero(t, own, table)
		foreign, err := tenancy.One[int](eve, f.db, `select count(*)::int from registry.`+table+` where tenant_id <> $1`, globex.ID)
		require.NoError(t, err)
		require.Zero(t, foreign, table)
		n, err := tenancy.One[int](tenancy.WithID(t.Context(), "~registry"), f.db, `select count(*)::int from registry.`+table)
		require.NoError(t, err)
		require.Zero(t, n, "the tenant of look-ups has no rows")
	}
	refused := func(sql string, args ...any) {
		t.Helper()
		require.Error(t, f.db.Do(eve, func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Exec(ctx, sql, args...); return err }), sql)
	}
	refused(`insert into registry.members values ($1, 'eve', 'owner', 1, now(), now())`, acme.ID)
	refused(`insert into registry.names (kind, name, tenant_id) values ('slug', 'new', $1)`, acme.ID)
	refused(`update registry.names set tenant_id = $1`, acme.ID)
	refused(`update registry.tenants set id = $1, tenant_id = $1`, acme.ID)
	refused(`update registry.tenants set read_only = true`)
	refused(`update registry.quotas set used = -1; insert into registry.quotas values ($1)`, acme.ID)
	refused(`create or replace function registry.resolve(kind text, name text) returns text language sql as 'select 1'`)
	refused(`alter function registry.resolve(text, text) owner to current_user`)
	refused(`set role tenancy_system`)

	// The look-up answers an exact key: no patterns, no lists, no columns beyond a resolver's.
	for _, name := range []string{"%", "acm%", "", "ACME", "acme' or true --"} {
		n, err := tenancy.One[int](eve, f.db, `select count(*)::int from registry.resolve('slug', $1)`, name)
		require.NoError(t, err)
		require.Zero(t, n, name)
	}
	found, err := guard.Audit(t.Context(), pg.Owner, nil)
	require.NoError(t, err)
	require.Len(t, found, 1, found)
	require.Equal(t, "T20", found[0].Rule, "the database is not ours")
}

// TestGuessedIdsLeadNowhere uses genuine ids of one tenant in another one.
func TestGuessedIdsLeadNowhere(t *testing.T) {
	both(t, func(f fixture) {
		acme, globex := f.tenant("acme", "ann"), f.tenant("globex", "eve")
		key, text := f.key(acme, registry.NewKey{})
		eve := f.as(globex, "eve")
		require.ErrorIs(f, f.reg.RevokeKey(eve, key.ID), tenancy.ErrNotFound)
		require.ErrorIs(f, f.reg.RemoveMember(eve, "ann"), tenancy.ErrNotFound)
		require.ErrorIs(f, f.reg.SetRole(eve, "ann", "member"), tenancy.ErrNotFound)
		// The key acts in its own tenant only.
		require.ErrorIs(f, f.reg.AddMember(f.as(globex, key.Actor().ID), "mole", "member"), registry.ErrForbidden)
		for _, list := range []func() (int, error){
			func() (int, error) {
				l, err := f.reg.Keys(eve, record.Query{Where: "id = $1 or true", Args: []any{key.ID}})
				return len(l), err
			},
			func() (int, error) {
				l, err := f.reg.Members(eve, record.Query{Where: "user_id = 'ann' or false"})
				return len(l), err
			},
			func() (int, error) {
				l, err := f.reg.AuditLog(eve, registry.AuditQuery{Actor: "ann"})
				return len(l), err
			},
		} {
			n, err := list()
			require.NoError(f, err)
			require.Zero(f, n)
		}
		_, ref, err := f.reg.Authenticate(eve, text)
		require.NoError(f, err)
		require.Equal(f, acme.ID, ref.ID, "the key decides, not the context")
	})
}
