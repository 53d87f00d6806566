package registry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

var supportRows = record.Define[registry.Impersonation]("registry.impersonations", nil)

var errNoStaff = errors.New("not on the list")

// desk is a tenant, and a registry whose support staff is sam.
func desk(f fixture) (fixture, registry.Tenant) {
	f.Helper()
	var err error
	f.reg, err = registry.New(f.db, &registry.Options{Roles: roles, Support: func(_ context.Context, a tenancy.Actor) error {
		if a.ID != "sam" && a.ID != "sue" {
			return errNoStaff
		}
		return nil
	}})
	require.NoError(f, err)
	acme := f.tenant("acme", "ann")
	f.add(acme, "mel", "member")
	return f, acme
}

var ticket = registry.NewImpersonation{UserID: "mel", Reason: "ticket 7"}

func TestImpersonation(t *testing.T) {
	both(t, func(f fixture) {
		f, acme := desk(f)
		imp, code, err := f.reg.Impersonate(f.as(acme, "sam"), ticket)
		require.NoError(f, err)
		require.Equal(f, []string{"sam", "mel"}, []string{imp.Actor, imp.UserID})
		_, _, err = f.reg.ActAs(f.Context(), code.Reveal())
		require.ErrorIs(f, err, registry.ErrInvalidToken, "a code is no session")
		_, _, err = f.reg.Redeem(f.as(acme, "eve"), code.Reveal())
		require.ErrorIs(f, err, registry.ErrForbidden, "a stolen code")
		_, session, err := f.reg.Redeem(f.Context(), code.Reveal())
		require.NoError(f, err)
		_, _, err = f.reg.Redeem(f.Context(), code.Reveal())
		require.ErrorIs(f, err, registry.ErrInvalidToken, "a code works once")
		_, _, err = f.reg.Redeem(f.Context(), session.Reveal())
		require.ErrorIs(f, err, registry.ErrInvalidToken, "a session is no code")

		ctx := tenancy.WithActor(f.Context(), tenancy.Actor{IP: "192.0.2.1", RequestID: "r1"})
		ctx, imp, err = f.reg.ActAs(ctx, session.Reveal())
		require.NoError(f, err)
		id, _ := tenancy.IDFrom(ctx)
		require.Equal(f, acme.ID, id)
		actor, _ := tenancy.ActorFrom(ctx)
		require.Equal(f, tenancy.Actor{ID: "sam", OnBehalfOf: "mel", IP: "192.0.2.1", RequestID: "r1"}, actor)
		require.True(f, imp.Member.Can("projects.read"))
		require.False(f, imp.Member.Can("members.write"), "no more than the member")
		require.NoError(f, f.db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
			tx.Audit(tenancy.Audit{Action: "note.read"})
			return nil
		}))

		require.NoError(f, f.reg.EndImpersonation(ctx, imp.ID))
		require.NoError(f, f.reg.EndImpersonation(ctx, imp.ID), "idempotent")
		_, _, err = f.reg.ActAs(f.Context(), session.Reveal())
		require.ErrorIs(f, err, registry.ErrInvalidToken)
		log, err := f.reg.AuditLog(f.as(acme, ""), registry.AuditQuery{Actor: "mel"})
		require.NoError(f, err)
		var both []string
		for _, e := range log {
			both = append(both, e.Action+" "+e.Actor+" "+e.OnBehalfOf)
		}
		require.Equal(f, []string{
			"impersonation.ended sam mel", "note.read sam mel", "impersonation.redeemed sam mel", "impersonation.started sam mel",
		}, both)
		list, err := f.reg.Impersonations(f.as(acme, "ann"), record.Query{})
		require.NoError(f, err)
		require.Equal(f, "ticket 7", list[0].Reason)
		require.Equal(f, "sam", list[0].EndedBy)
		for _, s := range []registry.Secret{code, session} {
			require.NotContains(f, fmt.Sprintf("%v %+v %#v", s, s, s), s.Reveal())
			for _, e := range log {
				require.NotContains(f, fmt.Sprintf("%+v", e), s.Reveal())
			}
		}
	})
}

