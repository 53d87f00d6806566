package registry_test

import (
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// TestAcceptLetsNobodyBackIn: the link that made a member is no way back for who was removed, nor into a tenant that is closed.
func TestAcceptLetsNobodyBackIn(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "olga")
		ctx := f.as(acme, "olga")
		_, token, err := f.reg.Invite(ctx, registry.NewInvitation{Email: "ann@acme.example", Role: "member"})
		require.NoError(f, err)
		ann := registry.Acceptance{UserID: "ann", Email: "ann@acme.example"}
		for range 2 { // a lost answer is asked for again
			_, err = f.reg.Accept(f.Context(), token.Reveal(), ann)
			require.NoError(f, err)
		}
		require.NoError(f, f.reg.SetState(ctx, registry.StateChange{To: registry.Suspended, Reason: "unpaid"}))
		_, err = f.reg.Accept(f.Context(), token.Reveal(), ann)
		require.ErrorIs(f, err, registry.ErrSuspended)
		require.NoError(f, f.reg.SetState(ctx, registry.StateChange{To: registry.Active}))
		require.NoError(f, f.reg.RemoveMember(ctx, "ann"))
		_, err = f.reg.Accept(f.Context(), token.Reveal(), ann)
		require.ErrorIs(f, err, registry.ErrRevoked)
	})
}

// TestStrangersTextIsNotRemembered: paths of a megabyte that name no tenant stay in nobody's memory.
func TestStrangersTextIsNotRemembered(t *testing.T) {
	both(t, func(f fixture) {
		f.tenant("acme", "olga")
		v, err := f.reg.Resolver(nil, registry.ByPath("/t/"))
		require.NoError(f, err)
		const size = 1 << 20
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range 64 {
			r := httptest.NewRequest("GET", "/t/"+strings.Repeat(string(rune('a'+i%26)), size+i), nil)
			_, err := v.Find(r)
			require.ErrorIs(f, err, registry.ErrUnknownTenant)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		require.Less(f, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(32*size), "half of the paths would be in memory")
		ref, err := v.Find(httptest.NewRequest("GET", "/t/ACME", nil))
		require.NoError(f, err)
		require.Equal(f, "acme", ref.Slug)
	})
}

// TestKeysMakeNoLongerLivedKeys: who stole a key for an hour has it for an hour.
func TestKeysMakeNoLongerLivedKeys(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "olga")
		short, _, err := f.reg.CreateKey(f.as(acme, "olga"), registry.NewKey{Scopes: []string{"keys.*"}, TTL: time.Hour})
		require.NoError(f, err)
		thief := tenancy.WithActor(f.as(acme, ""), short.Actor())
		for _, ttl := range []time.Duration{0, time.Minute, 24 * time.Hour} {
			made, _, err := f.reg.CreateKey(thief, registry.NewKey{Scopes: []string{"keys.*"}, TTL: ttl})
			require.NoError(f, err)
			require.NotNil(f, made.ExpiresAt)
			require.False(f, made.ExpiresAt.After(*short.ExpiresAt), "TTL %v", ttl)
		}
		again, _, err := f.reg.RotateKey(thief, short.ID, time.Minute)
		require.NoError(f, err)
		require.False(f, again.ExpiresAt.After(*short.ExpiresAt))
	})
}

// TestRemovedMembersLeaveNoInvitation: inviting and being removed at once ends in one order or the other, never in an
// invitation by somebody who is gone.
func TestRemovedMembersLeaveNoInvitation(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations, registry.Migrations) // nobody waits for a row in memory
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	f := fixture{t, db, open(t, db), nil}
	acme := f.tenant("acme", "olga")
	for round := range 30 {
		f.add(acme, "adam", "admin")
		var wg sync.WaitGroup
		var invited, removed error
		wg.Go(func() {
			_, _, invited = f.reg.Invite(f.as(acme, "adam"), registry.NewInvitation{Email: fmt.Sprintf("x%d@acme.example", round), Role: "member"})
		})
		wg.Go(func() { removed = f.reg.RemoveMember(f.as(acme, "olga"), "adam") })
		wg.Wait()
		require.NoError(f, removed)
		if invited != nil {
			require.ErrorIs(f, invited, registry.ErrForbidden)
		}
		left, err := f.reg.Invitations(f.as(acme, "olga"), record.Query{Where: "invited_by = $1 and revoked_at is null", Args: []any{"adam"}})
		require.NoError(f, err)
		require.Empty(f, left, "round %d", round)
	}
}
