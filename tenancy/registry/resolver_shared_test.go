package registry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy/registry"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// agedCache is a shared cache that keeps values for as long as it is told and says since when it has them, unless it is mute.
type agedCache struct {
	vals map[string]agedValue
	mute bool
}

type agedValue struct {
	text   []byte
	stored time.Time
}

func (c *agedCache) GetOrLoad(ctx context.Context, key string, fresh, _ time.Duration, _ []string, load func(context.Context) ([]byte, error)) ([]byte, time.Time, string, error) {
	v, ok := c.vals[key]
	if !ok || time.Since(v.stored) >= fresh {
		text, err := load(ctx)
		if err != nil {
			return nil, time.Time{}, "error", err
		}
		v = agedValue{text, time.Now()}
		c.vals[key] = v
	}
	if c.mute {
		return v.text, time.Time{}, "hit", nil
	}
	return v.text, v.stored, "hit", nil
}

func (c *agedCache) InvalidateTags(context.Context, ...string) error { clear(c.vals); return nil }

// TestSharedCacheDoesNotAddUp: two levels together remember an answer for TTL, and a refusal for NegativeTTL, not for both.
func TestSharedCacheDoesNotAddUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kit := tenancytest.New(t)
		f := fixture{t, kit.DB(), open(t, kit.DB()), kit}
		acme := f.tenant("acme", "ann")
		shared := &agedCache{vals: map[string]agedValue{}}
		opts := &registry.ResolverOptions{Shared: shared, TTL: 10 * time.Second, NegativeTTL: 3 * time.Second}
		first, second := f.resolver(opts, registry.ByHeader("X-Tenant")), f.resolver(opts, registry.ByHeader("X-Tenant"))
		resolve := func(v *registry.Resolver, name string) error {
			_, err := v.Resolve(request("GET", "/", "X-Tenant", name))
			return err
		}
		require.NoError(t, resolve(first, "acme"))
		require.ErrorIs(t, resolve(first, "globex"), registry.ErrUnknownTenant)
		<-time.After(2 * time.Second)
		require.ErrorIs(t, resolve(second, "globex"), registry.ErrUnknownTenant)
		f.tenant("globex", "bob")
		before := kit.RoundTrips()
		require.ErrorIs(t, resolve(second, "globex"), registry.ErrUnknownTenant, "remembered")
		<-time.After(time.Second)
		require.NoError(t, resolve(second, "globex"), "3 s after the refusal, though the shared cache has it for 7 s more")
		require.NotZero(t, kit.RoundTrips()-before)

		<-time.After(6 * time.Second)
		require.NoError(t, resolve(second, "acme"), "from the shared cache, 9 s old")
		require.NoError(t, f.reg.SetState(f.as(acme, "ann"), registry.StateChange{To: registry.Suspended, Reason: "unpaid"}))
		before = kit.RoundTrips()
		require.NoError(t, resolve(second, "acme"), "remembered")
		require.Zero(t, kit.RoundTrips()-before)
		<-time.After(time.Second)
		require.ErrorIs(t, resolve(second, "acme"), registry.ErrSuspended, "10 s after the database was asked")
	})
}

// TestSharedCacheWithoutAges: an answer of unknown age is not remembered in the process, and a refusal not believed.
func TestSharedCacheWithoutAges(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	f := fixture{t, kit.DB(), open(t, kit.DB()), kit}
	f.tenant("acme", "ann")
	shared := &agedCache{vals: map[string]agedValue{}, mute: true}
	v := f.resolver(&registry.ResolverOptions{Shared: shared}, registry.ByHeader("X-Tenant"))
	_, err := v.Find(request("GET", "/", "X-Tenant", "acme"))
	require.NoError(t, err)
	require.NoError(t, shared.InvalidateTags(t.Context()))
	before := kit.RoundTrips()
	_, err = v.Find(request("GET", "/", "X-Tenant", "acme"))
	require.NoError(t, err)
	require.NotZero(t, kit.RoundTrips()-before, "asked again")
	_, err = v.Find(request("GET", "/", "X-Tenant", "globex"))
	require.ErrorIs(t, err, registry.ErrUnknownTenant)
	f.tenant("globex", "bob")
	other := f.resolver(&registry.ResolverOptions{Shared: shared}, registry.ByHeader("X-Tenant"))
	_, err = other.Find(request("GET", "/", "X-Tenant", "globex"))
	require.NoError(t, err)
}

// TestNegativeTTLOff: with it a name that does not exist is in no cache.
func TestNegativeTTLOff(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	f := fixture{t, kit.DB(), open(t, kit.DB()), kit}
	shared := &agedCache{vals: map[string]agedValue{}}
	v := f.resolver(&registry.ResolverOptions{Shared: shared, NegativeTTL: -1}, registry.ByHeader("X-Tenant"))
	_, err := v.Find(request("GET", "/", "X-Tenant", "acme"))
	require.ErrorIs(t, err, registry.ErrUnknownTenant)
	require.Empty(t, shared.vals)
	acme := f.tenant("acme", "ann")
	ref, err := v.Find(request("GET", "/", "X-Tenant", "acme"))
	require.NoError(t, err)
	require.Equal(t, acme.ID, ref.ID)
}
