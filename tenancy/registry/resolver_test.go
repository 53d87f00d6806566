package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/registry"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

func request(method, url string, header ...string) *http.Request {
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

type claimKey struct{}

func claimed(r *http.Request, id string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), claimKey{}, id))
}

func byClaim() registry.Source {
	return registry.ByClaim(func(ctx context.Context) (string, bool) {
		id, ok := ctx.Value(claimKey{}).(string)
		return id, ok
	})
}

func (f fixture) resolver(opts *registry.ResolverOptions, sources ...registry.Source) *registry.Resolver {
	f.Helper()
	v, err := f.reg.Resolver(opts, sources...)
	require.NoError(f, err)
	return v
}

// street is two tenants with what leads to them, and a resolver of all kinds.
type street struct {
	fixture
	acme, globex registry.Tenant
	keys         [2]string // Authorization headers
	v            *registry.Resolver
}

func newStreet(f fixture) street {
	z := newZone(f, registry.DomainOptions{})
	s := street{fixture: f, acme: f.tenant("acme", "ann"), globex: f.tenant("globex", "bob")}
	d := z.publish(s.acme, "shop.acme.test")
	_, err := z.domains.Verify(f.as(s.acme, "ann"), d.ID)
	require.NoError(f, err)
	_, err = z.domains.Claim(f.as(s.globex, "bob"), "pending.globex.test")
	require.NoError(f, err)
	for i, ctx := range []context.Context{f.as(s.acme, "ann"), f.as(s.globex, "bob")} {
		_, secret, err := f.reg.CreateKey(ctx, registry.NewKey{Scopes: []string{"projects.read"}})
		require.NoError(f, err)
		s.keys[i] = "Bearer " + secret.Reveal()
	}
	s.v = f.resolver(&registry.ResolverOptions{Hosts: []string{"api.test.example"}, TTL: -1, NegativeTTL: -1}, registry.ByAPIKey(), byClaim(),
		registry.ByDomain(), registry.BySubdomain("pulse.test"), registry.ByHeader("x-tenant"), registry.ByPath("/t/"))
	return s
}

func get(url string, header ...string) *http.Request { return request("GET", url, header...) }

func TestResolve(t *testing.T) {
	both(t, func(f fixture) {
		s := newStreet(f)
		acme, globex, acmeKey, globexKey := s.acme, s.globex, s.keys[0], s.keys[1]
		for name, c := range map[string]struct {
			r    *http.Request
			want string // a tenant
			err  error
		}{
			"subdomain":                    {get("https://acme.pulse.test/"), acme.ID, nil},
			"subdomain, spelled otherwise": {get("https://ACME.Pulse.Test.:8443/"), acme.ID, nil},
			"unknown subdomain":            {get("https://nobody.pulse.test/"), "", registry.ErrUnknownTenant},
			"deeper subdomain":             {get("https://a.acme.pulse.test/"), "", registry.ErrUnknownTenant},
			"apex":                         {get("https://pulse.test/"), "", tenancy.ErrNoTenant},
			"reserved subdomain":           {get("https://www.pulse.test/"), "", tenancy.ErrNoTenant},
			"reserved by the program":      {get("https://pulse.pulse.test/"), "", tenancy.ErrNoTenant},
			"like the apex":                {get("https://acme.notpulse.test/"), "", registry.ErrUnknownTenant},
			"domain":                       {get("https://Shop.ACME.test:443/"), acme.ID, nil},
			"pending domain":               {get("https://pending.globex.test/"), "", registry.ErrUnknownTenant},
			"unknown domain":               {get("https://elsewhere.test/"), "", registry.ErrUnknownTenant},
			"own host":                     {get("https://api.test.example/"), "", tenancy.ErrNoTenant},
			"path":                         {get("https://pulse.test/t/globex/notes"), globex.ID, nil},
			"path, capital":                {get("https://pulse.test/t/GLOBEX"), globex.ID, nil},
			"path without a name":          {get("https://pulse.test/t/"), "", tenancy.ErrNoTenant},
			"path that is no slug":         {get("https://pulse.test/t/..%2fglobex"), "", registry.ErrUnknownTenant},
			"header":                       {get("https://pulse.test/", "X-Tenant", "globex"), globex.ID, nil},
			"header twice":                 {get("https://pulse.test/", "X-Tenant", "acme", "X-Tenant", "globex"), "", registry.ErrMalformed},
			"key":                          {get("https://api.test.example/", "Authorization", acmeKey), acme.ID, nil},
			"key, scheme in capitals":      {get("https://api.test.example/", "Authorization", strings.Replace(acmeKey, "Bearer", "BEARER ", 1)), acme.ID, nil},
			"another kind of token":        {get("https://pulse.test/", "Authorization", "Bearer eyJhbGciOi"), "", tenancy.ErrNoTenant},
			"another scheme":               {get("https://pulse.test/", "Authorization", "Basic YTpi"), "", tenancy.ErrNoTenant},
			"malformed key":                {get("https://acme.pulse.test/", "Authorization", "Bearer sk_live_x"), "", registry.ErrMalformed},
			"unknown key": {get("https://acme.pulse.test/", "Authorization", "Bearer sk_live_"+
				"aaaaaaaaaaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAA_"), "", registry.ErrMalformed},
			"claim":                   {claimed(get("https://pulse.test/"), globex.ID), globex.ID, nil},
			"unknown claim":           {claimed(get("https://pulse.test/"), "nobody"), "", registry.ErrUnknownTenant},
			"malformed claim":         {claimed(get("https://acme.pulse.test/"), "~registry"), "", registry.ErrUnknownTenant},
			"all agree":               {claimed(get("https://acme.pulse.test/t/acme/", "X-Tenant", "acme", "Authorization", acmeKey), acme.ID), acme.ID, nil},
			"host against key":        {get("https://acme.pulse.test/", "Authorization", globexKey), "", registry.ErrConflict},
			"domain against claim":    {claimed(get("https://shop.acme.test/"), globex.ID), "", registry.ErrConflict},
			"key against header":      {get("https://pulse.test/", "Authorization", globexKey, "X-Tenant", "acme"), "", registry.ErrConflict},
			"known against unknown":   {get("https://acme.pulse.test/", "X-Tenant", "nobody"), "", registry.ErrUnknownTenant},
			"an address as host":      {get("https://127.0.0.1:8080/"), "", tenancy.ErrNoTenant},
			"an address with a key":   {get("https://[::1]:8080/", "Authorization", acmeKey), acme.ID, nil},
			"forwarded by a stranger": {get("https://pulse.test/", "X-Forwarded-Host", "acme.pulse.test"), "", tenancy.ErrNoTenant},
		} {
			ctx, err := s.v.Resolve(c.r)
			require.ErrorIs(f, err, c.err, name)
			if c.err != nil {
				require.Nil(f, ctx, name)
				continue
			}
			id, _ := tenancy.IDFrom(ctx)
			require.Equal(f, c.want, id, name)
		}
	})
}

