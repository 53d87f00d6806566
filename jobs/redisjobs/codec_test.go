package redisjobs_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
)

func sealedQueue(t testing.TB) *jobs.Queue {
	t.Helper()
	keys, err := jobs.NewKeyring("k", map[string][]byte{"k": make([]byte, 32)})
	require.NoError(t, err)
	opts := options()
	opts.Codec, opts.MaxAttempts = keys, 1
	q, err := queue(testenv.Redis(t), opts)
	require.NoError(t, err)
	return q
}

// A replaced job has the id of the first one and the sealed body of the last.
func TestReplacedSealedJobRuns(t *testing.T) {
	t.Parallel()
	q := sealedQueue(t)
	jobs.HandleResult(q, func(_ context.Context, c Count) (int, error) { return c.N, nil })
	latest := &jobs.EnqueueOptions{Key: "k", Scope: jobs.Replace, Keep: time.Minute}
	first, err := q.Enqueue(t.Context(), Count{N: 1}, latest)
	require.NoError(t, err)
	second, err := q.EnqueueMany(t.Context(), []jobs.Item{{Args: Count{N: 2}, Options: latest}, {Args: Count{N: 3}, Options: latest}})
	require.NoError(t, err)
	require.Equal(t, jobs.Receipt{ID: first.ID, Duplicate: true, Replaced: true}, second[1])
	stop := start(t, q)
	got, err := jobs.Await[int](t.Context(), q, first.ID)
	require.NoError(t, err)
	require.Equal(t, 3, got)
	require.NoError(t, stop())
}
