package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/tenancy"
)

// keysFresh is how long a key or a slug that was found is not looked up again.
const keysFresh = time.Minute

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

var slugPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// Validate reports the first field that is wrong.
func (in SignUpIn) Validate() error {
	if name := strings.TrimSpace(in.Team); name == "" || len(name) > 100 {
		return &uptime.FieldError{Field: "team", Problem: "must have 1 to 100 bytes"}
	}
	if !slugPattern.MatchString(in.Slug) {
		return &uptime.FieldError{Field: "slug", Problem: "must have 1 to 40 small letters, digits and dashes inside"}
	}
	return (&Contact{Name: in.Team, Email: in.Email, Phone: in.Phone}).Validate()
}

// SignUp makes a team with its first API key.
func (a *App) SignUp(ctx context.Context, in SignUpIn) (SignUpOut, error) {
	key := "pulse_" + rand.Text()
	out := SignUpOut{ID: uuid.Must(uuid.NewV7()).String(), Team: strings.TrimSpace(in.Team), Slug: in.Slug, APIKey: key}
	out.Status = a.Base + "/status/" + out.Slug
	ctx = tenancy.WithID(ctx, out.ID)
	err := a.DB.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
		// All of it travels with COMMIT, in one round trip.
		tx.Defer(`insert into pulse.teams (slug, name) values ($1, $2)`, out.Slug, out.Team)
		tx.Defer(`insert into pulse.api_keys (hash) values ($1)`, hashKey(key))
		return contacts.SaveLater(tx, &Contact{Name: out.Team, Email: in.Email, Phone: in.Phone})
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.ConstraintName == "teams_slug" {
		return SignUpOut{}, ErrSlugTaken
	}
	if err != nil {
		return SignUpOut{}, err
	}
	// Somebody may have looked for the page before it existed.
	if err := a.slugs.Invalidate(ctx, out.Slug); err != nil {
		a.Logger.WarnContext(ctx, "the new status page is found in a moment only", "error", err)
	}
	return out, nil
}

func hashKey(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

// TenantOfKey finds the team of an API key, or ErrUnknownKey. The key itself
// is neither stored nor cached.
func (a *App) TenantOfKey(ctx context.Context, key string) (string, error) {
	if key == "" || len(key) > 100 {
		return "", ErrUnknownKey
	}
	hash := hashKey(key)
	return known(a.keys.Fetch(ctx, hex.EncodeToString(hash), func(ctx context.Context, _ string) (string, error) {
		return a.lookUp(ctx, "find an API key", `select tenant_id from pulse.api_keys where hash = $1`, hash)
	}))(ErrUnknownKey)
}

// TenantOfSlug finds the team of a status page, or ErrNotFound.
func (a *App) TenantOfSlug(ctx context.Context, slug string) (string, error) {
	if !slugPattern.MatchString(slug) {
		return "", ErrNotFound
	}
	return known(a.slugs.Fetch(ctx, slug, func(ctx context.Context, slug string) (string, error) {
		return a.lookUp(ctx, "find a status page", `select tenant_id from pulse.teams where slug = $1`, slug)
	}))(ErrNotFound)
}

// lookUp finds a tenant, which no tenant's role could do.
func (a *App) lookUp(ctx context.Context, reason, sql string, arg any) (string, error) {
	id, err := tenancy.One[string](tenancy.System(ctx, reason), a.DB.With(&tenancy.TxOptions{ReadOnly: true}), sql, arg)
	if errors.Is(err, tenancy.ErrNotFound) {
		return "", cache.ErrNotFound
	}
	return id, err
}

// known turns the cache's "not found" into the app's.
func known(id string, err error) func(error) (string, error) {
	return func(missing error) (string, error) {
		if errors.Is(err, cache.ErrNotFound) {
			return "", missing
		}
		return id, err
	}
}
