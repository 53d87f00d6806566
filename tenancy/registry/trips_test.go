package registry_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// TestRoundTrips holds the comments to their word. In memory a trip is a batch, as on PostgreSQL once a connection knows the
// statements.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	f := fixture{t, kit.DB(), open(t, kit.DB()), kit}
	acme := f.tenant("acme", "ann")
	ctx := f.as(acme, "ann")
	_, text := f.key(acme, registry.NewKey{})
	plain, planned := registry.Quota{Name: "a", Limit: 100}, registry.Quota{Name: "b", Limit: 100, Plans: map[string]int64{"pro": 1}}
	for _, q := range []registry.Quota{plain, planned} {
		require.NoError(t, q.Take(ctx, f.reg, 1)) // the first one also makes the counter
	}
	inUnit := func(q registry.Quota) func() error {
		return func() error {
			return f.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { return q.Take(ctx, f.reg, 1) })
		}
	}
	for _, c := range []struct {
		name string
		want int
		run  func() error
	}{
		{"BySlug", 1, func() error { _, err := f.reg.BySlug(ctx, "acme"); return err }},
		{"Get", 1, func() error { _, err := f.reg.Get(ctx); return err }},
		{"Member", 1, func() error { _, err := f.reg.Member(ctx, "ann"); return err }},
		{"Memberships", 1, func() error { _, err := f.reg.Memberships(ctx, "ann"); return err }},
		{"Config", 1, func() error { _, err := f.reg.Config(ctx); return err }},
		{"AuditLog", 1, func() error { _, err := f.reg.AuditLog(ctx, registry.AuditQuery{}); return err }},
		{"Authenticate, which writes the use", 3, func() error { _, _, err := f.reg.Authenticate(ctx, text); return err }},
		{"Authenticate", 2, func() error { _, _, err := f.reg.Authenticate(ctx, text); return err }},
		{"Authenticate with a wrong checksum", 0, func() error { _, _, _ = f.reg.Authenticate(ctx, flip(text, 30)); return nil }},
		{"Create", 3, func() error { _, err := f.reg.Create(ctx, registry.NewTenant{Slug: "b", Owner: "ann"}); return err }},
		{"Create with an id", 4, func() error { _, err := f.reg.Create(ctx, registry.NewTenant{ID: "c", Slug: "c"}); return err }},
		{"Take and COMMIT", 1 + 1, inUnit(plain)},
		{"Take by plan and COMMIT", 2 + 1, inUnit(planned)},
		{"Release", 1, func() error { return plain.Release(ctx, f.reg, 1) }},
		{"SetState", 3, func() error { return f.reg.SetState(ctx, registry.StateChange{To: registry.Suspended}) }},
	} {
		before := kit.RoundTrips()
		require.NoError(t, c.run(), c.name)
		require.Equal(t, c.want, kit.RoundTrips()-before, c.name)
	}
}