func TestResolveSaysWho(t *testing.T) {
	both(t, func(f fixture) {
		s := newStreet(f)
		v, acme, acmeKey, globexKey := s.v, s.acme, s.keys[0], s.keys[1]
		_, err := v.Resolve(get("https://acme.pulse.test/", "Authorization", globexKey))
		var conflict *registry.ConflictError
		require.ErrorAs(f, err, &conflict)
		require.Equal(f, []any{"API key", "subdomain", 421}, []any{conflict.First, conflict.Second, status(err)})
		require.NotContains(f, err.Error(), acme.ID)
		_, err = v.Resolve(get("https://pulse.test/", "Authorization", globexKey, "X-Tenant", "acme"))
		require.Equal(f, 403, status(err))

		ctx, err := v.Resolve(get("https://acme.pulse.test/", "Authorization", acmeKey))
		require.NoError(f, err)
		key, ok := registry.KeyFrom(ctx)
		require.True(f, ok)
		require.True(f, key.Can("projects.read"))
		actor, _ := tenancy.ActorFrom(ctx)
		require.Equal(f, key.Actor().ID, actor.ID)
		require.NotContains(f, fmt.Sprint(ctx), strings.TrimPrefix(acmeKey, "Bearer "))
		_, ok = registry.KeyFrom(f.Context())
		require.False(f, ok)
	})
}

func TestResolveChecksTheState(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		v := f.resolver(&registry.ResolverOptions{TTL: -1}, registry.ByHeader("X-Tenant"))
		for _, c := range []struct {
			change      registry.StateChange
			read, write error
		}{
			{registry.StateChange{To: registry.Suspended, ReadOnly: true}, nil, registry.ErrSuspended},
			{registry.StateChange{To: registry.Suspended}, registry.ErrSuspended, registry.ErrSuspended},
			{registry.StateChange{To: registry.Archived}, registry.ErrArchived, registry.ErrArchived},
			{registry.StateChange{To: registry.Deleting}, registry.ErrGone, registry.ErrGone},
			{registry.StateChange{To: registry.Active}, nil, nil},
		} {
			require.NoError(f, f.reg.SetState(f.as(acme, "ops"), c.change))
			for method, want := range map[string]error{"GET": c.read, "HEAD": c.read, "OPTIONS": c.read, "POST": c.write, "DELETE": c.write, "BREW": c.write} {
				_, err := v.Resolve(request(method, "/", "X-Tenant", "acme"))
				require.ErrorIs(f, err, want, method)
			}
			ref, err := v.Find(request("POST", "/", "X-Tenant", "acme"))
			require.NoError(f, err)
			require.Equal(f, c.change.To, ref.State)
		}
	})
}

