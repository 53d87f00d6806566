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

// apart keeps one suspect, unless one is held already, and gives the others back:
// not at once, so that they come back one by one, here or elsewhere.
func (w *worker) apart(jobs []driver.Stored) []driver.Stored {
	most := w.q.opts.maxCrashes()
	var others []string
	jobs = slices.DeleteFunc(jobs, func(j driver.Stored) bool {
		if most < 2 || j.Crashes < most-1 {
			return false
		}
		if w.suspect == "" {
			w.suspect = j.ID
			return false
		}
		others = append(others, j.ID)
		return true
	})
	for _, id := range others {
		delay := rand.N(time.Duration(len(others)+1) * time.Second)
		w.pool.again(driver.Outcome{ID: id, Action: driver.Return, Delay: delay})
	}
	return jobs
}

// acquitted makes way for the next suspect once the store knows what became of
// this one.
func (w *worker) acquitted(done []driver.Outcome) {
	if w.suspect != "" && slices.ContainsFunc(done, func(o driver.Outcome) bool { return o.ID == w.suspect }) {
		w.suspect = ""
	}
}
