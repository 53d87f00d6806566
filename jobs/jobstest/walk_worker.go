package jobstest

import (
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// send beats, of a worker that says something of itself, and notes that it did.
func (w *walk) send(b driver.Beat) (driver.Pulse, error) {
	b.About = []byte(w.name("about "))
	before := time.Now()
	pulse, err := w.d.Beat(w.ctx, b)
	if err != nil {
		return pulse, err
	}
	m := w.m.workers[b.Worker]
	if m == nil {
		m = &member{}
		w.m.workers[b.Worker] = m
	}
	m.beat, m.held, m.after = b, len(w.m.heldBy(b.Worker)), before
	for _, r := range b.Running {
		if j := w.m.jobs[r.ID]; j.begun[1].IsZero() {
			j.begun = [2]time.Time{before.Add(-r.For - rounding), time.Now().Add(-r.For)}
		}
	}
	return pulse, nil
}

// lookAtWorkers compares who works.
func (w *walk) lookAtWorkers() error {
	overseer, ok := w.d.(driver.Overseer)
	if !ok {
		return nil
	}
	got, err := overseer.Workers(w.ctx)
	if err != nil {
		return err
	}
	ordered := slices.IsSortedFunc(got, func(a, b driver.Worker) int { return int(a.Left - b.Left) })
	slices.SortFunc(got, func(a, b driver.Worker) int { return strings.Compare(a.ID, b.ID) })
	var want, shown []driver.Worker
	for _, id := range w.workers() {
		m := w.m.workers[id]
		want = append(want, driver.Worker{ID: id, Lease: m.beat.Lease, Held: m.held, About: m.beat.About})
	}
	for _, g := range got {
		m := w.m.workers[g.ID]
		if m != nil && (g.Beat.Before(m.after.Add(-rounding)) || g.Beat.After(time.Now())) {
			return w.differ("%s beat after %s, not at %s", g.ID, m.after, g.Beat)
		}
		if late := time.Since(g.Beat.Add(g.Lease)) + g.Left; late < -rounding {
			return w.differ("%s has %s left, %s too little", g.ID, g.Left, -late)
		}
		shown = append(shown, driver.Worker{ID: g.ID, Lease: g.Lease, Held: g.Held, About: g.About})
	}
	if err := w.equal("workers", want, shown); err != nil || ordered {
		return err
	}
	return w.differ("workers are not in the order of their leases")
}
