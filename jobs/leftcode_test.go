package jobs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

func TestUnscheduleLeavesTheCodeOfLivingProcesses(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		ctx := b.Context()
		require.NoError(b, b.q.Cron("code", "@daily", Mail{}, nil))
		b.schedule(ctx, b.q, "stored", "@daily", Mail{}, nil)
		stop := run(b, b.q)
		b.sleep(5 * time.Hour)
		for range 2 { // while its process runs, and an hour after
			_, err := b.q.Unschedule(ctx, "stored", "code")
			require.ErrorIs(b, err, jobs.ErrInCode)
			require.NoError(b, stop())
			b.sleep(time.Hour)
		}
		page, _, err := b.q.Schedules(ctx, "", 10)
		require.NoError(b, err)
		require.Len(b, page, 2, "nothing was removed")
		b.sleep(2 * time.Hour)
		n, err := b.q.Unschedule(ctx, "stored", "code")
		require.NoError(b, err)
		require.Equal(b, 2, n)
	})
}