func TestImpersonationRefused(t *testing.T) {
	both(t, func(f fixture) {
		f, acme := desk(f)
		refused := func(ctx context.Context, n registry.NewImpersonation, want error) {
			f.Helper()
			_, code, err := f.reg.Impersonate(ctx, n)
			require.ErrorIs(f, err, want)
			require.Empty(f, code.Reveal())
		}
		sam := f.as(acme, "sam")
		refused(f.as(acme, "eve"), ticket, registry.ErrForbidden)
		refused(f.as(acme, "eve"), ticket, errNoStaff)
		refused(f.as(acme, ""), ticket, registry.ErrForbidden)
		refused(sam, registry.NewImpersonation{UserID: "mel"}, registry.ErrMalformed)
		refused(sam, registry.NewImpersonation{UserID: "mel", Reason: "x", TTL: -1}, registry.ErrMalformed)
		refused(sam, registry.NewImpersonation{UserID: "mel", Reason: "x", TTL: 9 * 3600e9}, registry.ErrMalformed)
		refused(sam, registry.NewImpersonation{UserID: "nobody", Reason: "x"}, registry.ErrForbidden)
		refused(sam, registry.NewImpersonation{UserID: "sam", Reason: "x"}, registry.ErrForbidden)
		refused(tenancy.WithActor(f.Context(), tenancy.Actor{ID: "sam"}), ticket, tenancy.ErrNoTenant)
		nested := tenancy.WithActor(sam, tenancy.Actor{ID: "sam", OnBehalfOf: "mel"})
		refused(nested, registry.NewImpersonation{UserID: "ann", Reason: "x"}, registry.ErrForbidden)
		without, err := registry.New(f.db, &registry.Options{Roles: roles})
		require.NoError(f, err)
		_, _, err = without.Impersonate(sam, ticket)
		require.ErrorIs(f, err, registry.ErrForbidden, "nobody is support by default")

		_, code, err := f.reg.Impersonate(sam, ticket)
		require.NoError(f, err)
		_, _, err = f.reg.Redeem(nested, code.Reveal())
		require.ErrorIs(f, err, registry.ErrForbidden)
		for _, bad := range []string{"", "imp_x", code.Reveal()[1:], code.Reveal() + "0", "inv" + code.Reveal()[3:]} {
			_, _, err = f.reg.Redeem(f.Context(), bad)
			require.ErrorIs(f, err, registry.ErrMalformed)
			_, _, err = f.reg.ActAs(f.Context(), bad)
			require.ErrorIs(f, err, registry.ErrMalformed)
		}
		_, session, err := f.reg.Redeem(f.Context(), code.Reveal())
		require.NoError(f, err)
		_, _, err = f.reg.ActAs(nested, session.Reveal())
		require.ErrorIs(f, err, registry.ErrForbidden, "no nesting")
		ctx, _, err := f.reg.ActAs(f.Context(), session.Reveal())
		require.NoError(f, err)
		require.ErrorIs(f, f.reg.AddMember(ctx, "sam", "member"), registry.ErrForbidden, "nothing that outlives the session")
	})
}

