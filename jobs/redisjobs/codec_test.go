package redisjobs_test

import (
	"bytes"
	"context"
	"regexp"
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

// Who can write to Redis puts arguments in clear in the place of sealed ones.
func TestArgumentsInClearAreRefused(t *testing.T) {
	t.Parallel()
	rdb := testenv.Redis(t)
	for _, required := range []bool{true, false} {
		keys, err := jobs.NewKeyring("k", map[string][]byte{"k": make([]byte, 32)})
		require.NoError(t, err)
		opts := options()
		opts.Codec, opts.RequireSealed = keys, required
		q, err := queue(rdb, opts)
		require.NoError(t, err)
		jobs.HandleResult(q, func(_ context.Context, c Count) (int, error) { return c.N, nil })
		r, err := q.Enqueue(t.Context(), Count{N: 1}, &jobs.EnqueueOptions{Keep: time.Minute})
		require.NoError(t, err)
		body, err := rdb.HGet(t.Context(), "jobs:{default}:body", r.ID).Result()
		require.NoError(t, err)
		forged := regexp.MustCompile(`"sealed":"[^"]*"`).ReplaceAllString(body, `"args":{"N":666}`)
		require.NotEqual(t, body, forged)
		require.NoError(t, rdb.HSet(t.Context(), "jobs:{default}:body", r.ID, forged).Err())
		stop := start(t, q)
		got, err := jobs.Await[int](t.Context(), q, r.ID)
		if required {
			require.ErrorContains(t, err, "RequireSealed")
		} else {
			require.NoError(t, err)
			require.Equal(t, 666, got, "the attack works where nothing is required")
		}
		require.NoError(t, stop())
	}
}

// A schedule that is added again under another key is fired when it would have
// been, by a process that has no other key.
func TestKeysOfSchedulesRotateOnRedis(t *testing.T) {
	t.Parallel()
	rdb := testenv.Redis(t)
	with := func(current string, names ...string) *jobs.Queue {
		keys := map[string][]byte{}
		for _, name := range names {
			keys[name] = bytes.Repeat([]byte(name[1:]), 32)
		}
		ring, err := jobs.NewKeyring(current, keys)
		require.NoError(t, err)
		opts := options()
		opts.Codec = ring
		q, err := queue(rdb, opts)
		require.NoError(t, err)
		return q
	}
	due := func(q *jobs.Queue) time.Time {
		page, _, err := q.Schedules(t.Context(), "", 10)
		require.NoError(t, err)
		require.Len(t, page, 1)
		return page[0].Due
	}
	older, both, newer := with("k1", "k1"), with("k2", "k1", "k2"), with("k2", "k2")
	require.NoError(t, older.Schedule(t.Context(), "s", "@every 2s", Count{N: 7}, nil))
	at := due(older)
	require.NoError(t, both.Schedule(t.Context(), "s", "@every 2s", Count{N: 7}, nil))
	require.Equal(t, at, due(newer))
	ran := make(chan int, 1)
	jobs.Handle(newer, func(_ context.Context, c Count) error {
		select {
		case ran <- c.N:
		default:
		}
		return nil
	})
	stop := start(t, newer)
	select {
	case n := <-ran:
		require.Equal(t, 7, n)
	case <-time.After(time.Minute):
		t.Error("it never ran")
	}
	require.NoError(t, stop())
}
