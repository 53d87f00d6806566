package jobs_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

func TestSearchTellsRetriesFromDelayedJobs(t *testing.T) {
	opts := &jobs.Options{Backoff: func(int) time.Duration { return time.Hour }}
	bubble(t, opts, func(b *bench) {
		jobs.Handle(b.q, func(context.Context, Note) error { return errors.New("not yet") })
		b.enqueue(Note{N: 1}, &jobs.EnqueueOptions{ID: "failed"})
		b.enqueue(Note{N: 2}, &jobs.EnqueueOptions{ID: "delayed", Delay: 2 * time.Hour})
		stop := run(b, b.q)
		synctest.Wait()
		require.NoError(b, stop())
		for retried, want := range map[bool][]string{true: {"failed"}, false: {"failed", "delayed"}} {
			found, next, err := b.q.Search(b.Context(), jobs.Filter{State: jobs.Scheduled, Retried: retried}, 0, 10)
			require.NoError(b, err)
			require.Equal(b, -1, next)
			var ids []string
			for _, e := range found {
				ids = append(ids, e.Info.ID)
			}
			require.Equal(b, want, ids)
		}
	})
}
