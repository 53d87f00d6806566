package registry

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

const (
	maxOverlap   = 30 * 24 * time.Hour
	maxScopes    = 64
	touchedEvery = time.Minute
)

// APIKey is a key of a tenant for programs, without its secret. The zero value may nothing.
type APIKey struct {
	ID         string     `db:"id,pk,auto" json:"id"`
	Name       string     `db:"name" json:"name"`
	Prefix     string     `db:"prefix" json:"prefix"` // the third word of the key, to tell keys apart
	Hash       []byte     `db:"hash" json:"-"`
	Scopes     []string   `db:"scopes" json:"scopes"`
	CreatedBy  string     `db:"created_by" json:"created_by"`
	ExpiresAt  *time.Time `db:"expires_at" json:"expires_at,omitempty"`
	RevokedAt  *time.Time `db:"revoked_at" json:"revoked_at,omitempty"`
	LastUsedAt *time.Time `db:"last_used_at" json:"last_used_at,omitempty"` // written at most once a minute
	ReplacedBy string     `db:"replaced_by" json:"replaced_by,omitempty"`   // the key that RotateKey made
	Version    int64      `db:"version,version" json:"version"`
	CreatedAt  time.Time  `db:"created_at,created" json:"created_at"`
	UpdatedAt  time.Time  `db:"updated_at,updated" json:"updated_at"`
}

var apiKeys = record.Define[APIKey]("registry.api_keys", nil)

// Can tells whether one of the scopes includes a permission; their form is that of Member.Can.
func (k APIKey) Can(permission string) bool {
	return checkPermission(permission) == nil && covers(k.Scopes, permission)
}

// Actor is the key as an actor, for tenancy.WithActor; add IP and request id.
func (k APIKey) Actor() tenancy.Actor { return tenancy.Actor{ID: keyActor + k.ID} }

// NewKey is what CreateKey needs to know.
type NewKey struct {
	Name   string        // for people; may be empty
	Scopes []string      // permissions, 64 at most; nil means a key that may nothing
	TTL    time.Duration // zero means that the key does not expire; negative is ErrMalformed
}

// CreateKey makes an API key of the tenant of ctx: sk_<env>_<prefix>_<secret>_<crc>. Only a hash of it is stored: show it, it
// cannot be shown again. The actor needs keys.write and every scope that it gives (ErrForbidden); a key that acts gives no
// longer life than its own.
func (r *Registry) CreateKey(ctx context.Context, n NewKey) (key APIKey, secret Secret, err error) {
	if err := checkTexts(n.Name); err != nil {
		return key, secret, err
	}
	if n.TTL < 0 || len(n.Scopes) > maxScopes {
		return key, secret, fmt.Errorf("%w key: TTL is negative, or more than %d scopes", ErrMalformed, maxScopes)
	}
	for _, s := range n.Scopes {
		if err := checkPermission(s); err != nil {
			return key, secret, err
		}
	}
	err = r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		g, err := r.keyGranter(ctx, tx, n.Scopes)
		if err != nil {
			return err
		}
		if err := r.mayIssue(ctx, tx); err != nil {
			return err
		}
		key, secret, err = r.issue(ctx, tx, n, g)
		return err
	})
	if err != nil {
		return APIKey{}, Secret{}, err
	}
	return key, secret, nil
}

// keyGranter requires that the actor may make or unmake a key with these scopes.
func (r *Registry) keyGranter(ctx context.Context, tx *tenancy.Tx, scopes []string) (granter, error) {
	g, err := r.granterOf(ctx, tx, keysWrite)
	if err == nil && !g.trusted && !coversAll(g.permissions, scopes) {
		err = fmt.Errorf("%w: the scopes exceed the actor's own permissions", ErrForbidden)
	}
	return g, err
}

// mayIssue refuses keys for a tenant that could not use them. The lock makes a purge wait.
func (r *Registry) mayIssue(ctx context.Context, tx *tenancy.Tx) error {
	t, err := r.locked(ctx, tx)
	if err == nil {
		err = t.Check(true)
	}
	return err
}

