package registry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// directory is a registry in memory with one tenant, acme, owned by ann. In production the first line is tenancy.New(pool, nil).
func directory() (*registry.Registry, context.Context) {
	db := tenancytest.NewKit().DB()
	reg, err := registry.New(db, nil)
	check(err)
	acme, err := reg.Create(context.Background(), registry.NewTenant{Slug: "acme", Name: "Acme", Owner: "ann"})
	check(err)
	ctx := tenancy.WithID(context.Background(), acme.ID)
	return reg, tenancy.WithActor(ctx, tenancy.Actor{ID: "ann"})
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A tenant is made in one unit of work, and found again by its slug before anybody knows its id.
func Example() {
	db := tenancytest.NewKit().DB() // in production: tenancy.New(pool, nil)
	reg, err := registry.New(db, nil)
	check(err)
	acme, err := reg.Create(context.Background(), registry.NewTenant{Slug: "Acme", Name: "Acme GmbH", Owner: "ann"})
	check(err)

	ref, err := reg.BySlug(context.Background(), "acme")
	check(err)
	fmt.Println(ref.ID == acme.ID, ref.Slug, ref.State)

	ctx := tenancy.WithID(context.Background(), ref.ID)
	ann, err := reg.Member(ctx, "ann")
	check(err)
	fmt.Println(ann.Role, ann.Can("projects.write"))
	// Output:
	// true acme active
	// owner true
}

// A suspended tenant is told to the caller as an error that knows its HTTP status.
func ExampleRegistry_SetState() {
	reg, ctx := directory()
	check(reg.SetState(ctx, registry.StateChange{To: registry.Suspended, Reason: "unpaid", ReadOnly: true}))

	acme, err := reg.Get(ctx)
	check(err)
	fmt.Println(acme.Check(false))
	err = acme.Check(true)
	var status interface{ HTTPStatus() int }
	fmt.Println(errors.Is(err, registry.ErrSuspended), errors.As(err, &status) && status.HTTPStatus() == 402)
	// Output:
	// <nil>
	// true true
}

// A change of slug leaves the old one behind as a redirect that nobody can take over.
func ExampleRegistry_Update() {
	reg, ctx := directory()
	_, err := reg.Update(ctx, func(t *registry.Tenant) error { t.Slug = "acme-corp"; return nil })
	check(err)
	ref, err := reg.BySlug(ctx, "acme")
	check(err)
	fmt.Println(ref.Slug)
	_, err = reg.Create(context.Background(), registry.NewTenant{Slug: "acme", Owner: "eve"})
	fmt.Println(err)
	// Output:
	// acme-corp
	// registry: taken or reserved
}

// The token exists once in clear text; the program sends it. Accepting needs the address that was invited.
func ExampleRegistry_Invite() {
	reg, ctx := directory()
	_, token, err := reg.Invite(ctx, registry.NewInvitation{Email: "bob@example.com", Role: "member"})
	check(err)
	fmt.Println(token) // printing does not reveal

	_, err = reg.Accept(context.Background(), token.Reveal(), registry.Acceptance{UserID: "bob", Email: "bob@example.com"})
	check(err)
	bob, err := reg.Member(ctx, "bob")
	check(err)
	fmt.Println(bob.Role, bob.Can("read"), bob.Can("members.write"))
	// Output:
	// inv_…
	// member true false
}

// Two keys work while the program that uses them is given the new one.
func ExampleRegistry_RotateKey() {
	reg, ctx := directory()
	old, _, err := reg.CreateKey(ctx, registry.NewKey{Name: "ci", Scopes: []string{"projects.read"}})
	check(err)
	_, secret, err := reg.RotateKey(ctx, old.ID, 24*time.Hour)
	check(err)
	key, ref, err := reg.Authenticate(context.Background(), secret.Reveal())
	check(err)
	fmt.Println(ref.Slug, key.Name, key.Can("projects.read"), key.Can("projects.write"))
	// Output: acme ci true false
}

// A setting is what the tenant chose, else what its plan says, else the default.
func ExampleSetting() {
	seats := registry.Setting[int]{Name: "seats", Default: 3, Plans: map[string]int{"pro": 50}}
	reg, ctx := directory()
	_, err := reg.Update(ctx, func(t *registry.Tenant) error { t.Plan = "pro"; return nil })
	check(err)
	config, err := reg.Config(ctx)
	check(err)
	fmt.Println(seats.Get(config))
	check(seats.Set(ctx, reg, 60))
	config, err = reg.Config(ctx)
	check(err)
	fmt.Println(seats.Get(config))
	// Output:
	// 50 <nil>
	// 60 <nil>
}

// A flag grows from a few tenants to all, or is set for one.
func ExampleFlag() {
	editor := registry.Flag{Name: "new-editor", Percent: 0}
	reg, ctx := directory()
	config, err := reg.Config(ctx)
	check(err)
	fmt.Println(editor.On(config, "ann"))
	check(editor.Set(ctx, reg, 100))
	config, err = reg.Config(ctx)
	check(err)
	fmt.Println(editor.On(config, "ann"))
	// Output:
	// false
	// true
}

// A quota is counted in the unit of work that makes the things, so both happen or neither.
func ExampleQuota_Take() {
	projects := registry.Quota{Name: "projects", Limit: 2}
	db := tenancytest.NewKit().DB()
	reg, err := registry.New(db, nil)
	check(err)
	acme, err := reg.Create(context.Background(), registry.NewTenant{Slug: "acme"})
	check(err)
	create := func() error {
		return db.Do(tenancy.WithID(context.Background(), acme.ID), func(ctx context.Context, tx *tenancy.Tx) error {
			if err := projects.Take(ctx, reg, 1); err != nil {
				return err
			}
			tx.Audit(tenancy.Audit{Action: "project.created"}) // and the insert
			return nil
		})
	}
	fmt.Println(create(), create())
	fmt.Println(create())
	// Output:
	// <nil> <nil>
	// registry: quota "projects" allows 2, 2 are used, 1 more were asked for
}
