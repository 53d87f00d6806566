package registry_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

func TestCreate(t *testing.T) {
	both(t, func(f fixture) {
		seats := registry.Setting[int]{Name: "seats", Default: 1}
		ctx := tenancy.WithActor(f.Context(), tenancy.Actor{ID: "ann", IP: "192.0.2.1", RequestID: "r1"})
		n := registry.NewTenant{Slug: " Acme ", Name: "Acme GmbH", Plan: "pro", Owner: "ann", Settings: map[string]any{"seats": 5}}
		acme, err := f.reg.Create(ctx, n)
		require.NoError(f, err)
		require.Equal(f, "acme", acme.Slug)
		require.False(f, acme.CreatedAt.IsZero())

		got, err := f.reg.Get(f.as(acme, ""))
		require.NoError(f, err)
		require.Equal(f, acme, got)
		require.Equal(f, []any{"Acme GmbH", "pro", registry.Active, int64(1), int64(1)}, []any{got.Name, got.Plan, got.State, got.Owners, got.Version})
		m, err := f.reg.Member(f.as(acme, ""), "ann")
		require.NoError(f, err)
		require.Equal(f, registry.Owner, m.Role)
		require.True(f, m.Can("anything.at.all"))
		c, err := f.reg.Config(f.as(acme, ""))
		require.NoError(f, err)
		v, err := seats.Get(c)
		require.NoError(f, err)
		require.Equal(f, 5, v)
		require.Equal(f, []string{"ann tenant.created"}, f.audited(acme))

		for range 2 { // a second call finds what the first one made, however it is spelled
			n.Slug = "ACME"
			again, err := f.reg.Create(ctx, n)
			require.NoError(f, err)
			require.Equal(f, acme, again)
		}
		require.Len(f, f.audited(acme), 1)
		n.Owner = "eve"
		_, err = f.reg.Create(ctx, n)
		require.ErrorIs(f, err, registry.ErrTaken)
		n.Owner = ""
		_, err = f.reg.Create(ctx, n)
		require.ErrorIs(f, err, registry.ErrTaken, "without an owner or an id nobody is asked who calls")
		f.add(acme, "eve", "admin")
		n.Owner = "eve"
		_, err = f.reg.Create(ctx, n)
		require.ErrorIs(f, err, registry.ErrTaken, "an admin is no owner")
	})
}

func TestCreateByID(t *testing.T) {
	both(t, func(f fixture) {
		n := registry.NewTenant{ID: "t-1", Slug: "one"}
		one, err := f.reg.Create(f.Context(), n)
		require.NoError(f, err)
		require.Equal(f, "t-1", one.ID)
		require.Zero(f, one.Owners)
		again, err := f.reg.Create(f.Context(), n)
		require.NoError(f, err)
		require.Equal(f, one, again)
		for _, bad := range []registry.NewTenant{
			{ID: "t-1", Slug: "two"},               // the id is taken
			{ID: "t-2", Slug: "one"},               // the slug is
			{ID: "t-1", Slug: "one", Owner: "eve"}, // somebody who is not in it
			{ID: "t-3", Slug: "admin"},             // reserved
			{ID: "t-3", Slug: "pulse"},             // reserved by the program
		} {
			_, err := f.reg.Create(f.Context(), bad)
			require.ErrorIs(f, err, registry.ErrTaken, "%+v", bad)
			require.NotContains(f, err.Error(), "t-1", "whose it is stays a secret")
		}
		_, err = f.reg.BySlug(f.Context(), "two")
		require.ErrorIs(f, err, registry.ErrUnknownTenant, "a refused tenant leaves nothing behind")
		two, err := f.reg.Create(f.Context(), registry.NewTenant{ID: "t-2", Slug: "two"})
		require.NoError(f, err)
		require.Equal(f, "t-2", two.ID)
	})
}

