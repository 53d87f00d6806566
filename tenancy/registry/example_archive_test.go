package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// The order of the sources is their precedence; all that answer have to agree.
func ExampleResolver() {
	kit := tenancytest.NewKit()
	reg, _ := registry.New(kit.DB(), nil)
	acme, _ := reg.Create(context.Background(), registry.NewTenant{ID: "t-1", Slug: "acme"})
	_, key, _ := reg.CreateKey(registry.Trusted(tenancy.WithID(context.Background(), acme.ID)), registry.NewKey{Scopes: []string{"notes.*"}})
	_, _ = reg.Create(context.Background(), registry.NewTenant{ID: "t-2", Slug: "globex"})

	who, err := reg.Resolver(&registry.ResolverOptions{Hosts: []string{"api.example.com"}},
		registry.ByAPIKey(), registry.ByDomain(), registry.BySubdomain("example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, host := range []string{"acme.example.com", "api.example.com", "globex.example.com", "nobody.example.com"} {
		r := httptest.NewRequest(http.MethodGet, "https://"+host+"/notes", nil)
		if host != "acme.example.com" {
			r.Header.Set("Authorization", "Bearer "+key.Reveal())
		}
		ctx, err := who.Resolve(r)
		if err != nil {
			fmt.Println(err)
			continue
		}
		id, _ := tenancy.IDFrom(ctx)
		k, _ := registry.KeyFrom(ctx)
		fmt.Println(id, k.Can("notes.read"))
	}
	// Output:
	// t-1 false
	// t-1 true
	// registry: the request names two tenants: by API key and by subdomain
	// registry: unknown tenant
}

// A tenant proves that a host is its own by a TXT record; in tests DNS is a fake.
func ExampleDomains() {
	kit, dns := tenancytest.NewKit(), &tenancytest.DNS{}
	reg, _ := registry.New(kit.DB(), nil)
	acme, _ := reg.Create(context.Background(), registry.NewTenant{ID: "t-1", Slug: "acme", Owner: "ann"})
	ctx := tenancy.WithActor(tenancy.WithID(context.Background(), acme.ID), tenancy.Actor{ID: "ann"})

	domains, err := reg.Domains(&registry.DomainOptions{App: "pulse", Own: []string{"example.com"}, DNS: dns})
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := domains.Claim(ctx, "Bücher.example")
	fmt.Println(d.State, domains.RecordName(d.Host), err)
	_, err = domains.Verify(ctx, d.ID)
	fmt.Println(err)
	dns.SetTXT(domains.RecordName(d.Host), d.Token)
	d, err = domains.Verify(ctx, d.ID)
	fmt.Println(d.State, err)
	checked, lost, err := domains.Recheck(context.Background(), 100) // a cron job
	fmt.Println(checked, lost, err)
	// Output:
	// pending _pulse-challenge.xn--bcher-kva.example <nil>
	// registry: the domain's TXT record does not have the token
	// verified <nil>
	// 0 0 <nil>
}

// Support acts as a member for a while; the log names both.
func ExampleRegistry_Impersonate() {
	kit := tenancytest.NewKit()
	reg, _ := registry.New(kit.DB(), &registry.Options{
		Support: func(_ context.Context, a tenancy.Actor) error {
			if a.ID != "sam" {
				return fmt.Errorf("%s is not support staff", a.ID)
			}
			return nil
		},
	})
	acme, _ := reg.Create(context.Background(), registry.NewTenant{ID: "t-1", Slug: "acme", Owner: "ann"})
	sam := tenancy.WithActor(tenancy.WithID(context.Background(), acme.ID), tenancy.Actor{ID: "sam"})

	_, code, err := reg.Impersonate(sam, registry.NewImpersonation{UserID: "ann", Reason: "ticket 7"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, session, _ := reg.Redeem(context.Background(), code.Reveal()) // once, within two minutes
	ctx, imp, err := reg.ActAs(context.Background(), session.Reveal())
	actor, _ := tenancy.ActorFrom(ctx)
	fmt.Println(actor.ID, "as", actor.OnBehalfOf, imp.Member.Role, err)
	_, _, err = reg.ActAs(ctx, session.Reveal())
	fmt.Println(err)
	// Output:
	// sam as ann owner <nil>
	// registry: forbidden: impersonations do not nest
}

// An archive of one tenant, read back into another database. It needs PostgreSQL, so it is compiled and not run.
func ExampleRegistry_Export() {
	var from, to *registry.Registry // made by New, each on a database of its own
	ctx := tenancy.WithID(context.Background(), "t-1")
	ctx = tenancy.WithActor(ctx, tenancy.Actor{ID: "ann"}) // whose role has tenant.export
	key := []byte("a secret of the operator")

	var archive bytes.Buffer // or a file: neither side keeps rows in memory
	m, err := from.Export(ctx, &archive, &registry.ExportOptions{Key: key, Skip: []string{"app.sessions"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := to.Create(ctx, registry.NewTenant{ID: m.Tenant, Slug: "acme"}); err != nil {
		fmt.Println(err)
		return
	}
	done, err := to.Import(ctx, bytes.NewReader(archive.Bytes()), int64(archive.Len()), &registry.ImportOptions{Key: key})
	fmt.Println(len(done.Tables), done.Left, err)
}

// A tenant that has been Deleting for 30 days is deleted for good. It needs PostgreSQL, so it is compiled and not run.
func ExampleRegistry_Purge() {
	var reg *registry.Registry
	ctx := tenancy.WithActor(tenancy.WithID(context.Background(), "t-1"), tenancy.Actor{ID: "ops"})
	report, err := reg.Purge(ctx, "contract ended", nil)
	if errors.Is(err, registry.ErrPurgeIncomplete) {
		fmt.Println(report.Findings) // tables that nothing protects
		return
	}
	for _, t := range report.Tables {
		fmt.Println(t.Name, t.Deleted, t.Left)
	}
	fmt.Println(report.Hash)
}