// issue stores a new key.
func (r *Registry) issue(ctx context.Context, tx *tenancy.Tx, n NewKey, g granter) (APIKey, Secret, error) {
	prefix := strings.ToLower(rand.Text()[:16])
	secret := newSecret("sk_" + r.opts.KeyEnv + "_" + prefix)
	_, hash, _ := splitSecret(secret.Reveal(), 3)
	key := APIKey{Name: n.Name, Prefix: prefix, Hash: hash, Scopes: n.Scopes, CreatedBy: g.actor}
	if err := apiKeys.Save(ctx, tx, &key); err != nil {
		return key, secret, err
	}
	if n.TTL > 0 { // from the database's clock, which is known now
		at := key.CreatedAt.Add(n.TTL)
		key.ExpiresAt = &at
	}
	if g.expires != nil && (key.ExpiresAt == nil || g.expires.Before(*key.ExpiresAt)) {
		key.ExpiresAt = g.expires
	}
	if key.ExpiresAt != nil {
		if err := apiKeys.SaveLater(tx, &key); err != nil {
			return key, secret, err
		}
	}
	if err := r.claim(ctx, kindKey, prefix, key.ID); err != nil {
		return key, secret, err
	}
	changed(tx, Event{Type: "key.created", Subject: key.ID}, nil,
		fields{"name": key.Name, "prefix": key.Prefix, "scopes": key.Scopes, "expires_at": key.ExpiresAt})
	return key, secret, nil
}

// RotateKey makes a key with the name, scopes and life span of another one, which stays valid for the overlap, 30 days at
// most, and not longer than it would have been anyway. Zero ends it at once. A key that was revoked or rotated before is
// ErrRevoked, one that has expired ErrExpired. The actor needs what CreateKey asks for.
func (r *Registry) RotateKey(ctx context.Context, id string, overlap time.Duration) (key APIKey, secret Secret, err error) {
	if err := checkTexts(id); err != nil {
		return key, secret, err
	}
	if overlap < 0 || overlap > maxOverlap {
		return key, secret, fmt.Errorf("%w overlap: want 0 to %s", ErrMalformed, maxOverlap)
	}
	err = r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		old, err := r.lockedKey(ctx, tx, id)
		if err != nil {
			return err
		}
		g, err := r.keyGranter(ctx, tx, old.Scopes)
		if err == nil {
			err = r.mayIssue(ctx, tx)
		}
		if err != nil {
			return err
		}
		if old.RevokedAt != nil || old.ReplacedBy != "" {
			return ErrRevoked
		}
		n := NewKey{Name: old.Name, Scopes: old.Scopes}
		if old.ExpiresAt != nil {
			n.TTL = old.ExpiresAt.Sub(old.CreatedAt)
		}
		if key, secret, err = r.issue(ctx, tx, n, g); err != nil {
			return err
		}
		end := key.CreatedAt.Add(overlap)
		if old.ExpiresAt != nil && !key.CreatedAt.Before(*old.ExpiresAt) {
			return ErrExpired
		}
		before := fields{"expires_at": old.ExpiresAt}
		if old.ExpiresAt == nil || end.Before(*old.ExpiresAt) {
			old.ExpiresAt = &end
		}
		old.ReplacedBy = key.ID
		if err := apiKeys.SaveLater(tx, &old); err != nil {
			return err
		}
		changed(tx, Event{Type: "key.rotated", Subject: old.ID, New: key.ID}, before,
			fields{"expires_at": old.ExpiresAt, "replaced_by": key.ID})
		return nil
	})
	if err != nil {
		return APIKey{}, Secret{}, err
	}
	return key, secret, nil
}

// RevokeKey ends a key at once, and the open invitations that it sent; keys that it made stay, see RevokeKeysOf. It is
// idempotent. The actor needs keys.write, and every scope of the key.
func (r *Registry) RevokeKey(ctx context.Context, id string) error {
	if err := checkTexts(id); err != nil {
		return err
	}
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		key, err := r.lockedKey(ctx, tx, id)
		if err != nil {
			return err
		}
		return r.revoke(ctx, tx, key)
	})
}

// revoke ends a locked key, unless it has been revoked before.
func (r *Registry) revoke(ctx context.Context, tx *tenancy.Tx, key APIKey) error {
	if _, err := r.keyGranter(ctx, tx, key.Scopes); err != nil || key.RevokedAt != nil {
		return err
	}
	if _, err := apiKeys.Update(ctx, tx, "revoked_at = now()", "id = $1", key.ID); err != nil {
		return err
	}
	if err := r.revokeInvitations(ctx, tx, "invited_by = $1", keyActor+key.ID); err != nil {
		return err
	}
	changed(tx, Event{Type: "key.revoked", Subject: key.ID}, fields{"name": key.Name, "prefix": key.Prefix}, nil)
	return nil
}

