package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// Member is a user in a tenant. The zero value may nothing.
type Member struct {
	UserID    string    `db:"user_id,pk" json:"user_id"` // the program's id of the user
	Role      string    `db:"role" json:"role"`
	Version   int64     `db:"version,version" json:"version"`
	CreatedAt time.Time `db:"created_at,created" json:"created_at"`
	UpdatedAt time.Time `db:"updated_at,updated" json:"updated_at"`

	permissions []string
}

var members = record.Define[Member]("registry.members", nil)

// Membership is one of the tenants of a user.
type Membership struct {
	TenantID string `db:"tenant_id" json:"tenant_id"`
	Slug     string `db:"slug" json:"slug"`
	Name     string `db:"name" json:"name"`
	State    State  `db:"state" json:"state"`
	Role     string `db:"role" json:"role"`
}

// Can tells whether the member's role has a permission: words joined by dots, as "projects.write". A role with
// "projects.*" has it, one with "*" has all. A role that Options.Roles does not know has none.
func (m Member) Can(permission string) bool {
	return checkPermission(permission) == nil && covers(m.permissions, permission)
}

func (r *Registry) permitted(m Member) Member {
	m.permissions = r.roles[m.Role]
	return m
}

// Member returns a member of the tenant of ctx, or an error that matches tenancy.ErrNotFound. One round trip.
func (r *Registry) Member(ctx context.Context, userID string) (Member, error) {
	return r.member(ctx, r.db, userID, record.NoLock)
}

func (r *Registry) member(ctx context.Context, q tenancy.Querier, userID string, lock record.Lock) (Member, error) {
	if err := checkUser(userID); err != nil {
		return Member{}, err
	}
	m, err := members.First(ctx, q, record.Query{Where: "user_id = $1", Args: []any{userID}, Lock: lock})
	if errors.Is(err, tenancy.ErrNotFound) {
		err = fmt.Errorf("registry: member: %w", err)
	}
	return r.permitted(m), err
}

// Members returns members of the tenant of ctx. Columns for conditions: user_id, role, created_at.
func (r *Registry) Members(ctx context.Context, q record.Query) ([]Member, error) {
	list, err := members.List(ctx, r.db, q)
	for i := range list {
		list[i] = r.permitted(list[i])
	}
	return list, err
}

// Memberships returns the tenants of a user, ordered by name, for a menu after signing in. It is a look-up like BySlug: it
// needs no tenant. Ask it for the user who is signed in only.
func (r *Registry) Memberships(ctx context.Context, userID string) ([]Membership, error) {
	if err := checkUser(userID); err != nil {
		return nil, err
	}
	return tenancy.All[Membership](tenancy.WithID(ctx, lookupTenant), r.db, sqltext.Memberships, userID)
}

// AddMember makes a user a member of the tenant of ctx. It is idempotent; a member with another role is ErrTaken, see
// SetRole. The actor needs the permission members.write and every permission of the role, else the error is ErrForbidden;
// see Trusted. A tenant that is being deleted takes none (*StateError).
func (r *Registry) AddMember(ctx context.Context, userID, role string) error {
	if err := errors.Join(checkUser(userID), r.checkRole(role)); err != nil {
		return err
	}
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		g, err := r.granterOf(ctx, tx, membersWrite)
		if err != nil {
			return err
		}
		if err := r.mayRole(g, role); err != nil {
			return err
		}
		if _, err := r.living(ctx, tx); err != nil {
			return err
		}
		return r.join(ctx, tx, userID, role)
	})
}

// join adds a member whom somebody has let in. The tenant is locked: two joins of one user take turns.
func (r *Registry) join(ctx context.Context, tx *tenancy.Tx, userID, role string) error {
	m, err := r.member(ctx, tx, userID, record.NoLock)
	switch {
	case err == nil && m.Role == role:
		return nil
	case err == nil:
		return fmt.Errorf("%w: the user is a member with another role", ErrTaken)
	case !errors.Is(err, tenancy.ErrNotFound):
		return err
	}
	if err := members.SaveLater(tx, &Member{UserID: userID, Role: role}); err != nil {
		return err
	}
	if err := r.countOwners(ctx, tx, "", role); err != nil {
		return err
	}
	changed(tx, Event{Type: "member.added", Subject: userID, New: role}, nil, fields{"role": role})
	return nil
}

