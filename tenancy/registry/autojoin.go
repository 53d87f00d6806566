package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy"
)

// autoJoinRow is the row of SetAutoJoin among the settings, whose names have no colon.
const autoJoinRow = "auto_join:"

// SetAutoJoin lets everybody with a verified e-mail address of one of the tenant's verified domains (see Domains) become a
// member with a role by Join, without being invited. An empty role ends it; it is off by default. The role Owner is
// ErrForbidden. The actor needs members.write and every permission of the role. While it is on, who was removed and still has
// such an address may come back by Join.
func (r *Registry) SetAutoJoin(ctx context.Context, role string) error {
	if role != "" {
		if err := r.checkRole(role); err != nil {
			return err
		}
	}
	if role == Owner {
		return fmt.Errorf("%w: nobody becomes owner unasked", ErrForbidden)
	}
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		g, err := r.granterOf(ctx, tx, membersWrite)
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if role != "" {
			if err := r.mayRole(g, role); err != nil {
				return err
			}
			if raw, err = json.Marshal(role); err != nil {
				return err
			}
		}
		return r.put(ctx, "setting.changed", "auto_join", autoJoinRow, raw, false)
	})
}

// Join makes a user a member of the tenant that has verified the domain of the user's e-mail address, if that tenant allows
// it (SetAutoJoin), and returns its Ref. The domain has to be the same to the letter: shop.acme.com is not acme.com. A member
// keeps the role that it has. It is a look-up like BySlug, whatever the tenant of ctx.
//
// The address must be one that the program has verified for this user. The errors: ErrMalformed before any I/O;
// ErrUnknownTenant if nobody has verified the domain, or who has does not allow it; a *StateError.
func (r *Registry) Join(ctx context.Context, by Acceptance) (Ref, error) {
	email, err := foldEmail(by.Email)
	if err := errors.Join(err, checkUser(by.UserID)); err != nil {
		return Ref{}, err
	}
	host := email[strings.LastIndexByte(email, '@')+1:]
	if parsed, err := ParseHost(host); err != nil || parsed != host {
		return Ref{}, fmt.Errorf("%w e-mail address: its domain is no host name", ErrMalformed)
	}
	ref, err := r.resolve(ctx, kindDomain, host)
	if err != nil {
		return Ref{}, err
	}
	err = r.db.Do(tenancy.WithID(ctx, ref.ID), func(ctx context.Context, tx *tenancy.Tx) error {
		t, err := r.locked(ctx, tx)
		if err != nil {
			return err
		}
		row, err := settingRows.FindBy(ctx, tx, "name = $1", autoJoinRow)
		if err != nil {
			return unknownTenant(err)
		}
		// A host that fails its checks is still served for the grace period; it lets nobody in.
		domain, err := domainRows.Find(ctx, tx, ref.Target)
		if err != nil {
			return unknownTenant(err)
		}
		var role string
		if json.Unmarshal(row.Value, &role) != nil || domain.State != DomainVerified || domain.Host != host {
			return ErrUnknownTenant
		}
		if err := errors.Join(t.Check(true), r.checkRole(role)); err != nil {
			return err
		}
		if err := r.join(ctx, tx, by.UserID, role); !errors.Is(err, ErrTaken) {
			return err
		}
		return nil
	})
	if err != nil {
		return Ref{}, err
	}
	return ref, nil
}
