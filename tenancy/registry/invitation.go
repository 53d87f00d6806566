package registry

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/mail"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// Bounds of how long an invitation waits.
const (
	defaultInvitationTTL = 7 * 24 * time.Hour
	maxInvitationTTL     = 90 * 24 * time.Hour
)

// Invitation lets one person into a tenant, once.
type Invitation struct {
	ID         string     `db:"id,pk,auto" json:"id"`
	Email      string     `db:"email" json:"email"` // ASCII, lower case
	Role       string     `db:"role" json:"role"`
	TokenHash  []byte     `db:"token_hash" json:"-"`
	ExpiresAt  time.Time  `db:"expires_at" json:"expires_at"`
	InvitedBy  string     `db:"invited_by" json:"invited_by"`
	AcceptedAt *time.Time `db:"accepted_at" json:"accepted_at,omitempty"`
	AcceptedBy string     `db:"accepted_by" json:"accepted_by,omitempty"`
	RevokedAt  *time.Time `db:"revoked_at" json:"revoked_at,omitempty"`
	Version    int64      `db:"version,version" json:"version"`
	CreatedAt  time.Time  `db:"created_at,created" json:"created_at"`
	UpdatedAt  time.Time  `db:"updated_at,updated" json:"updated_at"`
}

const openInvitation = "accepted_at is null and revoked_at is null"

var invitations = record.Define[Invitation]("registry.invitations", &record.Options{
	Unique: []record.Unique{{Columns: []string{"email"}, Where: openInvitation, Name: "invitations_open"}},
})

// NewInvitation is what Invite needs to know.
type NewInvitation struct {
	Email string        // to whom the program sends the token; one ASCII address, case folded
	Role  string        // what the person becomes
	TTL   time.Duration // zero means 7 days; negative or more than 90 days is ErrMalformed
}

// Acceptance is who accepts an invitation.
type Acceptance struct {
	UserID string // becomes the member
	Email  string // the user's address as the program has verified it; it must be the invited one
}

// Invite makes an invitation to the tenant of ctx and the token that accepts it, which is stored as a hash only: send it,
// it cannot be shown again. An earlier open invitation to the same address is revoked. The actor needs members.write and
// every permission of the role (ErrForbidden).
func (r *Registry) Invite(ctx context.Context, n NewInvitation) (inv Invitation, token Secret, err error) {
	email, err := foldEmail(n.Email)
	if err := errors.Join(err, r.checkRole(n.Role)); err != nil {
		return inv, token, err
	}
	if n.TTL < 0 || n.TTL > maxInvitationTTL {
		return inv, token, fmt.Errorf("%w TTL: want 0 to %s", ErrMalformed, maxInvitationTTL)
	}
	if n.TTL == 0 {
		n.TTL = defaultInvitationTTL
	}
	err = r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		g, err := r.granterOf(ctx, tx, membersWrite)
		if err != nil {
			return err
		}
		if err := r.mayRole(g, n.Role); err != nil {
			return err
		}
		t, err := r.locked(ctx, tx) // two invitations of one address meet here
		if err == nil {
			err = t.Check(true)
		}
		if err != nil {
			return err
		}
		if err := r.revokeInvitations(ctx, tx, "email = $1", email); err != nil {
			return err
		}
		token = newSecret("inv")
		_, hash, _ := splitSecret(token.Reveal(), 1)
		inv = Invitation{Email: email, Role: n.Role, TokenHash: hash, ExpiresAt: time.Now().Add(n.TTL), InvitedBy: g.actor}
		if err := invitations.Save(ctx, tx, &inv); err != nil {
			return err
		}
		// The database's clock decides; it is known now.
		inv.ExpiresAt = inv.CreatedAt.Add(n.TTL)
		if err := invitations.SaveLater(tx, &inv); err != nil {
			return err
		}
		if err := r.claim(ctx, kindInvite, hashName(hash), inv.ID); err != nil {
			return err
		}
		// The address stays out of the log, which outlives the person's data.
		changed(tx, Event{Type: "invitation.created", Subject: inv.ID, New: inv.Role}, nil, fields{"role": inv.Role, "expires_at": inv.ExpiresAt})
		return nil
	})
	if err != nil {
		return Invitation{}, Secret{}, err
	}
	return inv, token, nil
}

