package registry

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// Bounds of impersonations.
const (
	codeTTL        = 2 * time.Minute
	defaultSupport = 30 * time.Minute
	maxSupport     = 8 * time.Hour
)

// SupportAccess lets a tenant forbid that support acts as its members: set it to false. It is true by default, and asked
// each time, so that forbidding ends sessions that are open.
var SupportAccess = Setting[bool]{Name: "registry.support_access", Default: true}

// Impersonation is a support person acting as a member of a tenant for a while.
type Impersonation struct {
	ID         string     `db:"id,pk,auto" json:"id"`
	Actor      string     `db:"actor" json:"actor"`    // the support person
	UserID     string     `db:"member" json:"user_id"` // as whom
	Reason     string     `db:"reason" json:"reason"`  // why
	Hash       []byte     `db:"hash" json:"-"`         // of the code, then of the session
	CodeUntil  time.Time  `db:"code_until" json:"-"`   // for Redeem
	RedeemedAt *time.Time `db:"redeemed_at" json:"redeemed_at,omitempty"`
	ExpiresAt  time.Time  `db:"expires_at" json:"expires_at"`
	EndedAt    *time.Time `db:"ended_at" json:"ended_at,omitempty"`
	EndedBy    string     `db:"ended_by" json:"ended_by,omitempty"`
	Version    int64      `db:"version,version" json:"version"`
	CreatedAt  time.Time  `db:"created_at,created" json:"created_at"`
	UpdatedAt  time.Time  `db:"updated_at,updated" json:"updated_at"`

	// Member is the member as whom the person acts; its permissions are all that the person has. Only ActAs sets it.
	Member Member `db:"-" json:"-"`
}

var impersonations = record.Define[Impersonation]("registry.impersonations", nil)

// NewImpersonation is what Impersonate needs to know.
type NewImpersonation struct {
	UserID string        // a member of the tenant of ctx
	Reason string        // for the audit log, which the tenant reads; required
	TTL    time.Duration // zero means 30 minutes; negative or more than 8 hours is ErrMalformed
}

// Impersonate lets the actor of ctx act as a member of the tenant of ctx, and returns a code that Redeem takes within two
// minutes, once. Codes and sessions are stored as hashes only.
//
// Options.Support must allow the actor, now and each time that the code or the session is used, the tenant must not have
// forbidden it by SupportAccess, and the actor must not be impersonating already; else the error is ErrForbidden. Nobody
// becomes more than the member, who must exist: the registry's own changes of members, keys and domains refuse an actor on
// behalf of somebody else anyway.
func (r *Registry) Impersonate(ctx context.Context, n NewImpersonation) (imp Impersonation, code Secret, err error) {
	a, _ := tenancy.ActorFrom(ctx)
	if n.TTL == 0 {
		n.TTL = defaultSupport
	}
	switch {
	case n.Reason == "" || checkTexts(n.Reason) != nil || n.TTL < 0 || n.TTL > maxSupport:
		return imp, code, fmt.Errorf("%w impersonation: want a reason, and a TTL of 0 to %s", ErrMalformed, maxSupport)
	case a.ID == "" || a.OnBehalfOf != "" || a.ID == n.UserID:
		return imp, code, fmt.Errorf("%w: want an actor of its own who acts for nobody yet", ErrForbidden)
	}
	if err := r.staff(ctx, a); err != nil {
		return imp, code, err
	}
	err = r.db.Do(onBehalf(ctx, a.ID, n.UserID), func(ctx context.Context, tx *tenancy.Tx) error {
		if _, err := r.supported(ctx, tx, n.UserID); err != nil {
			return err
		}
		code = newSecret("imp")
		_, hash, _ := splitSecret(code.Reveal(), 1)
		now := time.Now()
		imp = Impersonation{Actor: a.ID, UserID: n.UserID, Reason: n.Reason, Hash: hash, CodeUntil: now, ExpiresAt: now}
		if err := impersonations.Save(ctx, tx, &imp); err != nil {
			return err
		}
		// The database's clock decides; it is known now.
		imp.CodeUntil, imp.ExpiresAt = imp.CreatedAt.Add(codeTTL), imp.CreatedAt.Add(n.TTL)
		if err := impersonations.SaveLater(tx, &imp); err != nil {
			return err
		}
		if err := r.claim(ctx, kindSupport, hashName(hash), imp.ID); err != nil {
			return err
		}
		changed(tx, Event{Type: "impersonation.started", Subject: imp.ID, New: n.UserID}, nil,
			fields{"actor": a.ID, "member": n.UserID, "reason": n.Reason, "expires_at": imp.ExpiresAt})
		return nil
	})
	if err != nil {
		return Impersonation{}, Secret{}, err
	}
	return imp, code, nil
}