func TestResolverBehindProxies(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	f := fixture{t, kit.DB(), open(t, kit.DB()), kit}
	f.tenant("acme", "")
	f.tenant("globex", "")
	v := f.resolver(&registry.ResolverOptions{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}},
		registry.BySubdomain("pulse.test"))
	for name, c := range map[string]struct {
		remote, slug string
		forwarded    []string
		err          error
	}{
		"a trusted proxy":         {"10.1.2.3:999", "globex", []string{"GLOBEX.pulse.test:443"}, nil},
		"mapped to IPv6":          {"[::ffff:10.1.2.3]:999", "globex", []string{"globex.pulse.test"}, nil},
		"on IPv6":                 {"[fd00::1]:999", "globex", []string{"globex.pulse.test"}, nil},
		"that says nothing":       {"10.1.2.3:999", "acme", nil, nil},
		"that says two things":    {"10.1.2.3:999", "", []string{"acme.pulse.test", "globex.pulse.test"}, registry.ErrMalformed},
		"that says a list":        {"10.1.2.3:999", "", []string{"acme.pulse.test, globex.pulse.test"}, tenancy.ErrNoTenant},
		"a stranger":              {"192.0.2.1:999", "acme", []string{"globex.pulse.test"}, nil},
		"an address that is none": {"@", "acme", []string{"globex.pulse.test"}, nil},
	} {
		r := request("GET", "https://acme.pulse.test/")
		r.RemoteAddr = c.remote
		r.Header["X-Forwarded-Host"] = c.forwarded
		ref, err := v.Find(r)
		require.ErrorIs(t, err, c.err, name)
		require.Equal(t, c.slug, ref.Slug, name)
	}
}

func TestResolverRemembers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kit := tenancytest.New(t)
		f := fixture{t, kit.DB(), open(t, kit.DB()), kit}
		acme := f.tenant("acme", "ann")
		v := f.resolver(nil, registry.BySubdomain("pulse.test"))
		find := func(slug string) (trips int, err error) {
			before := kit.RoundTrips()
			_, err = v.Resolve(request("GET", "https://"+slug+".pulse.test/"))
			return kit.RoundTrips() - before, err
		}
		cost := func(want int, slug string, wantErr error) {
			t.Helper()
			trips, err := find(slug)
			require.ErrorIs(t, err, wantErr)
			require.Equal(t, want, trips)
		}
		cost(1, "acme", nil)
		cost(0, "acme", nil)
		cost(1, "nobody", registry.ErrUnknownTenant)
		cost(0, "nobody", registry.ErrUnknownTenant)
		<-time.After(6 * time.Second)
		cost(1, "nobody", registry.ErrUnknownTenant)
		cost(0, "acme", nil)
		<-time.After(10 * time.Second)
		cost(1, "acme", nil)

		require.NoError(t, f.reg.SetState(f.as(acme, "ops"), registry.StateChange{To: registry.Suspended}))
		cost(0, "acme", nil)
		require.NoError(t, v.Invalidate(t.Context(), "somebody else"))
		cost(0, "acme", nil)
		require.NoError(t, v.Invalidate(t.Context(), acme.ID))
		cost(1, "acme", registry.ErrSuspended)
		require.NoError(t, f.reg.SetState(f.as(acme, "ops"), registry.StateChange{To: registry.Active}))
		cost(0, "acme", registry.ErrSuspended)
		require.NoError(t, v.Observe(t.Context(), kit.Events()...))
		cost(1, "acme", nil)
		cost(1, "globex", registry.ErrUnknownTenant)
		f.tenant("globex", "")
		require.NoError(t, v.Observe(t.Context(), outbox.Event{Type: "order.placed", Tenant: acme.ID, Payload: []byte(`{"type":"x"}`)}))
		cost(0, "globex", registry.ErrUnknownTenant)
		require.NoError(t, v.Observe(t.Context(), kit.Events()...))
		cost(1, "globex", nil)

		kit.FailNext(tenancytest.ErrConnLost, tenancytest.ErrConnLost, tenancytest.ErrConnLost, tenancytest.ErrConnLost,
			tenancytest.ErrConnLost, tenancytest.ErrConnLost, tenancytest.ErrConnLost)
		_, err := find("initech")
		require.Error(t, err)
		require.NotErrorIs(t, err, registry.ErrUnknownTenant, "a fault is not remembered as a refusal")
	})
}