func TestBadInputIsRefusedBeforeAnyIO(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	reg := open(t, kit.DB())
	ctx := tenancy.WithID(t.Context(), "acme")
	domains, err := reg.Domains(nil)
	require.NoError(t, err)
	long := strings.Repeat("a", 255) + "@example.com"
	for name, call := range map[string]func() error{
		"create without slug": func() error { _, err := reg.Create(ctx, registry.NewTenant{}); return err },
		"id with a separator": func() error { _, err := reg.Create(ctx, registry.NewTenant{ID: "a/b", Slug: "a1"}); return err },
		"the reserved id":     func() error { _, err := reg.Create(ctx, registry.NewTenant{ID: "~registry", Slug: "a1"}); return err },
		"name with a control": func() error { _, err := reg.Create(ctx, registry.NewTenant{Slug: "a1", Name: "a\nb"}); return err },
		"a key as owner":      func() error { _, err := reg.Create(ctx, registry.NewTenant{Slug: "a1", Owner: "key/1"}); return err },
		"setting with a bad name": func() error {
			_, err := reg.Create(ctx, registry.NewTenant{Slug: "a1", Settings: map[string]any{"flag:x": 1}})
			return err
		},
		"slug":            func() error { _, err := reg.BySlug(ctx, "a.b"); return err },
		"user without id": func() error { _, err := reg.Member(ctx, ""); return err },
		"unknown role":    func() error { return reg.AddMember(registry.Trusted(ctx), "ann", "king") },
		"address with a name": func() error {
			_, _, err := reg.Invite(ctx, registry.NewInvitation{Email: "A <a@example.com>", Role: "member"})
			return err
		},
		"address outside ASCII": func() error {
			_, _, err := reg.Invite(ctx, registry.NewInvitation{Email: "\u212aate@example.com", Role: "member"})
			return err
		},
		"two addresses": func() error {
			_, _, err := reg.Invite(ctx, registry.NewInvitation{Email: "a@example.com,b@example.com", Role: "member"})
			return err
		},
		"long TTL": func() error {
			_, _, err := reg.Invite(ctx, registry.NewInvitation{Email: "a@example.com", Role: "member", TTL: 1 << 60})
			return err
		},
		"token": func() error {
			_, err := reg.Accept(ctx, "inv_x", registry.Acceptance{UserID: "ann", Email: "a@example.com"})
			return err
		},
		"key": func() error { _, _, err := reg.Authenticate(ctx, "sk_live_abc"); return err },
		"scope": func() error {
			_, _, err := reg.CreateKey(registry.Trusted(ctx), registry.NewKey{Scopes: []string{"a..b"}})
			return err
		},
		"overlap":                   func() error { _, _, err := reg.RotateKey(registry.Trusted(ctx), "x", -1); return err },
		"quota of zero":             func() error { return registry.Quota{Name: "q"}.Take(ctx, reg, 0) },
		"quota of minus one":        func() error { return registry.Quota{Name: "q"}.Take(ctx, reg, -1) },
		"flag of 101 percent":       func() error { return registry.Flag{Name: "f"}.Set(ctx, reg, 101) },
		"setting of 65 KiB":         func() error { return registry.Setting[string]{Name: "s"}.Set(ctx, reg, strings.Repeat("x", 65<<10)) },
		"setting with NUL":          func() error { return registry.Setting[string]{Name: "s"}.Set(ctx, reg, "\x00") },
		"id of a key":               func() error { return reg.RevokeKey(registry.Trusted(ctx), "\x00") },
		"id of a key to rotate":     func() error { _, _, err := reg.RotateKey(registry.Trusted(ctx), "\xff", 0); return err },
		"id of an invitation":       func() error { return reg.RevokeInvitation(registry.Trusted(ctx), "\x00") },
		"id of an impersonation":    func() error { return reg.EndImpersonation(ctx, strings.Repeat("x", 201)) },
		"id of a domain":            func() error { _, err := domains.Get(ctx, "\x00"); return err },
		"id of a domain to verify":  func() error { _, err := domains.Verify(ctx, "\x00"); return err },
		"id of a domain to remove":  func() error { return domains.Remove(ctx, "\x00") },
		"long address":              func() error { _, err := reg.Join(ctx, registry.Acceptance{UserID: "ann", Email: long}); return err },
		"audit query with NUL":      func() error { _, err := reg.AuditLog(ctx, registry.AuditQuery{Subject: "\x00"}); return err },
		"audit query without limit": func() error { _, err := reg.AuditLog(ctx, registry.AuditQuery{Limit: -1}); return err },
	} {
		err := call()
		require.ErrorIs(t, err, registry.ErrMalformed, name)
		require.Equal(t, 400, status(err), name)
	}
	_, err = reg.Get(t.Context())
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	require.Zero(t, kit.RoundTrips())
}

func TestSlugs(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	reg := open(t, kit.DB())
	for _, good := range []string{"a", "a1", "1a", "acme-corp", "ACME-2", "  x  ", strings.Repeat("a", 63), "a--b"} {
		_, err := reg.Create(t.Context(), registry.NewTenant{Slug: good})
		require.NoError(t, err, good)
	}
	for _, bad := range []string{
		"", " ", "-a", "a-", "a b", "a.b", "a_b", "a/b", "a\x00b", "a%62", strings.Repeat("a", 64), "xn--80ak6aa92e", "ab--c",
		"\u0430cme",          // Cyrillic a
		"acm\u00e9",          // é
		"\u212aate",          // Kelvin sign, which strings.ToLower folds to k
		"\u0130stanbul",      // dotted capital I
		"ac\u200bme", "ａｃｍｅ", // zero width, full width
	} {
		_, err := reg.Create(t.Context(), registry.NewTenant{Slug: bad})
		require.ErrorIs(t, err, registry.ErrMalformed, "%q", bad)
	}
}

