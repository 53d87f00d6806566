package jobs_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

// shown is the schedule of a name as operators see it.
func (b *bench) shown(name string) jobs.Schedule {
	b.Helper()
	page, _, err := b.q.Schedules(b.Context(), "", 100)
	require.NoError(b, err)
	for _, s := range page {
		if s.Name == name {
			return s
		}
	}
	b.Fatalf("no schedule %s", name)
	return jobs.Schedule{}
}

// lastTick checks which tick fired last, and answers its job if it is there.
func (b *bench) lastTick(name string, want time.Time) []jobs.Entry {
	b.Helper()
	s := b.shown(name)
	require.Equal(b, want, s.Last, name)
	require.Equal(b, want.IsZero(), s.LastJob == "", name)
	found, err := b.q.Find(b.Context(), s.LastJob)
	require.NoError(b, err)
	return found
}

// Of schedules in code and of stored ones the same is known.
func TestLastTickAndItsJob(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		ctx, began := b.Context(), time.Now().UTC() // midnight
		release := make(chan struct{})
		jobs.Handle(b.q, func(context.Context, Mail) error { return jobs.Discard(errors.New("mailbox full")) })
		jobs.Handle(b.q, func(context.Context, Note) error { <-release; return nil })
		opts := &jobs.CronOptions{Jitter: 10 * time.Minute}
		slow := &jobs.CronOptions{NoOverlap: true}
		require.NoError(b, b.q.Cron("code", "@hourly", Mail{To: "code"}, opts))
		require.NoError(b, b.q.Cron("code.slow", "@hourly", Note{}, slow))
		b.schedule(ctx, b.q, "stored", "@hourly", Mail{To: "stored"}, opts)
		b.schedule(ctx, b.q, "stored.slow", "@hourly", Note{}, slow)
		stop := run(b, b.q)
		b.sleep(time.Minute)
		for _, name := range []string{"code", "code.slow", "stored", "stored.slow"} {
			require.Empty(b, b.lastTick(name, time.Time{}), name)
		}
		b.sleep(time.Hour + 10*time.Minute)
		for _, name := range []string{"code", "stored"} {
			found := b.lastTick(name, began.Add(time.Hour))
			require.Len(b, found, 1, name)
			require.Equal(b, jobs.Dead, found[0].State)
			require.JSONEq(b, `{"to":"`+name+`"}`, string(found[0].Args))
		}
		for _, name := range []string{"code.slow", "stored.slow"} {
			require.Equal(b, jobs.Running, b.lastTick(name, began.Add(time.Hour))[0].State, name)
		}

		// The pause passes a tick over; the slow ones' third tick meets the first one's job.
		require.NoError(b, b.q.PauseSchedule(ctx, "code"))
		require.NoError(b, b.q.PauseSchedule(ctx, "stored"))
		b.sleep(time.Hour)
		for _, name := range []string{"code", "stored"} {
			require.Len(b, b.lastTick(name, began.Add(time.Hour)), 1, name)
			require.NoError(b, b.q.ResumeSchedule(ctx, name))
		}
		for _, name := range []string{"code.slow", "stored.slow"} {
			require.Empty(b, b.lastTick(name, began.Add(2*time.Hour)), name)
		}

		close(release)

		// A run by hand is no tick; what is changed keeps its past, what is removed does not.
		_, err := b.q.RunNow(ctx, "stored")
		require.NoError(b, err)
		b.schedule(ctx, b.q, "stored", "@daily", Mail{To: "stored"}, nil)
		b.lastTick("stored", began.Add(time.Hour))
		_, err = b.q.Unschedule(ctx, "stored")
		require.NoError(b, err)
		b.schedule(ctx, b.q, "stored", "@daily", Mail{To: "stored"}, nil)
		b.lastTick("stored", time.Time{})
		b.sleep(22 * time.Hour)
		b.lastTick("stored", began.Add(24*time.Hour))
		b.lastTick("code", began.Add(24*time.Hour))
		require.NoError(b, stop())

		// Of what was due while no process ran, the latest is caught up with.
		b.sleep(48*time.Hour + 30*time.Minute)
		stop = run(b, b.q)
		b.sleep(10 * time.Second)
		b.lastTick("stored", began.Add(72*time.Hour))
		b.lastTick("code", began.Add(72*time.Hour))
		require.NoError(b, stop())
	})
}
