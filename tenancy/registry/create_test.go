package registry_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// TestFirstRowsExistWithTheirTenant: Then is part of the unit that makes the tenant.
func TestFirstRowsExistWithTheirTenant(t *testing.T) {
	both(t, func(w fixture) {
		broken := errors.New("no room")
		_, err := w.reg.Create(w.Context(), registry.NewTenant{Slug: "acme", Then: func(ctx context.Context, _ *tenancy.Tx) error {
			_, _, err := w.reg.CreateKey(registry.Trusted(ctx), registry.NewKey{Name: "first"})
			require.NoError(w, err)
			return broken
		}})
		require.ErrorIs(w, err, broken)
		_, err = w.reg.BySlug(w.Context(), "acme")
		require.ErrorIs(w, err, registry.ErrUnknownTenant, "the slug is free again")

		// What Then says about its own rows is not mistaken for a taken slug.
		_, err = w.reg.Create(w.Context(), registry.NewTenant{Slug: "acme", Then: func(context.Context, *tenancy.Tx) error { return record.ErrConflict }})
		require.ErrorIs(w, err, record.ErrConflict)
		require.NotErrorIs(w, err, registry.ErrTaken)

		var secret registry.Secret
		tenant, err := w.reg.Create(w.Context(), registry.NewTenant{Slug: "acme", Then: func(ctx context.Context, tx *tenancy.Tx) (err error) {
			id, _ := tenancy.IDFrom(ctx)
			require.Equal(w, id, tx.ID())
			_, secret, err = w.reg.CreateKey(registry.Trusted(ctx), registry.NewKey{Name: "first"})
			return err
		}})
		require.NoError(w, err)
		_, ref, err := w.reg.Authenticate(w.Context(), secret.Reveal())
		require.NoError(w, err)
		require.Equal(w, tenant.ID, ref.ID)
	})
}
