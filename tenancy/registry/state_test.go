package registry_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

var states = []registry.State{registry.Active, registry.Suspended, registry.Archived, registry.Deleting, registry.Deleted}

func TestStateMachine(t *testing.T) {
	allowed := map[registry.State]string{
		registry.Active: "suspended archived deleting", registry.Suspended: "active archived deleting",
		registry.Archived: "active deleting", registry.Deleting: "active",
	}
	both(t, func(f fixture) {
		for _, from := range states[:4] {
			for _, to := range states {
				tenant := f.tenant(string(from)+"-"+string(to), "ann")
				ctx := f.as(tenant, "ops")
				if from != registry.Active {
					require.NoError(f, f.reg.SetState(ctx, registry.StateChange{To: from}))
				}
				before := len(f.audited(tenant))
				err := f.reg.SetState(ctx, registry.StateChange{To: to})
				got, gerr := f.reg.Get(ctx)
				require.NoError(f, gerr)
				switch {
				case from == to:
					require.NoError(f, err, "there already")
					require.Len(f, f.audited(tenant), before)
				case slices.Contains(strings.Fields(allowed[from]), string(to)):
					require.NoError(f, err)
					require.Equal(f, []any{to, "ops"}, []any{got.State, got.StateBy})
					require.False(f, got.StateAt.Before(got.CreatedAt))
					require.Len(f, f.audited(tenant), before+1)
				default:
					require.ErrorIs(f, err, registry.ErrTransition, "%s → %s", from, to)
					require.Equal(f, 409, status(err))
					require.Equal(f, from, got.State)
				}
			}
		}
	})
}

func TestStatesAreToldAsTypedErrors(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		ctx := f.as(acme, "ops")
		for _, c := range []struct {
			change      registry.StateChange
			read, write error
			status      int
		}{
			{registry.StateChange{To: registry.Suspended, Reason: "unpaid", ReadOnly: true}, nil, registry.ErrSuspended, 402},
			{registry.StateChange{To: registry.Suspended, Reason: "unpaid"}, registry.ErrSuspended, registry.ErrSuspended, 402},
			{registry.StateChange{To: registry.Archived}, registry.ErrArchived, registry.ErrArchived, 403},
			{registry.StateChange{To: registry.Deleting, Reason: "asked for"}, registry.ErrGone, registry.ErrGone, 410},
			{registry.StateChange{To: registry.Active}, nil, nil, 0},
		} {
			require.NoError(f, f.reg.SetState(ctx, c.change))
			got, err := f.reg.Get(ctx)
			require.NoError(f, err)
			ref, err := f.reg.BySlug(f.Context(), "acme")
			require.NoError(f, err)
			for _, check := range []func(bool) error{got.Check, ref.Check} {
				require.ErrorIs(f, check(false), c.read)
				require.ErrorIs(f, check(true), c.write)
				require.Equal(f, c.status, status(check(true)))
				var e *registry.StateError
				if c.write != nil {
					require.ErrorAs(f, check(true), &e)
					require.Equal(f, []any{acme.ID, c.change.To, c.change.ReadOnly, c.change.Reason}, []any{e.Tenant, e.State, e.ReadOnly, e.Reason})
					require.NotContains(f, e.Error(), "unpaid", "the reason is for operators")
				}
			}
		}
		require.ErrorIs(f, f.reg.SetState(ctx, registry.StateChange{To: registry.Archived, ReadOnly: true}), registry.ErrTransition)
		require.ErrorIs(f, f.reg.SetState(ctx, registry.StateChange{To: "sleeping"}), registry.ErrTransition)
		require.ErrorIs(f, f.reg.SetState(f.as(registry.Tenant{ID: "nobody"}, ""), registry.StateChange{To: registry.Archived}), registry.ErrUnknownTenant)
	})
}

func TestConcurrentTransitionsFollowTheMachine(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				to := states[i%4]
				if err := f.reg.SetState(f.as(acme, "ops"), registry.StateChange{To: to}); err != nil && !errors.Is(err, registry.ErrTransition) {
					f.Error(err)
				}
			})
		}
		wg.Wait()
		// The log is a walk through the machine: each change begins where the one before it ended.
		list, err := f.reg.AuditLog(f.as(acme, ""), registry.AuditQuery{})
		require.NoError(f, err)
		at := `"active"`
		for i := len(list) - 2; i >= 0; i-- {
			require.Equal(f, at, string(list[i].Changes["state"].Old))
			at = string(list[i].Changes["state"].New)
		}
		got, err := f.reg.Get(tenancy.WithID(f.Context(), acme.ID))
		require.NoError(f, err)
		require.Equal(f, at, `"`+string(got.State)+`"`)
	})
}
