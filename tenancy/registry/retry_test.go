package registry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy/registry"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// TestLookUpsAreAskedAgain: a resolver's question, or that for a tenant's settings, writes nothing, so a connection that is lost with the answer is no error.
func TestLookUpsAreAskedAgain(t *testing.T) {
	t.Parallel()
	for name, kit := range map[string]*tenancytest.Kit{"memory": tenancytest.New(t), "PostgreSQL": tenancytest.Postgres(t, registry.Migrations)} {
		f := fixture{t, kit.DB(), open(t, kit.DB()), kit}
		acme := f.tenant("acme", "ann")
		kit.LoseCommit(false)
		got, err := f.reg.BySlug(t.Context(), "acme")
		require.NoError(t, err, name)
		require.Equal(t, acme.ID, got.ID, name)
		kit.LoseCommit(false)
		list, err := f.reg.Memberships(t.Context(), "ann")
		require.NoError(t, err, name)
		require.Len(t, list, 1, name)
		kit.LoseCommit(false)
		c, err := f.reg.Config(f.as(acme, ""))
		require.NoError(t, err, name)
		require.Equal(t, acme.ID, c.Tenant.ID, name)
	}
}