// Accept makes the user a member of the tenant that the token invites to, whatever the tenant of ctx, and returns that
// tenant's Ref; it is a look-up like BySlug. A member keeps the role that it has. The same user may accept again, e.g. after
// a lost answer.
//
// The errors: ErrMalformed before any I/O; ErrInvalidToken; then, for a genuine token only, ErrRevoked (also: used by somebody
// else), ErrExpired, ErrForbidden for another address than the invited one, and a *StateError.
func (r *Registry) Accept(ctx context.Context, token string, by Acceptance) (Ref, error) {
	head, hash, ok := splitSecret(token, 1)
	if !ok || head[0] != "inv" {
		return Ref{}, fmt.Errorf("%w invitation token", ErrMalformed)
	}
	email, err := foldEmail(by.Email)
	if err := errors.Join(err, checkUser(by.UserID)); err != nil {
		return Ref{}, err
	}
	ref, err := r.resolve(ctx, kindInvite, hashName(hash))
	if err != nil {
		return Ref{}, invalidToken(err)
	}
	err = r.db.Do(tenancy.WithID(ctx, ref.ID), func(ctx context.Context, tx *tenancy.Tx) error {
		t, err := r.locked(ctx, tx) // first, as Invite does: two that lock in another order wait for each other
		if err != nil {
			return invalidToken(err)
		}
		inv, err := invitations.First(ctx, tx, record.Query{Where: "id = $1", Args: []any{ref.Target}, Lock: record.ForUpdate})
		if err != nil {
			return invalidToken(err)
		}
		switch {
		case subtle.ConstantTimeCompare(inv.TokenHash, hash) != 1:
			return ErrInvalidToken
		case inv.AcceptedAt != nil && inv.AcceptedBy == by.UserID:
			if err := t.Check(true); err != nil {
				return err
			}
			_, err := members.FindBy(ctx, tx, "user_id = $1", by.UserID)
			if errors.Is(err, tenancy.ErrNotFound) {
				return ErrRevoked // who was removed is not let in again by the old link
			}
			return err
		case inv.AcceptedAt != nil, inv.RevokedAt != nil:
			return ErrRevoked
		case !ref.Now.Before(inv.ExpiresAt):
			return ErrExpired
		case inv.Email != email:
			return fmt.Errorf("%w: the invitation is for another address", ErrForbidden)
		}
		if err := errors.Join(t.Check(true), r.checkRole(inv.Role)); err != nil {
			return err
		}
		inv.AcceptedAt, inv.AcceptedBy = &ref.Now, by.UserID
		if err := invitations.Save(ctx, tx, &inv); err != nil {
			return err
		}
		if err := r.join(ctx, tx, by.UserID, inv.Role); err != nil && !errors.Is(err, ErrTaken) {
			return err
		}
		changed(tx, Event{Type: "invitation.accepted", Subject: inv.ID, New: by.UserID}, nil, fields{"accepted_by": by.UserID})
		return nil
	})
	if err != nil {
		return Ref{}, err
	}
	return ref, nil
}

// Invitations returns invitations of the tenant of ctx. Columns for conditions: email, role, expires_at, invited_by,
// accepted_at, accepted_by, revoked_at, created_at.
func (r *Registry) Invitations(ctx context.Context, q record.Query) ([]Invitation, error) {
	return invitations.List(ctx, r.db, q)
}

// RevokeInvitation makes an invitation useless. It is idempotent; an id that does not exist, or that was accepted, changes
// nothing. The actor needs members.write.
func (r *Registry) RevokeInvitation(ctx context.Context, id string) error {
	if err := checkTexts(id); err != nil {
		return err
	}
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		if _, err := r.granterOf(ctx, tx, membersWrite); err != nil {
			return err
		}
		return r.revokeInvitations(ctx, tx, "id = $1", id)
	})
}

// withdraw revokes what a member has invited to and may not invite to any more.
func (r *Registry) withdraw(ctx context.Context, tx *tenancy.Tx, m Member) error {
	g := granter{owner: m.Role == Owner, permissions: r.roles[m.Role]}
	allowed := []string{}
	for role := range r.roles {
		if covers(g.permissions, membersWrite) && r.mayRole(g, role) == nil {
			allowed = append(allowed, role)
		}
	}
	return r.revokeInvitations(ctx, tx, "invited_by = $1 and not role = any($2)", m.UserID, allowed)
}

// revokeInvitations revokes the open invitations for which a condition holds.
func (r *Registry) revokeInvitations(ctx context.Context, tx *tenancy.Tx, where string, args ...any) error {
	where += " and " + openInvitation
	list, err := invitations.List(ctx, tx, record.Query{Where: where, Args: args, Lock: record.ForUpdate})
	if err != nil || len(list) == 0 {
		return err
	}
	if _, err := invitations.Update(ctx, tx, "revoked_at = now()", where, args...); err != nil {
		return err
	}
	for _, inv := range list {
		changed(tx, Event{Type: "invitation.revoked", Subject: inv.ID}, fields{"role": inv.Role}, nil)
	}
	return nil
}

// invalidToken hides whether anything exists.
func invalidToken(err error) error {
	if errors.Is(err, tenancy.ErrNotFound) {
		return ErrInvalidToken
	}
	return err
}

// foldEmail lower-cases an address. ASCII only, and not by strings.ToLower: letters that look or fold like ASCII ones would
// let somebody else's verified address pass for the invited one.
func foldEmail(text string) (string, error) {
	folded, plain := "", false
	if len(text) <= 254 && isASCII(text) { // asked first: text is a stranger's, of any length
		folded = foldASCII(text)
		a, err := mail.ParseAddress(folded)
		plain = err == nil && a.Name == "" && a.Address == folded
	}
	if !plain {
		return "", fmt.Errorf("%w e-mail address: want one bare address in ASCII", ErrMalformed)
	}
	return folded, nil
}