// Redeem turns a code into the session that ActAs takes, whatever the tenant of ctx; it is a look-up like BySlug. A code works
// once. An actor of ctx, if there is one, must be who asked for the code.
//
// The errors: ErrMalformed before any I/O; ErrInvalidToken, also for a code that was used; ErrExpired, ErrRevoked,
// ErrForbidden and a *StateError.
func (r *Registry) Redeem(ctx context.Context, code string) (imp Impersonation, session Secret, err error) {
	ref, hash, err := r.supportToken(ctx, code)
	if err != nil {
		return imp, session, err
	}
	found, err := r.support(tenancy.WithID(ctx, ref.ID), ref, hash, false)
	if err != nil {
		return imp, session, err
	}
	if a, _ := tenancy.ActorFrom(ctx); a.ID != "" && a.ID != found.Actor {
		return imp, session, fmt.Errorf("%w: the code is somebody else's", ErrForbidden)
	}
	err = r.db.Do(onBehalf(tenancy.WithID(ctx, ref.ID), found.Actor, found.UserID), func(ctx context.Context, tx *tenancy.Tx) error {
		session = newSecret("imp")
		_, fresh, _ := splitSecret(session.Reveal(), 1)
		n, err := impersonations.Update(ctx, tx, "redeemed_at = now(), hash = $1", "id = $2 and redeemed_at is null and ended_at is null", fresh, found.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrInvalidToken // used meanwhile
		}
		if err := r.release(ctx, tx, kindSupport, hashName(hash)); err != nil {
			return err
		}
		if err := r.claim(ctx, kindSupport, hashName(fresh), found.ID); err != nil {
			return err
		}
		changed(tx, Event{Type: "impersonation.redeemed", Subject: found.ID}, nil, fields{"redeemed": true})
		imp, err = impersonations.Find(ctx, tx, found.ID)
		return err
	})
	if err != nil {
		return Impersonation{}, Secret{}, err
	}
	return imp, session, nil
}

// ActAs returns a context in which the support person of a session acts as the member: its tenancy.Actor has both, and so has
// each row of the audit log. Ask Impersonation.Member.Can before acting; it may what the member may at this moment.
// It is a look-up like BySlug, whatever the tenant of ctx.
//
// It does not nest: an actor who acts on behalf of somebody is ErrForbidden. The other errors are those of Redeem.
func (r *Registry) ActAs(ctx context.Context, session string) (context.Context, Impersonation, error) {
	ref, hash, err := r.supportToken(ctx, session)
	if err != nil {
		return nil, Impersonation{}, err
	}
	ctx = tenancy.WithID(ctx, ref.ID)
	imp, err := r.support(ctx, ref, hash, true)
	if err != nil {
		return nil, Impersonation{}, err
	}
	return onBehalf(ctx, imp.Actor, imp.UserID), imp, nil
}

// EndImpersonation ends a code or session of the tenant of ctx at once. It is idempotent. The support person may, and every
// actor with the permission members.write.
func (r *Registry) EndImpersonation(ctx context.Context, id string) error {
	if err := checkTexts(id); err != nil {
		return err
	}
	imp, err := impersonations.Find(ctx, r.db, id)
	if err != nil {
		return fmt.Errorf("registry: impersonation: %w", err)
	}
	a, _ := tenancy.ActorFrom(ctx)
	if a.ID == imp.Actor {
		ctx = onBehalf(ctx, imp.Actor, imp.UserID)
	}
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		if imp, err = impersonations.First(ctx, tx, record.Query{Where: "id = $1", Args: []any{id}, Lock: record.ForUpdate}); err != nil {
			return err
		}
		if a.ID != imp.Actor {
			if _, err := r.granterOf(ctx, tx, membersWrite); err != nil {
				return err
			}
		}
		if imp.EndedAt != nil {
			return nil
		}
		if _, err := impersonations.Update(ctx, tx, "ended_at = now(), ended_by = $1", "id = $2", a.ID, id); err != nil {
			return err
		}
		if err := r.release(ctx, tx, kindSupport, hashName(imp.Hash)); err != nil {
			return err
		}
		changed(tx, Event{Type: "impersonation.ended", Subject: id, Old: imp.UserID}, fields{"actor": imp.Actor, "member": imp.UserID}, nil)
		return nil
	})
}

