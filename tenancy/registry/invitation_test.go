package registry_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

func (f fixture) invite(t registry.Tenant, email, role string) (registry.Invitation, string) {
	f.Helper()
	inv, token, err := f.reg.Invite(f.as(t, "ann"), registry.NewInvitation{Email: email, Role: role})
	require.NoError(f, err)
	return inv, token.Reveal()
}

func TestInvitations(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		inv, token := f.invite(acme, " Bob@Example.com"[1:], "admin")
		require.Equal(f, "bob@example.com", inv.Email)
		require.Equal(f, 7*24*time.Hour, inv.ExpiresAt.Sub(inv.CreatedAt), "by the database's clock")
		require.NotContains(f, fmt.Sprintf("%s %x", inv.TokenHash, inv.TokenHash), token[4:30])

		bob := registry.Acceptance{UserID: "bob", Email: "BOB@example.com"}
		_, err := f.reg.Accept(f.Context(), token, registry.Acceptance{UserID: "eve", Email: "eve@example.com"})
		require.ErrorIs(f, err, registry.ErrForbidden, "somebody else's token")
		ref, err := f.reg.Accept(f.Context(), token, bob)
		require.NoError(f, err)
		require.Equal(f, acme.ID, ref.ID)
		m, err := f.reg.Member(f.as(acme, ""), "bob")
		require.NoError(f, err)
		require.Equal(f, "admin", m.Role)
		_, err = f.reg.Accept(f.Context(), token, bob)
		require.NoError(f, err, "an answer may have been lost")
		_, err = f.reg.Accept(f.Context(), token, registry.Acceptance{UserID: "eve", Email: "bob@example.com"})
		require.ErrorIs(f, err, registry.ErrRevoked, "used once, by one user")
		list, err := f.reg.Invitations(f.as(acme, ""), record.Query{Where: "accepted_by = $1", Args: []any{"bob"}})
		require.NoError(f, err)
		require.Len(f, list, 1)
		require.Equal(f, []string{"ann invitation.created invitation/" + inv.ID, "member.added member/bob", "invitation.accepted invitation/" + inv.ID},
			f.audited(acme)[1:])
		log, err := f.reg.AuditLog(f.as(acme, ""), registry.AuditQuery{})
		require.NoError(f, err)
		require.NotContains(f, fmt.Sprint(log), "example.com", "the log outlives the address")

		// Whoever is a member keeps the role.
		_, token = f.invite(acme, "bob@example.com", "member")
		_, err = f.reg.Accept(f.Context(), token, bob)
		require.NoError(f, err)
		m, err = f.reg.Member(f.as(acme, ""), "bob")
		require.NoError(f, err)
		require.Equal(f, "admin", m.Role)
	})
}