func TestResolverForgetsRevokedKeys(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		key, secret, err := f.reg.CreateKey(f.as(acme, "ann"), registry.NewKey{})
		require.NoError(f, err)
		v := f.resolver(&registry.ResolverOptions{TTL: time.Hour, NegativeTTL: time.Hour}, registry.ByAPIKey())
		r := request("GET", "/", "Authorization", "Bearer "+secret.Reveal())
		_, err = v.Resolve(r)
		require.NoError(f, err)
		require.NoError(f, f.reg.RevokeKey(f.as(acme, "ann"), key.ID))
		require.NoError(f, v.Invalidate(f.Context(), acme.ID))
		for range 2 {
			_, err = v.Resolve(r)
			require.ErrorIs(f, err, registry.ErrRevoked)
		}
	})
}

// TestResolverLoadsOnce: a thousand requests for one tenant at once cost one look-up, and each leaves when its caller does.
func TestResolverLoadsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kit := tenancytest.New(t)
		f := fixture{t, kit.DB(), open(t, kit.DB()), kit}
		f.tenant("acme", "")
		slow := &slowCache{}
		v := f.resolver(&registry.ResolverOptions{Shared: slow}, registry.ByHeader("X-Tenant"))
		var wg sync.WaitGroup
		var impatient atomic.Int64
		for i := range 1000 {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				if i%10 == 9 {
					ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
				}
				defer cancel()
				_, err := v.Find(request("GET", "/", "X-Tenant", "acme").WithContext(ctx))
				if errors.Is(err, context.DeadlineExceeded) {
					impatient.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, int64(1), slow.loads.Load())
		require.LessOrEqual(t, impatient.Load(), int64(100))
		require.GreaterOrEqual(t, impatient.Load(), int64(99), "whoever loads stays")
	})
}

// slowCache is a shared cache that remembers nothing and takes a second.
type slowCache struct{ loads atomic.Int64 }

func (c *slowCache) GetOrLoad(ctx context.Context, _ string, _, _ time.Duration, _ []string, load func(context.Context) ([]byte, error)) ([]byte, time.Time, string, error) {
	c.loads.Add(1)
	<-time.After(time.Second)
	val, err := load(ctx)
	return val, time.Now(), "miss", err
}

func (*slowCache) InvalidateTags(context.Context, ...string) error { return nil }

// sharedCache remembers for ever.
type sharedCache struct {
	mu   sync.Mutex
	vals map[string][]byte
}

func (c *sharedCache) GetOrLoad(ctx context.Context, key string, _, _ time.Duration, tags []string, load func(context.Context) ([]byte, error)) ([]byte, time.Time, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.vals[key]; ok {
		return v, time.Now(), "hit", nil
	}
	v, err := load(ctx)
	if err == nil && len(tags) == 1 {
		c.vals[key] = v
	}
	return v, time.Now(), "miss", err
}

func (c *sharedCache) InvalidateTags(context.Context, ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.vals)
	return nil
}

func TestResolverSharesItsCache(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	f := fixture{t, kit.DB(), open(t, kit.DB()), kit}
	acme := f.tenant("acme", "ann")
	_, secret, err := f.reg.CreateKey(f.as(acme, "ann"), registry.NewKey{})
	require.NoError(t, err)
	shared := &sharedCache{vals: map[string][]byte{}}
	resolver := func() *registry.Resolver {
		return f.resolver(&registry.ResolverOptions{Shared: shared}, registry.ByAPIKey(), registry.ByHeader("X-Tenant"))
	}
	a, b := resolver(), resolver()
	for _, v := range []*registry.Resolver{a, b} {
		before := kit.RoundTrips()
		_, err := v.Resolve(request("GET", "/", "X-Tenant", "acme"))
		require.NoError(t, err)
		_, err = v.Resolve(request("GET", "/", "X-Tenant", "nobody"))
		require.ErrorIs(t, err, registry.ErrUnknownTenant)
		if v == b {
			require.Zero(t, kit.RoundTrips()-before)
		}
	}
	_, err = a.Resolve(request("GET", "/", "Authorization", "Bearer "+secret.Reveal()))
	require.NoError(t, err)
	for key, val := range shared.vals {
		require.NotContains(t, key+string(val), secret.Reveal(), "keys stay in the process")
	}
	require.NoError(t, a.Invalidate(t.Context(), acme.ID))
	require.Empty(t, shared.vals)
}

