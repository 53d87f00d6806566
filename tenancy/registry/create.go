package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// NewTenant is what Create needs to know.
type NewTenant struct {
	// ID is the tenant's id for ever: 1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit. Empty means a
	// random one. Never take it from input.
	ID string

	// Slug is one DNS label in ASCII: letters, digits and inner hyphens, case folded. It must not be empty.
	Slug string

	// Name is for people. It may be empty.
	Name string

	// Plan selects the defaults of settings and quotas. Empty means none.
	Plan string

	// Owner is the user who gets the role Owner. Empty means that the tenant begins without members.
	Owner string

	// Settings are first values by Setting.Name; they must encode as JSON. Nil means that all begin at their defaults.
	Settings map[string]any

	// Then runs at the end of the same unit of work, for the tenant, so that its first rows and its first API key exist if
	// and only if the tenant does; its error undoes all. It is not called for a tenant that exists already, and again when
	// the unit is run again. Nil means that nothing else belongs to a new tenant.
	Then func(ctx context.Context, tx *tenancy.Tx) error
}

// Create makes a tenant with its slug, owner and settings in one unit of work of its own, whatever the tenant of ctx; it
// refuses to run inside a unit (tenancy.ErrTenantMismatch).
//
// It is idempotent by id and slug: if the tenant exists, has this slug, and Owner is one of its owners (or empty, where ID
// is given), that tenant is returned as it is. In any other case a slug or id that exists is ErrTaken, which tells
// nothing about whose it is. ErrMalformed is returned before any I/O. Three round trips, or four with an ID.
func (r *Registry) Create(ctx context.Context, n NewTenant) (t Tenant, err error) {
	t, settings, err := r.prepare(n)
	if err != nil {
		return Tenant{}, err
	}
	ctx = tenancy.WithID(ctx, t.ID)
	var refused error // of Then: what it says is not about the tenant
	err = r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		refused = nil
		if n.ID != "" {
			if exists, err := tenants.Exists(ctx, tx, record.Query{Where: "id = $1", Args: []any{n.ID}}); err != nil || exists {
				return errors.Join(err, errExists)
			}
		}
		if err := r.claim(ctx, kindSlug, t.Slug, ""); err != nil {
			return err
		}
		if n.Owner != "" {
			if err := members.SaveLater(tx, &Member{UserID: n.Owner, Role: Owner}); err != nil {
				return err
			}
		}
		for i := range settings {
			if err := settingRows.SaveLater(tx, &settings[i]); err != nil {
				return err
			}
		}
		changed(tx, Event{Type: "tenant.created", New: t.Slug}, nil, t.audited())
		fresh := t // a unit that is run again saves anew
		if err := tenants.Save(ctx, tx, &fresh); err != nil {
			return err
		}
		t = fresh
		if n.Then != nil {
			refused = n.Then(ctx, tx)
		}
		return refused
	})
	switch {
	case refused != nil:
		return Tenant{}, err
	case errors.Is(err, ErrTaken), errors.Is(err, errExists), errors.Is(err, record.ErrConflict):
		return r.existing(ctx, n, t.Slug)
	case err != nil:
		return Tenant{}, err
	}
	return t, nil
}

var errExists = errors.New("registry: the id exists")

// prepare checks everything that needs no database.
func (r *Registry) prepare(n NewTenant) (t Tenant, settings []settingRow, err error) {
	t = Tenant{ID: n.ID, Name: n.Name, Plan: n.Plan, State: Active}
	if t.Slug, err = r.normalSlug(n.Slug); err != nil {
		return t, nil, err
	}
	if t.ID == "" {
		t.ID = strings.ToLower(rand.Text())
	} else if !idForm.MatchString(t.ID) {
		return t, nil, fmt.Errorf("%w id: want 1 to 64 of A-Z a-z 0-9 . _ -", ErrMalformed)
	}
	if err := checkTexts(t.Name, t.Plan); err != nil {
		return t, nil, err
	}
	if n.Owner != "" {
		if err := checkUser(n.Owner); err != nil {
			return t, nil, err
		}
		t.Owners = 1
	}
	for name, value := range n.Settings {
		raw, err := json.Marshal(value)
		if err == nil {
			err = checkSetting(name, raw)
		}
		if err != nil {
			return t, nil, fmt.Errorf("registry: setting %.40q: %w", name, err)
		}
		settings = append(settings, settingRow{Name: name, Value: raw})
	}
	return t, settings, nil
}

// existing is the answer to a second Create of the same tenant, or ErrTaken.
func (r *Registry) existing(ctx context.Context, n NewTenant, slug string) (Tenant, error) {
	ref, err := r.resolve(ctx, kindSlug, slug)
	switch {
	case errors.Is(err, ErrUnknownTenant): // the id is taken, not the slug; or its maker was rolled back
		return Tenant{}, ErrTaken
	case err != nil:
		return Tenant{}, err
	case n.ID != "" && n.ID != ref.ID, ref.Slug != slug, ref.State == Deleted, n.ID == "" && n.Owner == "":
		return Tenant{}, ErrTaken
	}
	ctx = tenancy.WithID(ctx, ref.ID)
	if n.Owner != "" {
		m, err := members.FindBy(ctx, r.db, "user_id = $1", n.Owner)
		if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
			return Tenant{}, err
		}
		if m.Role != Owner {
			return Tenant{}, ErrTaken
		}
	}
	return r.Get(ctx)
}
