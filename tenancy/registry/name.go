package registry

import (
	"context"
	"errors"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// The kinds of names.
const (
	kindSlug    = "slug"
	kindKey     = "key"
	kindInvite  = "invite"
	kindDomain  = "domain"
	kindSupport = "support" // the hash of an impersonation's code or session
)

// lookupTenant is for whom a look-up runs, since no unit runs without a tenant. No tenant can have this id, and none of the
// tables has rows of it.
const lookupTenant = "~registry"

// name leads from a text to a tenant. It exists once over all tenants.
type name struct {
	Kind   string `db:"kind,pk"`
	Name   string `db:"name,pk"`
	Target string `db:"target"`
}

var names = record.Define[name]("registry.names", &record.Options{
	Unique: []record.Unique{{Columns: []string{"kind", "name"}, Name: "names_pkey", AllTenants: true}},
})

// Ref is what a look-up tells about a tenant.
type Ref struct {
	ID       string    `db:"tenant_id"`
	Slug     string    `db:"slug"` // the current one, which may differ from what was asked for: redirect then
	Plan     string    `db:"plan"`
	State    State     `db:"state"`
	ReadOnly bool      `db:"read_only"`
	Reason   string    `db:"reason"`
	Target   string    `db:"target"` // what the name stands for inside the tenant, e.g. an API key's id
	Now      time.Time `db:"now"`    // the database's clock
}

// Check is Tenant.Check.
func (r Ref) Check(write bool) error {
	return Tenant{ID: r.ID, State: r.State, ReadOnly: r.ReadOnly, Reason: r.Reason}.Check(write)
}

// BySlug finds a tenant by its slug, or one that it had before: compare Ref.Slug and redirect. Case does not matter.
// A tenant in any state is found; see Ref.Check. The errors are ErrMalformed and ErrUnknownTenant.
//
// Like all look-ups it takes one round trip, needs no tenant and no system role, and refuses to run inside a unit of work,
// which belongs to somebody else (tenancy.ErrTenantMismatch).
func (r *Registry) BySlug(ctx context.Context, slug string) (Ref, error) {
	slug, err := foldSlug(slug)
	if err != nil {
		return Ref{}, err
	}
	return r.resolve(ctx, kindSlug, slug)
}

// resolve finds the tenant that a name leads to.
func (r *Registry) resolve(ctx context.Context, kind, name string) (Ref, error) {
	ref, err := tenancy.One[Ref](tenancy.WithID(ctx, lookupTenant), r.db, sqltext.Resolve, kind, name)
	if errors.Is(err, tenancy.ErrNotFound) {
		return Ref{}, ErrUnknownTenant
	}
	ref.Now = ref.Now.UTC()
	return ref, err
}

// claim makes a name the tenant's own, or returns ErrTaken, also if it is already.
func (r *Registry) claim(ctx context.Context, kind, text, target string) error {
	// A savepoint: a taken name must not spoil the unit around it.
	err := r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		return names.InsertAll(ctx, tx, []name{{Kind: kind, Name: text, Target: target}})
	})
	if errors.Is(err, record.ErrConflict) {
		return ErrTaken
	}
	return err
}

// release gives a name back to everybody.
func (r *Registry) release(ctx context.Context, q tenancy.Querier, kind, text string) error {
	_, err := names.DeleteBy(ctx, q, "kind = $1 and name = $2", kind, text)
	return err
}
