package registry_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

func TestMembers(t *testing.T) {
	both(t, func(f fixture) {
		acme, globex := f.tenant("acme", "ann"), f.tenant("globex", "bob")
		ann := f.as(acme, "ann")
		require.NoError(f, f.reg.AddMember(ann, "cid", "member"))
		require.NoError(f, f.reg.AddMember(ann, "cid", "member"), "a second call finds the first one's member")
		require.ErrorIs(f, f.reg.AddMember(ann, "cid", "admin"), registry.ErrTaken)
		require.NoError(f, f.reg.SetRole(ann, "cid", "admin"))
		require.NoError(f, f.reg.SetRole(ann, "cid", "admin"))
		m, err := f.reg.Member(ann, "cid")
		require.NoError(f, err)
		require.True(f, m.Can("projects.write") && m.Can("projects.*") && m.Can("members.write"))
		require.False(f, m.Can("billing.read") || m.Can("*") || m.Can("projects") || m.Can("projectsX.read") || m.Can("") || m.Can("projects."))
		require.False(f, registry.Member{Role: registry.Owner}.Can("read"), "a value that nobody read may nothing")
		list, err := f.reg.Members(ann, record.Query{Order: "user_id"})
		require.NoError(f, err)
		require.Len(f, list, 2)
		require.True(f, list[0].Can("x") && list[1].Can("keys.write"))
		require.NoError(f, f.reg.RemoveMember(ann, "cid"))
		for _, err := range []error{f.reg.RemoveMember(ann, "cid"), f.reg.SetRole(ann, "cid", "hr")} {
			require.ErrorIs(f, err, tenancy.ErrNotFound)
		}
		_, err = f.reg.Member(ann, "bob")
		require.ErrorIs(f, err, tenancy.ErrNotFound, "another tenant's member")
		require.ErrorIs(f, f.reg.AddMember(f.as(registry.Tenant{ID: "nobody"}, ""), "x", "member"), registry.ErrForbidden)
		require.ErrorIs(f, f.reg.AddMember(registry.Trusted(f.as(registry.Tenant{ID: "nobody"}, "")), "x", "member"), registry.ErrUnknownTenant)
		require.Equal(f, []string{
			"ann member.added member/cid", "ann member.role_changed member/cid", "ann member.removed member/cid",
		}, f.audited(acme)[1:])

		f.add(globex, "ann", "hr")
		tenants, err := f.reg.Memberships(f.Context(), "ann")
		require.NoError(f, err)
		require.Len(f, tenants, 2)
		got := map[string]string{tenants[0].Slug: tenants[0].Role, tenants[1].Slug: tenants[1].Role}
		require.Equal(f, map[string]string{"acme": registry.Owner, "globex": "hr"}, got)
		none, err := f.reg.Memberships(f.Context(), "nobody")
		require.NoError(f, err)
		require.Empty(f, none)
	})
}

// TestNobodyGrantsMoreThanItHas plays every role, a stranger, an API key, an impersonator and nobody against every grant.
func TestNobodyGrantsMoreThanItHas(t *testing.T) {
	both(t, func(f fixture) {
		acme, globex := f.tenant("acme", "ann"), f.tenant("globex", "eve")
		for _, role := range []string{"admin", "hr", "member"} {
			f.add(acme, role, role)
		}
		key := func(scopes ...string) string {
			k, _, err := f.reg.CreateKey(registry.Trusted(f.as(acme, "")), registry.NewKey{Scopes: scopes})
			require.NoError(f, err)
			return k.Actor().ID
		}
		weak, strong, gone := key("projects.read"), key("members.*", "keys.*", "projects.*"), key("*")
		require.NoError(f, f.reg.RevokeKey(registry.Trusted(f.as(acme, "")), gone[len("key/"):]))
		may := map[string]string{ // which roles the actor may give
			"ann": "owner admin hr member", "admin": "admin hr member", "hr": "hr member", "member": "", "eve": "", "": "",
			weak: "", strong: "admin hr member", gone: "", "key/unknown": "",
		}
		n := 0
		for actor, granted := range may {
			ctx := f.as(acme, actor)
			for _, role := range []string{registry.Owner, "admin", "hr", "member"} {
				n++
				user := fmt.Sprint("u", n)
				f.add(acme, user, "member")
				want := func(err error) {
					f.Helper()
					if containsWord(granted, role) {
						require.NoError(f, err, "%s grants %s", actor, role)
					} else {
						require.ErrorIs(f, err, registry.ErrForbidden, "%s grants %s", actor, role)
						require.Equal(f, 403, status(err))
					}
				}
				want(f.reg.AddMember(ctx, "new"+user, role))
				_, _, err := f.reg.Invite(ctx, registry.NewInvitation{Email: user + "@example.com", Role: role})
				want(err)
				if role != "member" {
					want(f.reg.SetRole(ctx, user, role))
				}
				// Taking away is bounded in the same way.
				target := "target" + user
				f.add(acme, target, role)
				want(f.reg.RemoveMember(ctx, target))
			}
			// A member cannot raise itself, an owner may not be unmade by others, whatever they have.
			if actor != "ann" && actor != "" {
				require.ErrorIs(f, f.reg.SetRole(ctx, "ann", "member"), registry.ErrForbidden, actor)
				if granted != "" && actor != strong {
					require.ErrorIs(f, f.reg.SetRole(ctx, actor, registry.Owner), registry.ErrForbidden, actor)
				}
			}
		}
		support := tenancy.WithActor(f.as(acme, ""), tenancy.Actor{ID: "support", OnBehalfOf: "ann"})
		require.ErrorIs(f, f.reg.AddMember(support, "mole", "member"), registry.ErrForbidden)
		require.ErrorIs(f, f.reg.RemoveMember(tenancy.WithActor(support, tenancy.Actor{ID: "member", OnBehalfOf: "ann"}), "member"), registry.ErrForbidden)
		require.ErrorIs(f, f.reg.AddMember(f.as(globex, "ann"), "ann", "member"), registry.ErrForbidden, "an owner elsewhere is nobody here")
		require.NoError(f, f.reg.RemoveMember(f.as(acme, "member"), "member"), "everybody may leave")
	})
}