// TestResolverIsBounded: a flood of names that do not exist leaves the tenants in memory.
func TestResolverIsBounded(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	f := fixture{t, kit.DB(), open(t, kit.DB()), kit}
	v := f.resolver(&registry.ResolverOptions{Size: 8, TTL: time.Hour, NegativeTTL: time.Hour}, registry.ByHeader("X-Tenant"))
	for i := range 8 {
		f.tenant(fmt.Sprint("tenant", i), "")
		_, err := v.Find(request("GET", "/", "X-Tenant", fmt.Sprint("tenant", i)))
		require.NoError(t, err)
	}
	for i := range 100 {
		_, err := v.Find(request("GET", "/", "X-Tenant", fmt.Sprint("nobody", i)))
		require.ErrorIs(t, err, registry.ErrUnknownTenant)
	}
	before := kit.RoundTrips()
	for i := range 8 {
		_, err := v.Find(request("GET", "/", "X-Tenant", fmt.Sprint("tenant", i)))
		require.NoError(t, err)
	}
	require.Equal(t, before, kit.RoundTrips())
	remembered := 0
	for i := range 100 {
		before := kit.RoundTrips()
		_, _ = v.Find(request("GET", "/", "X-Tenant", fmt.Sprint("nobody", i)))
		if kit.RoundTrips() == before {
			remembered++
		}
	}
	require.LessOrEqual(t, remembered, 8)
}

func TestAskForCertificates(t *testing.T) {
	both(t, func(f fixture) {
		z := newZone(f, registry.DomainOptions{})
		acme, gone := f.tenant("acme", "ann"), f.tenant("gone", "bob")
		for host, tenant := range map[string]registry.Tenant{"shop.acme.test": acme, "shop.gone.test": gone} {
			_, err := z.domains.Verify(registry.Trusted(f.as(tenant, "x")), z.publish(tenant, host).ID)
			require.NoError(f, err)
		}
		_, err := z.domains.Claim(f.as(acme, "ann"), "pending.acme.test")
		require.NoError(f, err)
		require.NoError(f, f.reg.SetState(f.as(gone, "ops"), registry.StateChange{To: registry.Deleting}))
		v := f.resolver(nil, registry.ByAPIKey(), registry.ByDomain(), registry.BySubdomain("pulse.test"), registry.ByHeader("X-Tenant"))
		h := v.AskHandler()
		ask := func(host string) int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request("GET", "/ask?domain="+host, "X-Tenant", "acme"))
			return w.Code
		}
		for host, want := range map[string]int{
			"shop.acme.test": 200, "SHOP.acme.test.": 200, "acme.pulse.test": 200, "shop.gone.test": 404, "pending.acme.test": 404,
			"elsewhere.test": 404, "pulse.test": 404, "www.pulse.test": 404, "a.acme.pulse.test": 404, "127.0.0.1": 404, "": 404, "*.test": 404,
		} {
			require.Equal(f, want, ask(host), host)
		}
		require.ErrorIs(f, v.Ask(f.Context(), "shop.gone.test"), registry.ErrGone)
		if f.kit != nil {
			f.kit.FailNext(errors.New("no database"))
			require.Equal(f, 503, ask("new.test"))
		}
	})
}

func TestResolverMisuse(t *testing.T) {
	t.Parallel()
	reg := open(t, tenancytest.New(t).DB())
	for _, sources := range [][]registry.Source{nil, {{}}} {
		_, err := reg.Resolver(nil, sources...)
		require.Error(t, err)
	}
	_, err := reg.Resolver(&registry.ResolverOptions{Hosts: []string{"a_b"}}, registry.ByDomain())
	require.ErrorIs(t, err, registry.ErrHost)
	require.Panics(t, func() { registry.BySubdomain("http://x") })
	require.Panics(t, func() { registry.ByPath("t/") })
	require.NotPanics(t, func() { registry.BySubdomain("localhost") })
}

// BenchmarkResolverHit is a request for a tenant that is remembered.
func BenchmarkResolverHit(b *testing.B) {
	kit := tenancytest.NewKit()
	reg, err := registry.New(kit.DB(), nil)
	require.NoError(b, err)
	_, err = reg.Create(b.Context(), registry.NewTenant{Slug: "acme"})
	require.NoError(b, err)
	v, err := reg.Resolver(&registry.ResolverOptions{TTL: time.Hour}, registry.ByAPIKey(), registry.ByDomain(), registry.BySubdomain("pulse.test"), registry.ByHeader("X-Tenant"))
	require.NoError(b, err)
	r := request("GET", "https://acme.pulse.test:443/notes")
	b.Run("Find", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Find(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Resolve", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Resolve(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}