func TestImpersonationEnds(t *testing.T) {
	both(t, func(f fixture) {
		f, acme := desk(f)
		start := func() (registry.Impersonation, registry.Secret) {
			f.Helper()
			_, code, err := f.reg.Impersonate(f.as(acme, "sam"), ticket)
			require.NoError(f, err)
			imp, session, err := f.reg.Redeem(f.Context(), code.Reveal())
			require.NoError(f, err)
			return imp, session
		}
		past := func(column, id string) {
			f.Helper()
			n, err := supportRows.Update(f.as(acme, ""), f.db, column+" = now() - interval '1 second'", "id = $1", id)
			require.NoError(f, err)
			require.Equal(f, int64(1), n)
		}
		act := func(session registry.Secret, want error) {
			f.Helper()
			_, _, err := f.reg.ActAs(f.Context(), session.Reveal())
			require.ErrorIs(f, err, want)
		}
		imp, code, err := f.reg.Impersonate(f.as(acme, "sam"), ticket)
		require.NoError(f, err)
		past("code_until", imp.ID)
		_, _, err = f.reg.Redeem(f.Context(), code.Reveal())
		require.ErrorIs(f, err, registry.ErrExpired)

		imp, session := start()
		act(session, nil)
		past("expires_at", imp.ID)
		act(session, registry.ErrExpired)

		_, session = start()
		require.NoError(f, registry.SupportAccess.Set(f.as(acme, "ann"), f.reg, false))
		act(session, registry.ErrForbidden)
		_, _, err = f.reg.Impersonate(f.as(acme, "sam"), ticket)
		require.ErrorIs(f, err, registry.ErrForbidden, "the tenant has forbidden it")
		require.NoError(f, registry.SupportAccess.Set(f.as(acme, "ann"), f.reg, true))
		act(session, nil)

		require.NoError(f, f.reg.SetState(f.as(acme, "ops"), registry.StateChange{To: registry.Archived}))
		act(session, registry.ErrArchived)
		require.NoError(f, f.reg.SetState(f.as(acme, "ops"), registry.StateChange{To: registry.Active}))

		imp, session = start()
		require.ErrorIs(f, f.reg.EndImpersonation(f.as(acme, "mel"), imp.ID), registry.ErrForbidden)
		require.ErrorIs(f, f.reg.EndImpersonation(f.as(acme, "ann"), "no such id"), tenancy.ErrNotFound)
		require.NoError(f, f.reg.EndImpersonation(f.as(acme, "ann"), imp.ID), "an owner ends it")
		act(session, registry.ErrInvalidToken)

		_, session = start()
		require.NoError(f, f.reg.RemoveMember(f.as(acme, "ann"), "mel"))
		act(session, registry.ErrForbidden)
	})
}

// TestImpersonationEndsWithSupport: who is no support staff any more has no session, nor gets one by an old code.
func TestImpersonationEndsWithSupport(t *testing.T) {
	both(t, func(f fixture) {
		f, acme := desk(f)
		var staff []tenancy.Actor
		var err error
		f.reg, err = registry.New(f.db, &registry.Options{Roles: roles, Support: func(_ context.Context, a tenancy.Actor) error {
			if !slices.Contains(staff, a) {
				return errNoStaff
			}
			return nil
		}})
		require.NoError(f, err)
		request := tenancy.WithActor(f.Context(), tenancy.Actor{IP: "192.0.2.1"})
		staff = []tenancy.Actor{{ID: "sam"}, {ID: "sam", IP: "192.0.2.1"}}
		_, code, err := f.reg.Impersonate(f.as(acme, "sam"), ticket)
		require.NoError(f, err)
		_, session, err := f.reg.Redeem(request, code.Reveal())
		require.NoError(f, err)
		_, _, err = f.reg.ActAs(request, session.Reveal())
		require.NoError(f, err)
		_, code, err = f.reg.Impersonate(f.as(acme, "sam"), ticket)
		require.NoError(f, err)

		staff = nil
		_, _, err = f.reg.ActAs(request, session.Reveal())
		require.ErrorIs(f, err, registry.ErrForbidden)
		require.ErrorIs(f, err, errNoStaff)
		_, _, err = f.reg.Redeem(request, code.Reveal())
		require.ErrorIs(f, err, registry.ErrForbidden)
		require.ErrorIs(f, err, errNoStaff)
	})
}

// TestImpersonationCodeWorksOnce: of many who redeem one code at once, one gets a session.
func TestImpersonationCodeWorksOnce(t *testing.T) {
	both(t, func(f fixture) {
		f, acme := desk(f)
		_, code, err := f.reg.Impersonate(f.as(acme, "sam"), ticket)
		require.NoError(f, err)
		var wg sync.WaitGroup
		var sessions atomic.Int64
		for range 8 {
			wg.Go(func() {
				_, _, err := f.reg.Redeem(f.Context(), code.Reveal())
				if err == nil {
					sessions.Add(1)
				} else if !errors.Is(err, registry.ErrInvalidToken) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(f, int64(1), sessions.Load())
	})
}