func TestLastOwnerStays(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		ann := f.as(acme, "ann")
		for _, err := range []error{f.reg.RemoveMember(ann, "ann"), f.reg.SetRole(ann, "ann", "admin"), f.reg.RemoveMember(registry.Trusted(ann), "ann")} {
			require.ErrorIs(f, err, registry.ErrLastOwner)
			require.Equal(f, 409, status(err))
		}
		require.NoError(f, f.reg.AddMember(ann, "bob", registry.Owner))
		require.NoError(f, f.reg.SetRole(f.as(acme, "bob"), "ann", "member"))
		require.ErrorIs(f, f.reg.RemoveMember(f.as(acme, "bob"), "bob"), registry.ErrLastOwner)
		require.NoError(f, f.reg.RemoveMember(f.as(acme, "ann"), "ann"))
		got, err := f.reg.Get(ann)
		require.NoError(f, err)
		require.EqualValues(f, 1, got.Owners)
	})
}

// TestOwnersWhoRemoveEachOther: all owners but none at once leave, are removed or demoted, at every isolation level; in the
// end there is at least one, and as many as the tenant counts.
func TestOwnersWhoRemoveEachOther(t *testing.T) {
	both(t, func(f fixture) {
		levels := []tenancy.TxOptions{{}, {Isolation: "repeatable read"}, {Isolation: "serializable"}}
		for round := range testenv.Rounds(6, 60) {
			acme := f.tenant(fmt.Sprint("acme", round), "u0")
			for i := 1; i < 4; i++ {
				f.add(acme, fmt.Sprint("u", i), registry.Owner)
			}
			db := f.db.With(&levels[round%len(levels)])
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					actor, user := fmt.Sprint("u", i%4), fmt.Sprint("u", (i+i/4)%4)
					ctx := f.as(acme, actor)
					err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
						if i%3 == 0 {
							return f.reg.SetRole(ctx, user, "member")
						}
						return f.reg.RemoveMember(ctx, user)
					})
					if err != nil && !errors.Is(err, registry.ErrLastOwner) && !errors.Is(err, registry.ErrForbidden) && !errors.Is(err, tenancy.ErrNotFound) {
						if sqlState(err) != "40001" { // too many retries is no wrong answer
							f.Error(err)
						}
					}
				})
			}
			wg.Wait()
			owners, err := f.reg.Members(f.as(acme, ""), record.Query{Where: "role = 'owner'"})
			require.NoError(f, err)
			require.NotEmpty(f, owners)
			got, err := f.reg.Get(f.as(acme, ""))
			require.NoError(f, err)
			require.EqualValues(f, len(owners), got.Owners)
		}
	})
}

// TestPlantedCountIsFound shows what the guard replaces: who counts first and removes then leaves nobody.
func TestPlantedCountIsFound(t *testing.T) {
	t.Parallel()
	f, _ := postgres(t)
	acme := f.tenant("acme", "u0")
	f.add(acme, "u1", registry.Owner)
	memberRows := record.Define[registry.Member]("registry.members", nil)
	var counted, wg sync.WaitGroup
	counted.Add(2)
	for i := range 2 {
		wg.Go(func() {
			err := f.db.Do(f.as(acme, ""), func(ctx context.Context, tx *tenancy.Tx) error {
				n, err := memberRows.Count(ctx, tx, record.Query{Where: "role = 'owner'"})
				counted.Done()
				counted.Wait()
				if err != nil || n < 2 {
					return err
				}
				_, err = memberRows.DeleteBy(ctx, tx, "user_id = $1", fmt.Sprint("u", i))
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	owners, err := f.reg.Members(f.as(acme, ""), record.Query{Where: "role = 'owner'"})
	require.NoError(t, err)
	require.Empty(t, owners)
}
