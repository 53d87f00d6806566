package ratelimit

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// A queue that nobody is in takes no memory.
func TestQueuesAreForgotten(t *testing.T) {
	t.Parallel()
	var q queue
	first, err := q.enter(t.Context(), "k")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = q.enter(ctx, "k")
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, q.turns, 1)
	q.leave(first)
	require.Empty(t, q.turns)
}
