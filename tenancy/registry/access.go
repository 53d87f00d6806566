package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

type trustedKey struct{}

// Trusted returns a context whose calls change members, invitations and API keys, and export, without asking what the actor
// may: for seeds, jobs and operators' tools. Without it the actor of ctx (tenancy.WithActor) has to be a member of the tenant, or one
// of its API keys, and gives nobody more than it has itself.
func Trusted(ctx context.Context) context.Context { return context.WithValue(ctx, trustedKey{}, true) }

// granter is what the actor of a call may grant.
type granter struct {
	actor       string
	trusted     bool
	owner       bool
	permissions []string
	expires     *time.Time // of an API key that acts; what it makes ends with it
}

// granterOf finds out who acts and requires a permission of it. The actor's row stays locked until the unit ends: whoever
// takes its rights away meanwhile waits, and then finds what it has granted.
func (r *Registry) granterOf(ctx context.Context, q tenancy.Querier, permission string) (granter, error) {
	a, _ := tenancy.ActorFrom(ctx)
	if trusted, _ := ctx.Value(trustedKey{}).(bool); trusted {
		return granter{actor: a.ID, trusted: true}, nil
	}
	switch {
	case a.ID == "":
		return granter{}, fmt.Errorf("%w: nobody acts; use tenancy.WithActor or registry.Trusted", ErrForbidden)
	case a.OnBehalfOf != "":
		return granter{}, fmt.Errorf("%w: who acts on behalf of somebody else grants nothing that outlives it", ErrForbidden)
	}
	g := granter{actor: a.ID}
	if id, isKey := strings.CutPrefix(a.ID, keyActor); isKey {
		key, err := apiKeys.First(ctx, q, record.Query{
			Where: "id = $1 and revoked_at is null and (expires_at is null or expires_at > now())", Args: []any{id}, Lock: record.ForShare,
		})
		if err != nil {
			return granter{}, unknownActor(err)
		}
		g.permissions, g.expires = key.Scopes, key.ExpiresAt
	} else {
		m, err := members.First(ctx, q, record.Query{Where: "user_id = $1", Args: []any{a.ID}, Lock: record.ForShare})
		if err != nil {
			return granter{}, unknownActor(err)
		}
		g.owner, g.permissions = m.Role == Owner, r.roles[m.Role]
	}
	if !covers(g.permissions, permission) {
		return granter{}, fmt.Errorf("%w: the actor lacks %q", ErrForbidden, permission)
	}
	return g, nil
}

func unknownActor(err error) error {
	if errors.Is(err, tenancy.ErrNotFound) {
		return fmt.Errorf("%w: the actor is no member of the tenant", ErrForbidden)
	}
	return err
}

// mayRole tells whether g may give or take a role.
func (r *Registry) mayRole(g granter, role string) error {
	permissions, known := r.roles[role]
	switch {
	case g.trusted, known && coversAll(g.permissions, permissions) && (role != Owner || g.owner):
		return nil
	case !known && g.owner:
		return nil // a role that the program no longer has: an owner tidies up
	}
	return fmt.Errorf("%w: the role %q exceeds the actor's own", ErrForbidden, role)
}

// checkRole refuses roles that do not exist.
func (r *Registry) checkRole(role string) error {
	if _, ok := r.roles[role]; !ok {
		return fmt.Errorf("%w role %.40q: Options.Roles does not have it", ErrMalformed, role)
	}
	return nil
}
