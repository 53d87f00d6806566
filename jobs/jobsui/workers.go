package jobsui

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
)

// workerRow is a worker in the list.
type workerRow struct{ jobs.Worker }

// State is a word for what it does: the reason to look at it, if there is one.
func (w workerRow) State() string {
	switch {
	case w.Late:
		return "late"
	case w.Name == "":
		return "unknown"
	case w.Draining:
		return "draining"
	case w.Running > 0:
		return "working"
	case w.Concurrency == 0:
		return "schedules only"
	}
	return "idle"
}

// Class is the chip's for the state.
func (w workerRow) Class() string {
	return map[string]string{"late": "dead", "draining": "paused", "working": "", "unknown": "waiting", "idle": "waiting", "schedules only": "waiting"}[w.State()]
}

// Hint says more of a state that is not plain.
func (w workerRow) Hint() string {
	return map[string]string{
		"late":           "Two of its beats are missing",
		"unknown":        "It is of an earlier version, which tells nothing of itself",
		"draining":       "It takes no more jobs and ends when its handlers have returned",
		"schedules only": "It runs no jobs",
	}[w.State()]
}

// Share is how many of its handlers run, in per cent.
func (w workerRow) Share() int { return min(100*w.Running/max(w.Concurrency, 1), 100) }

// Shown is the name that people know.
func (w workerRow) Shown() string {
	if w.Name == "" {
		return w.ID
	}
	return w.Name
}

// workersPage is the dot of the workers' page.
type workersPage struct {
	Rows               []workerRow
	Late               int
	Running, Slots     int
	Paused             bool // the queue is
	Waiting, Unsettled int  // jobs that are ready, and that workers hold
}

// countWorkers sums up a list; a driver that has none is like one without workers.
func (d *dashboard) countWorkers(r *http.Request, q *jobs.Queue) (p workersPage, known bool, err error) {
	list, err := q.Workers(r.Context())
	if errors.Is(err, errors.ErrUnsupported) {
		return p, false, nil
	}
	if err != nil {
		return p, false, err
	}
	slices.SortStableFunc(list, func(a, b jobs.Worker) int { return late(b) - late(a) })
	for _, w := range list {
		p.Rows = append(p.Rows, workerRow{w})
		p.Running, p.Slots, p.Unsettled = p.Running+w.Running, p.Slots+w.Concurrency, p.Unsettled+w.Held
		p.Late += late(w)
	}
	return p, true, nil
}

func late(w jobs.Worker) int {
	if w.Late {
		return 1
	}
	return 0
}

// workers shows which processes work on a queue.
func (d *dashboard) workers(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	p, known, err := d.countWorkers(r, q)
	if err == nil && !known {
		err = errors.ErrUnsupported
	}
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	stats, err := q.Stats(r.Context())
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	control, err := q.Control(r.Context())
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		d.broken(w, r, f, err)
		return
	}
	p.Waiting, p.Paused = stats.Ready, control.Paused
	f.Title, f.Page = "Workers", p
	d.show(w, r, f, "workers", http.StatusOK)
}

// workerName is what people call the worker that holds a job; empty if nobody
// knows.
func (d *dashboard) workerName(r *http.Request, q *jobs.Queue, id string) string {
	list, err := q.Workers(r.Context())
	if err != nil {
		return "" // its id is shown in any case
	}
	for _, w := range list {
		if w.ID == id {
			return w.Name
		}
	}
	return ""
}

// lease says how long a lease goes on.
func lease(left time.Duration) string {
	if left < 0 {
		return "ran out " + span(-left) + " ago"
	}
	return span(left) + " left"
}
