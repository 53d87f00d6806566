package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// joinTime is what a new lease may take at least: there is none to be late for,
// and the first call to a store also connects.
const joinTime = 5 * time.Second

// renew beats and copes with what can go wrong.
func (w *worker) renew(now time.Time) {
	err := w.beat()
	switch {
	case errors.Is(err, ErrLeaseLost):
		w.lost()
	case err != nil:
		w.log.WarnContext(w.outer, "jobs: lease not renewed, will be repeated", "error", err)
	}
	w.findStuck(now)
}

// beat starts or renews the lease. The fence stands an eighth before the
// lease's end, counted from before the call, so that this process stops before
// another one starts.
func (w *worker) beat() error {
	lease := w.q.opts.lease()
	began := time.Now()
	limit := lease / 2
	if !w.joined {
		limit = max(limit, joinTime)
	}
	ctx, cancel := context.WithTimeout(w.outer, limit)
	defer cancel()
	untold, running := w.untold(began)
	beat := driver.Beat{
		Worker: w.id, Lease: lease, Join: !w.joined, MaxCrashes: w.q.opts.maxCrashes(), Tally: w.pool.takeTally(),
		About: w.about(began), Running: running,
	}
	holding := w.pool.holding()
	if w.strange >= 2 && w.call == nil {
		beat.Audit, beat.Holding = true, holding
	}
	pulse, err := w.q.driver.Beat(ctx, beat)
	if err != nil {
		w.pool.giveTally(beat.Tally)
		w.nextHit = time.Now().Add(min(lease/10, time.Second))
		return err
	}
	w.joined = true
	for _, a := range untold {
		a.told = true
	}
	w.nextHit = began.Add(lease / 3)
	w.takenOver(pulse)
	w.cancelled(pulse.Cancel)
	w.compare(beat, pulse, len(holding))
	if w.fence != nil {
		w.fence.Stop()
	}
	if w.jobs.Err() != nil && !w.stopping {
		w.jobs, w.cancel = context.WithCancelCause(w.outer)
		w.hungry = true
	}
	stop := w.cancel
	w.fence = time.AfterFunc(time.Until(began.Add(lease-lease/8)), func() { stop(ErrLeaseLost) })
	return nil
}

// takenOver tells of the jobs of a dead worker.
func (w *worker) takenOver(pulse driver.Pulse) {
	if pulse.Err != nil {
		w.log.WarnContext(w.outer, "jobs: jobs of a dead worker not given back, will be repeated", "error", pulse.Err)
	}
	if pulse.Reclaimed+pulse.Buried == 0 {
		return
	}
	// Another one may have expired as well.
	w.nextHit = time.Now()
	w.hungry = true
	w.q.opts.count(w.outer, "jobs.reclaimed", pulse.Reclaimed)
	w.q.opts.observeReclaimed(w.outer, pulse.Reclaimed, pulse.Buried)
	w.log.WarnContext(w.outer, "jobs: gave the jobs of a dead worker back", "jobs", pulse.Reclaimed, "buried", pulse.Buried)
}

// lost starts over under a new id: the store gave our jobs to others. Handlers
// that still run keep their slots, what they say is not reported.
func (w *worker) lost() {
	running := w.pool.books().running
	w.log.ErrorContext(w.outer, "jobs: lease lost, running jobs are cancelled", "running", running)
	w.q.opts.observeLeaseLost(w.outer, running)
	w.cancel(ErrLeaseLost)
	w.epoch++
	w.pool.forget(w.epoch)
	w.id, w.seq, w.joined = newID(), 0, false
	w.call, w.misses, w.settled, w.strange, w.suspect = nil, 0, nil, 0, ""
	w.nextHit = time.Now()
}

// leave ends the lease; what we still hold is given back at once.
func (w *worker) leave() error {
	if !w.joined {
		return nil
	}
	ctx, cancel := context.WithTimeout(w.outer, 2*time.Second)
	defer cancel()
	if tally := w.pool.takeTally(); tally != nil {
		// Only figures: if they do not arrive, leaving is more important.
		_, _ = w.q.driver.Beat(ctx, driver.Beat{Worker: w.id, Lease: w.q.opts.lease(), Tally: tally, About: w.about(time.Now())})
	}
	if _, err := w.q.driver.Beat(ctx, driver.Beat{Worker: w.id}); err != nil && !errors.Is(err, ErrLeaseLost) {
		return fmt.Errorf("jobs: shutdown: leave: %w", err)
	}
	return nil
}