// Impersonations returns who acted as whom in the tenant of ctx. Columns for conditions: actor, member, reason, redeemed_at,
// expires_at, ended_at, created_at.
func (r *Registry) Impersonations(ctx context.Context, q record.Query) ([]Impersonation, error) {
	return impersonations.List(ctx, r.db, q)
}

// supportToken finds the tenant of a code or session.
func (r *Registry) supportToken(ctx context.Context, text string) (Ref, []byte, error) {
	head, hash, ok := splitSecret(text, 1)
	if !ok || head[0] != "imp" {
		return Ref{}, nil, fmt.Errorf("%w impersonation token", ErrMalformed)
	}
	if a, _ := tenancy.ActorFrom(ctx); a.OnBehalfOf != "" {
		return Ref{}, nil, fmt.Errorf("%w: impersonations do not nest", ErrForbidden)
	}
	ref, err := r.resolve(ctx, kindSupport, hashName(hash))
	if err != nil {
		return Ref{}, nil, invalidToken(err)
	}
	return ref, hash, nil
}

// support reads the impersonation of a token and refuses one that is over, or not allowed any more.
func (r *Registry) support(ctx context.Context, ref Ref, hash []byte, session bool) (Impersonation, error) {
	imp, err := impersonations.Find(ctx, r.db, ref.Target)
	if err != nil {
		return Impersonation{}, invalidToken(err)
	}
	until := imp.CodeUntil
	if session {
		until = imp.ExpiresAt
	}
	switch {
	case subtle.ConstantTimeCompare(imp.Hash, hash) != 1, session != (imp.RedeemedAt != nil):
		return Impersonation{}, ErrInvalidToken
	case imp.EndedAt != nil:
		return Impersonation{}, ErrRevoked
	case !ref.Now.Before(until), !ref.Now.Before(imp.ExpiresAt):
		return Impersonation{}, ErrExpired
	}
	if err := ref.Check(false); err != nil {
		return Impersonation{}, err
	}
	a, _ := tenancy.ActorFrom(ctx)
	a.ID = imp.Actor
	if err := r.staff(ctx, a); err != nil {
		return Impersonation{}, err
	}
	imp.Member, err = r.supported(ctx, r.db, imp.UserID)
	return imp, err
}

// staff refuses an actor who is no support staff, or is not any more.
func (r *Registry) staff(ctx context.Context, a tenancy.Actor) error {
	if r.opts.Support == nil {
		return fmt.Errorf("%w: Options.Support is not set", ErrForbidden)
	}
	if err := r.opts.Support(ctx, a); err != nil {
		return fmt.Errorf("%w: %w", ErrForbidden, err)
	}
	return nil
}

// supported returns the member as whom support may act now.
func (r *Registry) supported(ctx context.Context, q tenancy.Querier, userID string) (Member, error) {
	allowed := SupportAccess.Default
	row, err := settingRows.Find(ctx, q, SupportAccess.Name)
	if err == nil {
		allowed, err = SupportAccess.Get(&Config{own: map[string]json.RawMessage{row.Name: row.Value}})
	}
	switch {
	case err != nil && !errors.Is(err, tenancy.ErrNotFound):
		return Member{}, err
	case !allowed:
		return Member{}, fmt.Errorf("%w: the tenant does not let support act as its members", ErrForbidden)
	}
	m, err := r.member(ctx, q, userID, record.NoLock)
	if errors.Is(err, tenancy.ErrNotFound) {
		return Member{}, fmt.Errorf("%w: the user is no member any more", ErrForbidden)
	}
	return m, err
}

// onBehalf puts both persons into the context, beside what it knows of the request.
func onBehalf(ctx context.Context, actor, member string) context.Context {
	a, _ := tenancy.ActorFrom(ctx)
	a.ID, a.OnBehalfOf = actor, member
	return tenancy.WithActor(ctx, a)
}