// SetRole gives a member another role, and revokes the open invitations that the member could not send any more. The actor
// needs members.write and every permission of both roles; only an owner makes or unmakes an owner. The last owner stays
// (ErrLastOwner), however many calls come at once.
func (r *Registry) SetRole(ctx context.Context, userID, role string) error {
	if err := r.checkRole(role); err != nil {
		return err
	}
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		g, err := r.granterOf(ctx, tx, membersWrite)
		if err != nil {
			return err
		}
		m, err := r.member(ctx, tx, userID, record.ForUpdate)
		if err != nil || m.Role == role {
			return err
		}
		if err := errors.Join(r.mayRole(g, m.Role), r.mayRole(g, role)); err != nil {
			return err
		}
		old := m.Role
		m.Role = role
		if err := r.countOwners(ctx, tx, old, role); err != nil {
			return err
		}
		if err := members.SaveLater(tx, &m); err != nil {
			return err
		}
		if err := r.withdraw(ctx, tx, m); err != nil {
			return err
		}
		changed(tx, Event{Type: "member.role_changed", Subject: userID, Old: old, New: role}, fields{"role": old}, fields{"role": role})
		return nil
	})
}

// RemoveMember ends a membership and revokes the open invitations that the member sent; API keys belong to the tenant and
// stay, see RevokeKeysOf. Everybody may leave; to remove somebody else the actor needs members.write and every permission of that member's
// role. The last owner stays (ErrLastOwner), however many calls come at once.
func (r *Registry) RemoveMember(ctx context.Context, userID string) error {
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		m, err := r.member(ctx, tx, userID, record.ForUpdate)
		missing := errors.Is(err, tenancy.ErrNotFound)
		if err != nil && !missing {
			return err
		}
		if a, _ := tenancy.ActorFrom(ctx); a.ID != userID || a.OnBehalfOf != "" {
			g, err := r.granterOf(ctx, tx, membersWrite)
			if err == nil && !missing {
				err = r.mayRole(g, m.Role)
			}
			if err != nil {
				return err // before saying who is a member
			}
		}
		if missing {
			return err
		}
		if err := r.countOwners(ctx, tx, m.Role, ""); err != nil {
			return err
		}
		if err := members.Delete(ctx, tx, &m); err != nil {
			return err
		}
		if err := r.withdraw(ctx, tx, Member{UserID: userID}); err != nil {
			return err
		}
		changed(tx, Event{Type: "member.removed", Subject: userID, Old: m.Role}, fields{"role": m.Role}, nil)
		return nil
	})
}

// countOwners keeps Tenant.Owners. The guard is in the update itself: of two units that each take one of two owners away,
// the second waits for the row, sees one owner left and changes nothing, at every isolation level.
func (r *Registry) countOwners(ctx context.Context, tx *tenancy.Tx, old, new string) error {
	if (old == Owner) == (new == Owner) {
		return nil
	}
	set, where := "owners = owners + 1", "id = $1"
	if old == Owner {
		set, where = "owners = owners - 1", "id = $1 and owners > 1"
	}
	n, err := tenants.Update(ctx, tx, set, where, tx.ID())
	if err == nil && n == 0 {
		err = ErrLastOwner
		if old != Owner {
			err = ErrUnknownTenant
		}
	}
	return err
}

// keyActor begins the Actor.ID of an API key, which no user's id may.
const keyActor = "key/"

// checkUser refuses ids that no program gives to its users.
func checkUser(id string) error {
	if id == "" || strings.HasPrefix(id, keyActor) || checkTexts(id) != nil {
		return fmt.Errorf("%w user: want an id of 1 to 200 bytes that does not begin with %q", ErrMalformed, keyActor)
	}
	return nil
}