// RevokeKeysOf revokes, as RevokeKey does, all keys that somebody made, the keys that those made, and so on: by is the id of a
// user or Actor().ID of a key. It is for those who had to leave and for keys that have leaked: call RemoveMember or RevokeKey
// first, or they go on making keys. A key that RotateKey made counts as made by who rotated it. The actor needs keys.write
// and every scope of all these keys, else none is revoked (ErrForbidden).
func (r *Registry) RevokeKeysOf(ctx context.Context, by string) error {
	if by == "" || checkTexts(by) != nil {
		return fmt.Errorf("%w maker of keys: want the id of a user, or of a key as an actor", ErrMalformed)
	}
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		if _, err := r.keyGranter(ctx, tx, nil); err != nil {
			return err
		}
		seen := map[string]bool{}
		for makers := []string{by}; len(makers) > 0; {
			list, err := apiKeys.List(ctx, tx, record.Query{Where: "created_by = any($1)", Args: []any{makers}, Order: "id", Lock: record.ForUpdate})
			if err != nil {
				return err
			}
			makers = nil // of the next generation, which is complete: who makes a key holds its own row until it is there
			for _, key := range list {
				if seen[key.ID] {
					continue
				}
				seen[key.ID] = true
				makers = append(makers, keyActor+key.ID)
				if err := r.revoke(ctx, tx, key); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (r *Registry) lockedKey(ctx context.Context, tx *tenancy.Tx, id string) (APIKey, error) {
	key, err := apiKeys.First(ctx, tx, record.Query{Where: "id = $1", Args: []any{id}, Lock: record.ForUpdate})
	if errors.Is(err, tenancy.ErrNotFound) {
		err = fmt.Errorf("registry: API key: %w", err)
	}
	return key, err
}

// Keys returns API keys of the tenant of ctx. Columns for conditions: name, prefix, created_by, expires_at, revoked_at,
// last_used_at, replaced_by, created_at.
func (r *Registry) Keys(ctx context.Context, q record.Query) ([]APIKey, error) {
	return apiKeys.List(ctx, r.db, q)
}

// Authenticate finds out whose a key is, whatever the tenant of ctx; it is a look-up like BySlug. The text is the whole key.
// Two round trips, and once a minute per key a third one that writes its time of use.
//
// The errors: ErrMalformed, e.g. for a wrong checksum or another environment's key, before any I/O; ErrInvalidToken; then, for
// a genuine key only, ErrRevoked, ErrExpired and a *StateError. Under a tenant that may only be read the key is valid:
// ask Ref.Check(true) before writing.
func (r *Registry) Authenticate(ctx context.Context, text string) (APIKey, Ref, error) {
	head, hash, ok := splitSecret(text, 3)
	if !ok || head[0] != "sk" || head[1] != r.opts.KeyEnv {
		return APIKey{}, Ref{}, fmt.Errorf("%w API key", ErrMalformed)
	}
	ref, err := r.resolve(ctx, kindKey, head[2])
	if err != nil {
		return APIKey{}, Ref{}, invalidToken(err)
	}
	ctx = tenancy.WithID(ctx, ref.ID)
	key, err := apiKeys.Find(ctx, r.db, ref.Target)
	switch {
	case err != nil:
		return APIKey{}, Ref{}, invalidToken(err)
	case subtle.ConstantTimeCompare(key.Hash, hash) != 1:
		return APIKey{}, Ref{}, ErrInvalidToken
	case key.RevokedAt != nil:
		return APIKey{}, Ref{}, ErrRevoked
	case key.ExpiresAt != nil && !ref.Now.Before(*key.ExpiresAt) && key.ReplacedBy != "":
		return APIKey{}, Ref{}, ErrRevoked
	case key.ExpiresAt != nil && !ref.Now.Before(*key.ExpiresAt):
		return APIKey{}, Ref{}, ErrExpired
	}
	if err := ref.Check(false); err != nil {
		return APIKey{}, Ref{}, err
	}
	if before := ref.Now.Add(-touchedEvery); key.LastUsedAt == nil || key.LastUsedAt.Before(before) {
		// The condition keeps it at once a minute over all processes. Its failure refuses nobody: the next call tries again.
		if n, err := apiKeys.Update(ctx, r.db, "last_used_at = now()", "id = $1 and (last_used_at is null or last_used_at < $2)",
			key.ID, before); err == nil && n == 1 {
			key.LastUsedAt = &ref.Now
		}
	}
	return key, ref, nil
}
