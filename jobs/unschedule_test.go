package jobs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

// Whoever removes a schedule in code that still runs loses none of its ticks. A
// Queue refuses it unless the note is old, so here the store is asked.
func TestUnscheduleOfAScheduleInCodeSwallowsNoTick(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		ctx, began := b.Context(), time.Now().UTC() // midnight
		var r runs
		r.handle(b.q)
		other := b.queue(&jobs.Options{Concurrency: -1, Logger: quiet})
		for _, q := range []*jobs.Queue{b.q, other} {
			require.NoError(b, q.Cron("report", "@hourly", Mail{To: "x"}, nil))
		}
		stop, stopOther := run(b, b.q), run(b, other)
		b.sleep(30 * time.Minute)
		for _, want := range []int{1, 0} {
			n, err := b.d.DropSchedules(ctx, []string{"report"})
			require.NoError(b, err)
			require.Equal(b, want, n)
		}
		b.sleep(31 * time.Minute)
		require.Equal(b, []string{"/x@1h0m0s"}, r.take())
		b.lastTick("report", began.Add(time.Hour))

		// Right after a tick, of which the store is to forget that it was fired.
		b.sleep(59 * time.Minute)
		require.Equal(b, []string{"/x@2h0m0s"}, r.take())
		_, err := b.d.DropSchedules(ctx, []string{"report"})
		require.NoError(b, err)
		b.sleep(2 * time.Hour)
		require.Equal(b, []string{"/x@3h0m0s", "/x@4h0m0s"}, r.take())
		b.lastTick("report", began.Add(4*time.Hour))
		require.NoError(b, stop())
		require.NoError(b, stopOther())

		// Once the code is gone, it is forgotten: the same name begins anew.
		b.sleep(150 * time.Minute)
		n, err := b.q.Unschedule(ctx, "report")
		require.NoError(b, err)
		require.Equal(b, 1, n)
		b.sleep(90 * time.Minute)
		again := b.queue(&jobs.Options{Logger: quiet})
		r.handle(again)
		require.NoError(b, again.Cron("report", "@hourly", Mail{To: "again"}, nil))
		stop = run(b, again)
		b.sleep(time.Minute)
		require.Empty(b, r.take(), "nothing is caught up with")
		b.lastTick("report", time.Time{})
		b.sleep(time.Hour)
		require.Len(b, r.take(), 1)
		require.NoError(b, stop())
	})
}

// What Next says of a schedule in code is when its jobs come, H and jitter
// included, by the store's note as by its name.
func TestNextOfAScheduleInCode(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		var r runs
		began := time.Now().UTC()
		r.handle(b.q)
		opts := jobs.CronOptions{Jitter: 10 * time.Minute}
		require.NoError(b, b.q.Cron("report", "0 H * * * *", Mail{To: "x"}, &opts))
		stop := run(b, b.q)
		b.sleep(time.Minute)
		shown := b.shown("report")
		require.True(b, shown.InCode)
		next, err := shown.Next(began, 3)
		require.NoError(b, err)
		require.Len(b, next, 3)
		byName, err := jobs.Schedule{Name: "report", Spec: "0 H * * * *", Options: opts, InCode: true}.Next(began, 3)
		require.NoError(b, err)
		require.Equal(b, next, byName)
		stored, err := jobs.Schedule{Name: "report", Spec: "0 H * * * *", Options: opts}.Next(began, 3)
		require.NoError(b, err)
		require.NotEqual(b, next, stored, "that of a stored one of the name is another, or this test shows nothing")
		b.sleep(4 * time.Hour)
		var want []string
		for _, at := range next {
			want = append(want, "/x@"+at.Sub(began).Truncate(time.Second).String())
		}
		require.Equal(b, want, r.take()[:3])
		none, err := shown.Next(began, 0)
		require.NoError(b, err)
		require.Empty(b, none)
		require.NoError(b, stop())
	})
}
