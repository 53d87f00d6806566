package app

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// SignUpIn asks for a team.
type SignUpIn struct {
	Team  string `json:"team"`
	Slug  string `json:"slug"` // of the public status page
	Email string `json:"email"`
	Phone string `json:"phone"` // E.164; empty: no text messages
}

// SignUpOut is a new team. The key is shown this once.
type SignUpOut struct {
	ID     string `json:"id"`
	Team   string `json:"team"`
	Slug   string `json:"slug"`
	APIKey string `json:"api_key"`
	Status string `json:"status_page"`
}

// Validate reports the first field that is wrong.
func (in SignUpIn) Validate() error {
	var field *uptime.FieldError
	err := (&Contact{Name: in.Team, Email: in.Email, Phone: in.Phone}).Validate()
	if errors.As(err, &field) && field.Field == "name" {
		field.Field = "team"
	}
	return err
}

// roles are what the members of a team may.
func roles() map[string][]string {
	return map[string][]string{registry.Owner: {"*"}, "admin": {"*"}, "member": {"read"}}
}

// Grants returns the roles that a key may give to members and take from them:
// those that may nothing that the key may not. Owner is none of them: only an
// owner makes or unmakes owners, and in pulse those who act are API keys. The
// owner is who signed up, for good.
func Grants(key registry.APIKey) (names []string) {
	if !key.Can("members.write") {
		return nil
	}
	for role, permissions := range roles() {
		exceeds := slices.ContainsFunc(permissions, func(p string) bool { return !key.Can(p) })
		if role != registry.Owner && !exceeds {
			names = append(names, role)
		}
	}
	slices.Sort(names)
	return names
}

// SignUp makes a team with its owner, its first API key and whom its alerts
// reach, all of it or nothing.
func (a *App) SignUp(ctx context.Context, in SignUpIn) (SignUpOut, error) {
	out := SignUpOut{Team: strings.TrimSpace(in.Team)}
	team, err := a.Registry.Create(ctx, registry.NewTenant{
		Slug: in.Slug, Name: out.Team,
		Then: func(ctx context.Context, tx *tenancy.Tx) error {
			if err := contacts.SaveLater(tx, &Contact{Name: out.Team, Email: in.Email, Phone: in.Phone}); err != nil {
				return err
			}
			ctx = registry.Trusted(ctx) // nobody acts for a team that is being made
			// pulse has no accounts: a person is an address. Not NewTenant.Owner, with which a
			// second sign-up of the same person would be the first one repeated, without a key.
			err := a.Registry.AddMember(ctx, in.Email, registry.Owner)
			if errors.Is(err, registry.ErrMalformed) { // a user's id may be less than an address may
				return &uptime.FieldError{Field: "email", Problem: `must have at most 200 bytes and not begin with "key/"`}
			}
			if err != nil {
				return err
			}
			_, secret, err := a.Registry.CreateKey(ctx, registry.NewKey{Name: "first key", Scopes: []string{"*"}})
			out.APIKey = secret.Reveal()
			return err
		},
	})
	switch {
	case errors.Is(err, registry.ErrMalformed):
		return SignUpOut{}, &uptime.FieldError{Field: "slug", Problem: "must have 1 to 63 letters, digits and dashes inside"}
	case err != nil:
		return SignUpOut{}, err
	}
	out.ID, out.Slug, out.Status = team.ID, team.Slug, a.Base+"/status/"+team.Slug
	// Somebody may have looked for the page before it existed.
	if err := a.Pages.Invalidate(ctx, team.ID); err != nil {
		a.Logger.WarnContext(ctx, "the new status page is found in a moment only", "error", err)
	}
	return out, nil
}
