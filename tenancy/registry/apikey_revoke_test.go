package registry_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// TestRevokeKeysOf: what a leaked key, or somebody who had to leave, made of keys ends with one call, and nothing else.
func TestRevokeKeysOf(t *testing.T) {
	both(t, func(f fixture) {
		acme, globex := f.tenant("acme", "ann"), f.tenant("globex", "ann")
		f.add(acme, "eve", "admin")
		make := func(maker string, scopes ...string) (registry.APIKey, string) {
			key, secret, err := f.reg.CreateKey(f.as(acme, maker), registry.NewKey{Scopes: scopes})
			require.NoError(f, err)
			return key, secret.Reveal()
		}
		works := func(text string) bool {
			_, _, err := f.reg.Authenticate(f.Context(), text)
			if err != nil {
				require.ErrorIs(f, err, registry.ErrRevoked)
			}
			return err == nil
		}
		leaked, leakedText := make("eve", "keys.write", "projects.*", "members.write")
		child, childText := make(leaked.Actor().ID, "keys.write", "projects.read")
		_, grandchildText := make(child.Actor().ID, "projects.read")
		other, otherText := make("ann", "projects.read")
		_, foreign, err := f.reg.CreateKey(f.as(globex, "ann"), registry.NewKey{})
		require.NoError(f, err)
		successor, successorSecret, err := f.reg.RotateKey(f.as(acme, leaked.Actor().ID), other.ID, 0)
		require.NoError(f, err)
		require.Equal(f, leaked.Actor().ID, successor.CreatedBy)
		require.False(f, works(otherText))
		_, _, err = f.reg.Invite(f.as(acme, child.Actor().ID), registry.NewInvitation{Email: "x@example.com", Role: "member"})
		require.ErrorIs(f, err, registry.ErrForbidden, "the child has no members.write")

		require.ErrorIs(f, f.reg.RevokeKeysOf(f.as(acme, "ann"), ""), registry.ErrMalformed)
		require.ErrorIs(f, f.reg.RevokeKeysOf(f.as(acme, "bob"), "eve"), registry.ErrForbidden)
		f.add(acme, "mini", "mini")
		require.ErrorIs(f, f.reg.RevokeKeysOf(f.as(acme, "mini"), "eve"), registry.ErrForbidden, "eve's key has more scopes")
		require.True(f, works(leakedText), "nothing was revoked")
		require.NoError(f, f.reg.RevokeKeysOf(f.as(globex, "ann"), "eve"), "of another tenant: nothing to do")

		require.NoError(f, f.reg.RevokeKeysOf(f.as(acme, "ann"), leaked.Actor().ID))
		require.True(f, works(leakedText), "itself stays")
		require.False(f, works(childText))
		require.False(f, works(grandchildText))
		require.False(f, works(successorSecret.Reveal()))
		require.NoError(f, f.reg.RevokeKeysOf(f.as(acme, "ann"), leaked.Actor().ID), "again")
		require.NoError(f, f.reg.RemoveMember(f.as(acme, "ann"), "eve"))
		require.True(f, works(leakedText), "keys belong to the tenant")
		require.NoError(f, f.reg.RevokeKeysOf(f.as(acme, "ann"), "eve"))
		require.False(f, works(leakedText))
		require.True(f, works(foreign.Reveal()))
		revoked := 0
		for _, line := range f.audited(acme) {
			if strings.Contains(line, "key.revoked") {
				revoked++
			}
		}
		require.Equal(f, 4, revoked, "each once")
	})
}

// TestNoKeyEscapesItsRevocation: a key that a leaked key made makes keys all the time, while they are revoked: none is left.
func TestNoKeyEscapesItsRevocation(t *testing.T) {
	t.Parallel()
	f, _ := postgres(t)
	acme := f.tenant("acme", "ann")
	f.add(acme, "eve", "admin")
	leaked, _, err := f.reg.CreateKey(f.as(acme, "eve"), registry.NewKey{Scopes: []string{"keys.write"}})
	require.NoError(t, err)
	child, _, err := f.reg.CreateKey(f.as(acme, leaked.Actor().ID), registry.NewKey{Scopes: []string{"keys.write"}})
	require.NoError(t, err)
	made := make(chan struct{}, 1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				_, _, err := f.reg.CreateKey(f.as(acme, child.Actor().ID), registry.NewKey{Scopes: []string{"keys.write"}})
				if errors.Is(err, registry.ErrForbidden) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case made <- struct{}{}:
				default:
				}
			}
		})
	}
	<-made
	require.NoError(t, f.db.Do(f.as(acme, "ann"), func(ctx context.Context, _ *tenancy.Tx) error {
		return errors.Join(f.reg.RevokeKey(ctx, leaked.ID), f.reg.RevokeKeysOf(ctx, leaked.Actor().ID))
	}))
	wg.Wait()
	alive, err := f.reg.Keys(f.as(acme, "ann"), record.Query{Where: "revoked_at is null"})
	require.NoError(t, err)
	require.Zero(t, len(alive))
}
