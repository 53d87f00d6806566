package jobs

import (
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// The store and the worker each keep books of what the worker holds. They can
// differ after a failover that lost the latest writes: a job may be held that
// nobody works on, or worked on without being held. Each beat compares the
// counts; if they differ twice in a row the next one compares the jobs.

// compare is called with the answer to a beat that was sent while no exchange
// was under way, or it does nothing.
func (w *worker) compare(beat driver.Beat, pulse driver.Pulse, own int) {
	switch {
	case w.calling || w.call != nil:
	case beat.Audit:
		w.strange = 0
		w.repair(pulse)
	case pulse.Held != own:
		w.strange++
	default:
		w.strange = 0
	}
}

// repair settles again what the store forgot that it was settled, gives back
// what got lost on its way here, and stops what is not ours any more.
func (w *worker) repair(pulse driver.Pulse) {
	if len(pulse.Unknown)+len(pulse.Lost) == 0 {
		return
	}
	w.log.WarnContext(w.outer, "jobs: the store's books differ from the worker's, corrected",
		"unknown", len(pulse.Unknown), "lost", len(pulse.Lost))
	for _, id := range pulse.Unknown {
		out := driver.Outcome{ID: id, Action: driver.Return}
		for _, old := range slices.Backward(w.settled) {
			if old.ID == id {
				out = old
				break
			}
		}
		w.pool.again(out)
	}
	w.pool.disown(pulse.Lost)
	if slices.Contains(pulse.Lost, w.suspect) {
		w.suspect = ""
	}
}

// again reports an outcome once more.
func (p *pool) again(out driver.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report(out, time.Now())
}

// disown forgets jobs that the worker does not hold and ends their handlers.
func (p *pool) disown(ids []string) {
	lost := map[string]bool{}
	for _, id := range ids {
		lost[id] = true
	}
	p.each(func(a *attempt) {
		if lost[a.job.ID] {
			a.stop(ErrLeaseLost)
		}
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.slots {
		if a != nil && lost[a.job.ID] {
			a.epoch = -1 // no lease's
		}
	}
	p.waiting = slices.DeleteFunc(p.waiting, func(a *attempt) bool { return lost[a.job.ID] })
	p.done = slices.DeleteFunc(p.done, func(o driver.Outcome) bool { return lost[o.ID] })
}

// findStuck reports handlers that go on a whole beat after their context has
// ended, each once. They keep their slots until they return.
func (w *worker) findStuck(now time.Time) {
	for _, a := range w.pool.stuck(now) {
		why := a.ended(now)
		if why == nil {
			continue // it has returned at last
		}
		w.log.ErrorContext(w.outer, "jobs: handler goes on although its context has ended",
			"job", a.job.ID, "kind", a.info.Kind, "cause", why)
		w.q.opts.count(w.outer, "jobs.stuck", 1, "kind", a.info.Kind)
		w.q.opts.observeStuck(a, a.info, why)
	}
}

// stuck returns what runs, under whatever lease, and was found ended by the
// beat before this one.
func (p *pool) stuck(now time.Time) []*attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []*attempt
	for _, a := range p.slots {
		if a == nil || a.ended(now) == nil {
			continue
		}
		if a.late++; a.late == 2 {
			found = append(found, a)
		}
	}
	return found
}
