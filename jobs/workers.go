package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Worker is a process that works on a queue, as of its latest beat, which are a
// third of Options.Lease apart. Of one of an earlier version only ID and Left are
// known.
type Worker struct {
	ID          string        // of its lease, as in Entry.Worker; one that lost it goes on under another
	Name        string        // Options.Name
	Build       string        // the version of its program, "v1.2.3" or one made of its commit; empty if it was built without
	Started     time.Time     // when its Run began
	Seen        time.Time     // the latest beat
	Left        time.Duration // of its lease, as of now; negative once that has run out
	Late        bool          // two beats are missing: it hangs, is cut off or died
	Concurrency int           // handlers at a time
	Running     int           // handlers
	Held        int           // jobs: those that run, wait in it for a free handler, or have just ended
	Draining    bool          // its Run was told to end
}

// Workers answers which processes work on the queue, by name; if there are more
// than 1,000, those whose leases end first. One that died or hangs is listed until
// its lease has run out and another one has given its jobs back. All times are by
// the store's clock.
func (q *Queue) Workers(ctx context.Context) ([]Worker, error) {
	overseer, ok := q.driver.(driver.Overseer)
	if !ok {
		return nil, fmt.Errorf("jobs: workers: the driver cannot: %w", errors.ErrUnsupported)
	}
	stored, err := overseer.Workers(ctx)
	if err != nil {
		return nil, fmt.Errorf("jobs: workers: %w", err)
	}
	list := make([]Worker, len(stored))
	for i, s := range stored {
		list[i] = readWorker(s)
	}
	slices.SortFunc(list, func(a, b Worker) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), a.Started.Compare(b.Started), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

// self is what a worker tells of itself with a beat, in JSON. A field that is
// added stays unknown to earlier versions, and is zero for theirs.
type self struct {
	Name        string `json:"name"`
	Build       string `json:"build,omitempty"`
	Up          int64  `json:"up"` // ms since its Run began, so that clocks do not matter
	Concurrency int    `json:"concurrency"`
	Running     int    `json:"running,omitempty"`
	Draining    bool   `json:"draining,omitempty"`
}

func (w *worker) about(now time.Time) []byte {
	s := w.self
	s.Up, s.Running, s.Draining = now.Sub(w.began).Milliseconds(), w.pool.books().running, w.stopping
	text, err := json.Marshal(s)
	if err != nil {
		return nil // text and numbers always can be
	}
	return text
}

func readWorker(s driver.Worker) Worker {
	w := Worker{ID: s.ID, Seen: s.Beat, Left: s.Left, Late: s.Left < s.Lease/3, Held: s.Held}
	var about self
	if s.Beat.IsZero() || json.Unmarshal(s.About, &about) != nil {
		w.Late = s.Left < 0
		return w
	}
	w.Name, w.Build, w.Concurrency = about.Name, about.Build, about.Concurrency
	w.Running, w.Draining = about.Running, about.Draining
	w.Started = s.Beat.Add(-time.Duration(about.Up) * time.Millisecond)
	return w
}

// build is the version of the program.
func build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "(devel)" {
		return ""
	}
	return info.Main.Version
}

// untold are the attempts to tell the store of: those that have been running for
// a while, since of others it would learn the end right after.
func (w *worker) untold(now time.Time) (list []*attempt, runs []driver.Run) {
	w.pool.each(func(a *attempt) {
		if took := a.running(now); !a.told && took >= w.q.opts.lease()/15 {
			list, runs = append(list, a), append(runs, driver.Run{ID: a.job.ID, For: took})
		}
	})
	return list, runs
}
