package tenancy

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

type (
	idKey     struct{}
	systemKey struct{}
	openKey   struct{}             // innermost open unit of any DB
	unitKey   struct{ core *core } // open unit of one DB
)

// maxID bounds a tenant's id; it travels in every transaction and in every event.
const maxID = 255

// WithID returns a context that acts for the tenant id. It stores and checks nothing else: an empty or malformed id fails
// at the first use. A context made by System loses its system role here, so the last of the two calls decides.
func WithID(ctx context.Context, id string) context.Context {
	if _, ok := ctx.Value(systemKey{}).(string); ok {
		ctx = context.WithValue(ctx, systemKey{}, nil)
	}
	return context.WithValue(ctx, idKey{}, id)
}

// IDFrom returns the tenant of ctx; ok is false when there is none. Its shape is the tenant seam of all blocks.
func IDFrom(ctx context.Context) (id string, ok bool) {
	id, _ = ctx.Value(idKey{}).(string)
	return id, id != ""
}

// System returns a context whose units run on the pool Options.System, whose role sees all tenants. The reason, a text of
// the program and no secret, is required: each unit, or statement without one, writes it to Options.Logger before it begins, at
// level Info, from then on for a minute at Debug if tenant, reason and actor are the same. The audit log has the reason
// with what a unit audits; what it only reads leaves no other trace. A tenant that ctx already has stays set: it becomes the tenant of emitted events and
// of tenancy.tenant_id().
func System(ctx context.Context, reason string) context.Context {
	return context.WithValue(ctx, systemKey{}, reason)
}

// TxFrom returns the innermost open unit of work of ctx.
func TxFrom(ctx context.Context) (tx *Tx, ok bool) {
	tx, _ = ctx.Value(openKey{}).(*Tx)
	return tx, tx != nil
}

// Pgx is TxFrom for code that knows pgx but not this package.
func Pgx(ctx context.Context) (pgx.Tx, bool) {
	tx, ok := TxFrom(ctx)
	if !ok {
		return nil, false
	}
	return tx, true
}

// identity is on whose behalf a unit runs.
type identity struct {
	tenant string
	system bool
}

// identityOf fails closed: whatever is not a well-formed tenant or an explicit System is an error.
func identityOf(ctx context.Context) (identity, error) {
	id, _ := ctx.Value(idKey{}).(string)
	reason, system := ctx.Value(systemKey{}).(string)
	switch {
	case system && reason == "":
		return identity{}, errors.New("tenancy: System needs a reason")
	case id == "" && !system:
		return identity{}, ErrNoTenant
	case len(id) > maxID || !utf8.ValidString(id) || hasNUL(id):
		return identity{}, fmt.Errorf("%w: the id is not valid UTF-8 of 1 to %d bytes without NUL", ErrNoTenant, maxID)
	}
	return identity{tenant: id, system: system}, nil
}

// conflicts tells whether ctx asks for somebody else than who. A context that names nobody conflicts with nobody.
func conflicts(ctx context.Context, who identity) bool {
	id, hasID := IDFrom(ctx)
	_, system := ctx.Value(systemKey{}).(string)
	if !hasID && !system {
		return false
	}
	return id != who.tenant || system != who.system
}

func hasNUL(s string) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return true
		}
	}
	return false
}

func withTx(ctx context.Context, tx *Tx) context.Context {
	return context.WithValue(context.WithValue(ctx, unitKey{tx.core}, tx), openKey{}, tx)
}

// afterwards is the context of hooks that run when the unit is over: same tenant, no unit, no cancellation.
func afterwards(ctx context.Context, c *core) context.Context {
	ctx = context.WithoutCancel(ctx)
	return context.WithValue(context.WithValue(ctx, unitKey{c}, (*Tx)(nil)), openKey{}, (*Tx)(nil))
}
