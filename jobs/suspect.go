package jobs

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// A job that one more crash would bury is a suspect: it kills its workers, or was
// held together with one that does. A worker holds one suspect at a time, so that
// the one that does it takes no other along when it is buried.

// apart gives suspects back, unless there is only one: not at once, so that they
// come back one by one, here or elsewhere.
func (w *worker) apart(jobs []driver.Stored) []driver.Stored {
	most := w.q.opts.maxCrashes()
	suspect := func(j driver.Stored) bool { return most > 1 && j.Crashes >= most-1 }
	first := slices.IndexFunc(jobs, suspect)
	if first < 0 {
		return jobs
	}
	n := 0
	for _, j := range jobs {
		if suspect(j) {
			n++
		}
	}
	if n == 1 && w.suspect == "" {
		w.suspect = jobs[first].ID
		return jobs
	}
	return slices.DeleteFunc(jobs, func(j driver.Stored) bool {
		if !suspect(j) {
			return false
		}
		w.pool.again(driver.Outcome{ID: j.ID, Action: driver.Return, Delay: rand.N(time.Duration(n+1) * time.Second)})
		return true
	})
}

// acquitted makes way for the next suspect once the store knows what became of
// this one.
func (w *worker) acquitted(done []driver.Outcome) {
	if w.suspect != "" && slices.ContainsFunc(done, func(o driver.Outcome) bool { return o.ID == w.suspect }) {
		w.suspect = ""
	}
}
