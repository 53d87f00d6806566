package registry_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// adds are the ways to add something to a tenant, by the methods' names.
func adds() map[string]func(ctx context.Context, r *registry.Registry) error {
	seats := registry.Quota{Name: "seats", Limit: 10}
	theme := registry.Setting[string]{Name: "theme"}
	beta := registry.Flag{Name: "beta"}
	return map[string]func(ctx context.Context, r *registry.Registry) error{
		"AddMember": func(ctx context.Context, r *registry.Registry) error { return r.AddMember(ctx, "late", "member") },
		"CreateKey": func(ctx context.Context, r *registry.Registry) error {
			_, _, err := r.CreateKey(ctx, registry.NewKey{Name: "late", Scopes: []string{"projects.read"}})
			return err
		},
		"Invite": func(ctx context.Context, r *registry.Registry) error {
			_, _, err := r.Invite(ctx, registry.NewInvitation{Email: "late@acme.example", Role: "member"})
			return err
		},
		"Update": func(ctx context.Context, r *registry.Registry) error {
			_, err := r.Update(ctx, func(t *registry.Tenant) error { t.Name = "late"; return nil })
			return err
		},
		"SetAutoJoin": func(ctx context.Context, r *registry.Registry) error { return r.SetAutoJoin(ctx, "member") },
		"Quota.Take":  func(ctx context.Context, r *registry.Registry) error { return seats.Take(ctx, r, 1) },
		"Quota.SetLimit": func(ctx context.Context, r *registry.Registry) error {
			limit := int64(5)
			return seats.SetLimit(ctx, r, &limit)
		},
		"Setting.Set": func(ctx context.Context, r *registry.Registry) error { return theme.Set(ctx, r, "dark") },
		"Flag.Set":    func(ctx context.Context, r *registry.Registry) error { return beta.Set(ctx, r, 100) },
	}
}

// A tenant that is being deleted, and one that is deleted, takes nothing new, so that what a
// purge has counted stays true.
func TestDeletedTenantsTakeNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.reg = open(t, h.db)
	h.fill(t, "acme")
	trusted := registry.Trusted(tenancy.WithID(t.Context(), "acme"))
	for _, state := range []registry.State{registry.Deleting, registry.Deleted} {
		if state == registry.Deleting {
			require.NoError(t, h.reg.SetState(trusted, registry.StateChange{To: registry.Deleting}))
		} else {
			_, err := h.reg.Purge(trusted, "asked for", atOnce)
			require.NoError(t, err)
		}
		before := h.counts(t, "acme")
		for name, add := range adds() {
			var refused *registry.StateError
			require.ErrorAs(t, add(trusted, h.reg), &refused, "%s of a tenant that is %s", name, state)
			require.Equal(t, state, refused.State, name)
		}
		require.Equal(t, before, h.counts(t, "acme"))
	}
}

// Each method that a Registry has is either tried above, or needs something of the tenant that a
// purge has taken away, or adds nothing. A new one has to be put somewhere.
func TestNoWriteIsForgotten(t *testing.T) {
	t.Parallel()
	var tried []string
	for name := range adds() {
		if !strings.Contains(name, ".") { // else a method of another type
			tried = append(tried, name)
		}
	}
	elsewhere := []string{
		"Create", "Import", // make a tenant
		"RotateKey", "SetRole", "RemoveMember", "RevokeKey", "RevokeKeysOf", "RevokeInvitation", "EndImpersonation", // of what is there
		"Accept", "Join", "Impersonate", "Redeem", "ActAs", "Domains", // refused by state, with tests of their own
		"SetState", "Purge", // the life itself
	}
	reads := []string{
		"Get", "List", "Member", "Members", "Memberships", "Invitations", "Keys", "Authenticate", "AuditLog", "BySlug", "Config",
		"Export", "Impersonations", "PurgeReports", "Resolver",
	}
	var methods []string
	for m := range reflect.TypeFor[*registry.Registry]().Methods() {
		methods = append(methods, m.Name)
	}
	require.ElementsMatch(t, slices.Concat(tried, elsewhere, reads), methods)
}
