package redisjobs_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// What is stored of a schedule that has fired is what it was, for processes of
// earlier versions, too, but for a member that they do not know; and what they
// have stored is a schedule of which no tick is known.
func TestLastTickIsAMemberOfWhatIsStored(t *testing.T) {
	t.Parallel()
	rdb := testenv.Redis(t)
	d := open(t, rdb)
	q, err := jobs.New(d, &jobs.Options{Concurrency: -1, Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, q.Schedule(t.Context(), "second", "@every 1s", Check{ID: 7}, nil))
	stored := func() map[string]any {
		text, err := rdb.HGet(t.Context(), "jobs:{default}:schedules", " second").Result()
		require.NoError(t, err)
		fields := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(text), &fields))
		return fields
	}
	before := stored()
	shown := func() (jobs.Schedule, error) {
		page, _, err := q.Schedules(t.Context(), "", 10)
		if err != nil || len(page) != 1 {
			return jobs.Schedule{}, fmt.Errorf("%d schedules, %w", len(page), err)
		}
		return page[0], nil
	}
	last, err := shown()
	require.NoError(t, err)
	require.Zero(t, last.Last)

	stop := start(t, q)
	require.Eventually(t, func() bool {
		s, err := shown()
		return err == nil && !s.Last.IsZero()
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, stop())
	last, err = shown()
	require.NoError(t, err)
	found, err := q.Find(t.Context(), last.LastJob)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, jobs.Ready, found[0].State)

	after := stored()
	require.EqualValues(t, last.Last.Unix(), after["l"])
	delete(after, "l")
	require.Equal(t, before, after)

	_, err = d.PutSchedule(t.Context(), driver.PutSchedule{Key: "text", Data: []byte("text"), Start: driver.Start{Next: time.Now().Add(time.Hour)}})
	require.ErrorContains(t, err, "no JSON object", "it would not have room for the tick")
}
