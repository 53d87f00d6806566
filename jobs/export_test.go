package jobs

import "time"

// SetClock gives a queue another clock than the machine's, for its schedules.
func SetClock(q *Queue, now func() time.Time) { q.now = now }