func TestUselessInvitations(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		by := registry.Acceptance{UserID: "bob", Email: "bob@example.com"}
		refused := func(token string, want error, code int) {
			f.Helper()
			_, err := f.reg.Accept(f.Context(), token, by)
			require.ErrorIs(f, err, want)
			require.Equal(f, code, status(err))
			require.NotContains(f, err.Error(), token)
			_, err = f.reg.Member(f.as(acme, ""), "bob")
			require.ErrorIs(f, err, tenancy.ErrNotFound)
		}
		inv, token := f.invite(acme, by.Email, "member")
		for name, text := range map[string]string{
			"empty": "", "cut": token[:len(token)-1], "longer": token + "0", "a digit of the secret": flip(token, 10), "of the checksum": flip(token, len(token)-1),
			"no head": token[4:], "another head": "inw" + token[3:], "case": "INV" + token[3:], "space": " " + token, "huge": token + string(make([]byte, 1<<20)),
		} {
			_, err := f.reg.Accept(f.Context(), text, by)
			require.ErrorIs(f, err, registry.ErrMalformed, name)
		}
		refused(never("inv"), registry.ErrInvalidToken, 401)

		later, newer := f.invite(acme, by.Email, "member") // replaces the first one
		refused(token, registry.ErrRevoked, 401)
		_, err := invitationRows.Update(f.as(acme, ""), f.db, "expires_at = now()", "id = $1", later.ID)
		require.NoError(f, err)
		refused(newer, registry.ErrExpired, 401)
		require.NoError(f, f.reg.RevokeInvitation(f.as(acme, "ann"), later.ID))
		require.NoError(f, f.reg.RevokeInvitation(f.as(acme, "ann"), later.ID))
		require.NoError(f, f.reg.RevokeInvitation(f.as(acme, "ann"), inv.ID))
		refused(newer, registry.ErrRevoked, 401)

		_, token = f.invite(acme, by.Email, "member")
		require.NoError(f, f.reg.SetState(f.as(acme, ""), registry.StateChange{To: registry.Suspended, ReadOnly: true}))
		refused(token, registry.ErrSuspended, 402)
		_, _, err = f.reg.Invite(f.as(acme, "ann"), registry.NewInvitation{Email: by.Email, Role: "member"})
		require.ErrorIs(f, err, registry.ErrSuspended)
		require.NoError(f, f.reg.SetState(f.as(acme, ""), registry.StateChange{To: registry.Active}))

		// What a member, or a key, began ends with the right to do it.
		key, _ := f.key(acme, registry.NewKey{Scopes: []string{"members.write", "projects.read"}})
		for actor, end := range map[string]func() error{
			"cid":          func() error { return f.reg.RemoveMember(f.as(acme, "ann"), "cid") },
			"dan":          func() error { return f.reg.SetRole(f.as(acme, "ann"), "dan", "member") },
			key.Actor().ID: func() error { return f.reg.RevokeKey(f.as(acme, "ann"), key.ID) },
		} {
			if actor != key.Actor().ID {
				f.add(acme, actor, "admin")
			}
			_, secret, err := f.reg.Invite(f.as(acme, actor), registry.NewInvitation{Email: "mole@example.com", Role: "hr"})
			require.NoError(f, err)
			require.NoError(f, end())
			_, err = f.reg.Accept(f.Context(), secret.Reveal(), registry.Acceptance{UserID: "mole", Email: "mole@example.com"})
			require.ErrorIs(f, err, registry.ErrRevoked, actor)
		}
		f.add(acme, "eli", "admin")
		_, secret, err := f.reg.Invite(f.as(acme, "eli"), registry.NewInvitation{Email: "mole@example.com", Role: "member"})
		require.NoError(f, err)
		require.NoError(f, f.reg.SetRole(f.as(acme, "ann"), "eli", "hr"), "who may still invite a member")
		_, err = f.reg.Accept(f.Context(), secret.Reveal(), registry.Acceptance{UserID: "mole", Email: "mole@example.com"})
		require.NoError(f, err)
	})
}

// TestInvitationsStayInTheirTenant: nobody gets into a tenant by an invitation that another tenant made.
func TestInvitationsStayInTheirTenant(t *testing.T) {
	both(t, func(f fixture) {
		acme, globex := f.tenant("acme", "ann"), f.tenant("globex", "eve")
		inv, token := f.invite(acme, "bob@example.com", "admin")
		eve := f.as(globex, "eve")
		_, _, err := f.reg.Invite(f.as(acme, "eve"), registry.NewInvitation{Email: "eve@example.com", Role: "member"})
		require.ErrorIs(f, err, registry.ErrForbidden)
		// Accepting is for the tenant that invited, whatever the context says.
		ref, err := f.reg.Accept(eve, token, registry.Acceptance{UserID: "bob", Email: "bob@example.com"})
		require.NoError(f, err)
		require.Equal(f, acme.ID, ref.ID)
		_, err = f.reg.Member(eve, "bob")
		require.ErrorIs(f, err, tenancy.ErrNotFound)

		_, token = f.invite(acme, "cid@example.com", "member")
		require.NoError(f, f.reg.RevokeInvitation(eve, inv.ID), "an id of another tenant is no id")
		list, err := f.reg.Invitations(eve, record.Query{})
		require.NoError(f, err)
		require.Empty(f, list)
		_, err = f.reg.Accept(f.Context(), token, registry.Acceptance{UserID: "cid", Email: "cid@example.com"})
		require.NoError(f, err)
		// Inside a unit of a tenant there is no way to another one.
		require.ErrorIs(f, f.db.InTx(eve, func(ctx context.Context) error {
			_, err := f.reg.Accept(ctx, token, registry.Acceptance{UserID: "eve", Email: "cid@example.com"})
			return err
		}), tenancy.ErrTenantMismatch)
	})
}

func TestOneInvitationLetsOneUserIn(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		_, token := f.invite(acme, "team@example.com", "member")
		var in atomic.Int32
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				_, err := f.reg.Accept(f.Context(), token, registry.Acceptance{UserID: fmt.Sprint("u", i), Email: "team@example.com"})
				if err == nil {
					in.Add(1)
				} else if !errors.Is(err, registry.ErrRevoked) {
					f.Error(err)
				}
			})
		}
		wg.Wait()
		require.EqualValues(f, 1, in.Load())
		list, err := f.reg.Members(f.as(acme, ""), record.Query{})
		require.NoError(f, err)
		require.Len(f, list, 2)
	})
}
