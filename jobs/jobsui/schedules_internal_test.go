package jobsui

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

func TestARowTellsWhatIsWrongWithASchedule(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 29, 9, 0, 30, 0, time.UTC)
	minute := now.Truncate(time.Minute)
	for name, c := range map[string]struct {
		schedule     jobs.Schedule
		unseen, late bool
	}{
		"runs":                   {schedule: jobs.Schedule{InCode: true, Seen: now.Add(-time.Hour), Last: minute}},
		"no process has it":      {schedule: jobs.Schedule{InCode: true, Seen: now.Add(-3 * time.Hour), Last: minute}, unseen: true},
		"is due":                 {schedule: jobs.Schedule{Due: now.Add(time.Second)}},
		"is about to fire":       {schedule: jobs.Schedule{Due: now.Add(-5 * time.Second)}},
		"nobody fires it":        {schedule: jobs.Schedule{Due: now.Add(-time.Minute)}, late: true},
		"paused, so not overdue": {schedule: jobs.Schedule{Paused: true}},
	} {
		c.schedule.Name, c.schedule.Spec = "x", "* * * * *"
		row := newScheduleRow(now, c.schedule)
		require.Equal(t, []bool{c.unseen, c.late}, []bool{row.Unseen, row.Late}, name)
		require.Equal(t, "every minute", row.Words, name)
		require.Equal(t, minute.Add(time.Minute), row.Next[0], name)
	}
	row := newScheduleRow(now, jobs.Schedule{Name: "x", Spec: "61 * * * *"})
	require.NotEmpty(t, row.Bad)
	require.Empty(t, row.Words)
}
