package registry

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// Tenant is a customer of the program. It is a value; changing it changes nothing in the registry.
type Tenant struct {
	ID        string    `db:"id,pk" json:"id"`
	Slug      string    `db:"slug" json:"slug"`
	Name      string    `db:"name" json:"name"`
	Plan      string    `db:"plan" json:"plan"`
	State     State     `db:"state" json:"state"`
	ReadOnly  bool      `db:"read_only" json:"read_only"` // of a suspended tenant
	Reason    string    `db:"reason" json:"reason"`       // of the state
	StateBy   string    `db:"state_by" json:"state_by"`   // the actor of the last change of state
	StateAt   time.Time `db:"state_at,readonly" default:"now()" json:"state_at"`
	Owners    int64     `db:"owners" json:"owners"` // number of members with the role Owner
	Version   int64     `db:"version,version" json:"version"`
	CreatedAt time.Time `db:"created_at,created" json:"created_at"`
	UpdatedAt time.Time `db:"updated_at,updated" json:"updated_at"`
}

var tenants = record.Define[Tenant]("registry.tenants", nil)

// Check tells whether the tenant may be used, for writing or only for reading: nil or a *StateError.
func (t Tenant) Check(write bool) error {
	if t.State == Active || t.State == Suspended && t.ReadOnly && !write {
		return nil
	}
	return &StateError{Tenant: t.ID, State: t.State, ReadOnly: t.ReadOnly, Reason: t.Reason}
}

func (t Tenant) audited() fields { return fields{"slug": t.Slug, "name": t.Name, "plan": t.Plan} }

// Get returns the tenant of ctx, in whatever state, or ErrUnknownTenant. One round trip.
func (r *Registry) Get(ctx context.Context) (Tenant, error) {
	return r.get(ctx, r.db)
}

func (r *Registry) get(ctx context.Context, q tenancy.Querier) (Tenant, error) {
	id, err := tenantOf(ctx)
	if err != nil {
		return Tenant{}, err
	}
	t, err := tenants.Find(ctx, q, id)
	return t, unknownTenant(err)
}

// locked reads the tenant of the unit and keeps others from changing it.
func (r *Registry) locked(ctx context.Context, tx *tenancy.Tx) (Tenant, error) {
	t, err := tenants.First(ctx, tx, record.Query{Where: "id = $1", Args: []any{tx.ID()}, Lock: record.ForUpdate})
	return t, unknownTenant(err)
}

// living is locked for what adds to a tenant: a tenant that is being deleted, or is, takes nothing new, so that what a purge
// counted stays true. The lock makes a purge wait for those who came before it.
func (r *Registry) living(ctx context.Context, tx *tenancy.Tx) (Tenant, error) {
	t, err := r.locked(ctx, tx)
	if err == nil {
		err = t.takesMore()
	}
	return t, err
}

func (t Tenant) takesMore() error {
	if t.State == Deleting || t.State == Deleted {
		return t.Check(true)
	}
	return nil
}

// List returns tenants under tenancy.System without a tenant; any other context sees at most its own.
func (r *Registry) List(ctx context.Context, q record.Query) ([]Tenant, error) {
	return tenants.List(ctx, r.db, q)
}

// Update changes the name, the plan or the slug of the tenant of ctx: fn gets the tenant, locked, and may change those three
// fields; other changes are ignored. It returns the tenant as it is then.
//
// An old slug stays the tenant's: BySlug finds the tenant by it, and nobody else gets it, so that links and cookies cannot
// be taken over. A tenant holds 10 slugs at most; one more is a *QuotaError. The errors are those of fn, ErrMalformed,
// ErrTaken, ErrUnknownTenant, and a *StateError for a tenant that is being deleted.
func (r *Registry) Update(ctx context.Context, fn func(*Tenant) error) (t Tenant, err error) {
	err = r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		old, err := r.living(ctx, tx)
		if err != nil {
			return err
		}
		want := old
		if err := fn(&want); err != nil {
			return err
		}
		t = old
		t.Name, t.Plan = want.Name, want.Plan
		if err := checkTexts(t.Name, t.Plan); err != nil {
			return err
		}
		if want.Slug != old.Slug {
			if t.Slug, err = r.moveSlug(ctx, tx, want.Slug); err != nil {
				return err
			}
		}
		if t == old {
			return nil
		}
		if err := tenants.Save(ctx, tx, &t); err != nil {
			return err
		}
		e := Event{Type: "tenant.updated"}
		if t.Slug != old.Slug {
			e = Event{Type: "tenant.renamed", Old: old.Slug, New: t.Slug}
		}
		changed(tx, e, old.audited(), t.audited())
		return nil
	})
	return t, err
}

// moveSlug claims a slug unless it is one of the tenant's own already. The tenant is locked.
func (r *Registry) moveSlug(ctx context.Context, tx *tenancy.Tx, text string) (string, error) {
	slug, err := r.normalSlug(text)
	if err != nil {
		return "", err
	}
	held, err := names.List(ctx, tx, record.Query{Where: "kind = $1", Args: []any{kindSlug}})
	if err != nil {
		return "", err
	}
	for _, n := range held {
		if n.Name == slug {
			return slug, nil
		}
	}
	if len(held) >= maxSlugs {
		return "", &QuotaError{What: "slugs", Limit: maxSlugs, Used: int64(len(held)), Asked: 1}
	}
	return slug, r.claim(ctx, kindSlug, slug, "")
}

func tenantOf(ctx context.Context) (string, error) {
	id, ok := tenancy.IDFrom(ctx)
	if !ok {
		return "", tenancy.ErrNoTenant
	}
	return id, nil
}

func unknownTenant(err error) error {
	if errors.Is(err, tenancy.ErrNotFound) {
		return ErrUnknownTenant
	}
	return err
}

func checkTexts(texts ...string) error {
	for _, s := range texts {
		if len(s) > 200 || !utf8.ValidString(s) || containsControl(s) {
			return fmt.Errorf("%w text: want UTF-8 of at most 200 bytes without control characters", ErrMalformed)
		}
	}
	return nil
}

func containsControl(s string) bool {
	for _, c := range s {
		if c < ' ' || c == 0x7f {
			return true
		}
	}
	return false
}
