package tenancy

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNoHookAfterTheLastLook: between the last look for BeforeCommit hooks and COMMIT no other goroutine can register one,
// nor release a savepoint that has one. There is no seam in between, so this goes through the methods.
func TestNoHookAfterTheLastLook(t *testing.T) {
	t.Parallel()
	db, err := New(nil, &Options{Driver: struct{ Driver }{}})
	require.NoError(t, err)
	tx, err := db.newTx(t.Context(), identity{tenant: "acme"}, Target{Tenant: "acme"})
	require.NoError(t, err)
	ctx := withTx(t.Context(), tx)
	open, err := tx.push()
	require.NoError(t, err)
	ran := 0
	hook := func(context.Context) error { ran++; return nil }
	require.True(t, Hooks{}.BeforeCommit(ctx, hook), "of the savepoint")
	tx.scopes[0].before = append(tx.scopes[0].before, func(context.Context) error {
		require.True(t, tx.OnRollback(ctx, func(context.Context) {}), "a hook can still register hooks")
		return nil
	})
	require.NoError(t, tx.runBeforeCommit(ctx))
	require.False(t, Hooks{}.BeforeCommit(ctx, hook))
	require.ErrorIs(t, tx.release(ctx, open), ErrTxDone)
	require.Empty(t, tx.scopes[0].before)
	_, err = tx.commit(ctx)
	require.ErrorIs(t, err, errScope)
	require.Zero(t, ran)
}