func TestConcurrentCreatesOfOneSlug(t *testing.T) {
	both(t, func(f fixture) {
		const callers = 16
		tenants, errs := make([]registry.Tenant, callers), make([]error, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				n := registry.NewTenant{Slug: "acme", Owner: fmt.Sprint("user", i%2)}
				tenants[i], errs[i] = f.reg.Create(f.Context(), n)
			})
		}
		wg.Wait()
		won := map[string]int{}
		for i := range callers {
			if errs[i] != nil {
				require.ErrorIs(f, errs[i], registry.ErrTaken)
				continue
			}
			won[fmt.Sprint(tenants[i].ID, " user", i%2)]++
		}
		require.Len(f, won, 1, "one owner got it, and each of its calls the same tenant")
		for _, n := range won {
			require.Equal(f, callers/2, n)
		}
	})
}

func TestOldSlugsLeadToTheTenant(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		rename := func(slug string) error {
			_, err := f.reg.Update(f.as(acme, "ann"), func(t *registry.Tenant) error { t.Slug, t.ID, t.State = slug, "other", registry.Deleted; return nil })
			return err
		}
		require.NoError(f, rename("Acme-Corp"))
		for _, slug := range []string{"acme", "acme-corp", "ACME"} {
			ref, err := f.reg.BySlug(f.Context(), slug)
			require.NoError(f, err)
			require.Equal(f, []string{acme.ID, "acme-corp"}, []string{ref.ID, ref.Slug}, "an old slug says where to go")
			require.NoError(f, ref.Check(true))
		}
		_, err := f.reg.Create(f.Context(), registry.NewTenant{Slug: "acme", Owner: "ann"})
		require.ErrorIs(f, err, registry.ErrTaken, "an old slug stays its tenant's")
		globex := f.tenant("globex", "bob")
		_, err = f.reg.Update(f.as(globex, "bob"), func(t *registry.Tenant) error { t.Slug = "acme"; t.Name = "x"; return nil })
		require.ErrorIs(f, err, registry.ErrTaken)
		got, err := f.reg.Get(f.as(globex, ""))
		require.NoError(f, err)
		require.Equal(f, globex, got, "a refused change changes nothing")

		require.NoError(f, rename("acme"), "back to its own old one")
		require.ErrorIs(f, rename("admin"), registry.ErrTaken)
		require.ErrorIs(f, rename("a.b"), registry.ErrMalformed)
		for i := range 8 {
			require.NoError(f, rename(fmt.Sprint("acme", i)))
		}
		err = rename("one-too-many")
		require.ErrorIs(f, err, registry.ErrQuota)
		require.NoError(f, rename("acme"))
		require.NoError(f, rename("acme"), "the same slug is no change")
		log := f.audited(acme)
		require.Len(f, log, 1+1+1+8+1)
		require.Equal(f, "ann tenant.renamed", log[1])
	})
}

func TestUpdate(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		got, err := f.reg.Update(f.as(acme, "ann"), func(t *registry.Tenant) error { t.Name, t.Plan = "Acme", "pro"; return nil })
		require.NoError(f, err)
		require.Equal(f, []string{"Acme", "pro", "acme"}, []string{got.Name, got.Plan, got.Slug})
		log, err := f.reg.AuditLog(f.as(acme, ""), registry.AuditQuery{Limit: 1})
		require.NoError(f, err)
		require.Equal(f, "tenant.updated", log[0].Action)
		require.Len(f, log[0].Changes, 2, "changed fields only")
		require.JSONEq(f, `"pro"`, string(log[0].Changes["plan"].New))

		_, err = f.reg.Update(f.as(registry.Tenant{ID: "nobody"}, "ann"), func(*registry.Tenant) error { return nil })
		require.ErrorIs(f, err, registry.ErrUnknownTenant)
		require.ErrorIs(f, err, tenancy.ErrNotFound)
		require.Equal(f, 404, status(err))
		list, err := f.reg.List(tenancy.System(f.Context(), "operator"), record.Query{Order: "slug"})
		require.NoError(f, err)
		require.Len(f, list, 1)
		f.tenant("globex", "bob")
		list, err = f.reg.List(f.as(acme, ""), record.Query{})
		require.NoError(f, err)
		require.Len(f, list, 1, "a tenant sees itself")
	})
}
