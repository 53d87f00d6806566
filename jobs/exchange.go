package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// call is an exchange on its way to the store.
type call struct {
	epoch int
	x     driver.Exchange
}

// answer is what became of a call.
type answer struct {
	epoch int
	batch driver.Batch
	err   error
	took  time.Duration
}

// caller talks to the store while the loop goes on feeding the slots.
func (w *worker) caller() {
	for c := range w.calls {
		began := time.Now()
		ctx, cancel := context.WithTimeout(w.line, w.q.opts.lease()/2)
		batch, err := w.q.driver.Exchange(ctx, c.x)
		cancel()
		w.answers <- answer{c.epoch, batch, err, time.Since(began)}
	}
}

// exchangeDue tells whether a call is worth it now. Outcomes are told at once,
// unless handlers have something to do: then some are told together. Jobs are
// asked for when a slot is free, or two thirds of those held ahead are used up.
func (w *worker) exchangeDue(now time.Time, b books) bool {
	switch {
	case !w.joined || w.calling:
		return false
	case w.call != nil:
		return !now.Before(w.retryAt)
	case b.done > 0 && (b.waiting == 0 || b.done >= enough || now.Sub(b.oldest) >= linger):
		return true
	case w.pass && !w.stopping:
		return true
	case b.notes > 0 && now.Sub(w.noted) >= noteEvery:
		return true
	}
	return w.room(b) > w.prefetch*2/3 && (w.hungry || !w.due.IsZero() && !now.Before(w.due))
}

// exchange reports outcomes and takes jobs for the free slots, in one call.
func (w *worker) exchange(now time.Time, b books) {
	if w.call == nil {
		w.seq++
		// A wake-up that arrives from now on may be for what the call does not see.
		w.hungry, w.pass = false, false
		done, notes := w.pool.take()
		if len(notes) > 0 {
			w.noted = now
		}
		w.call = &driver.Exchange{
			Worker: w.id, Seq: w.seq, Done: done, Notes: notes, Want: min(max(w.room(b), 0), driver.MaxBatch),
		}
		w.share(w.call)
	}
	w.calling = true
	w.calls <- call{w.epoch, *w.call}
}

// share bounds what a call may bring of each tenant, so that nobody has too many
// of the jobs held, and derives how many to hold in all: as many as it takes for
// the one that has most of them now to have that many.
func (w *worker) share(x *driver.Exchange) {
	most := w.q.opts.mostEach()
	if most == 0 {
		return
	}
	held, largest := w.pool.shares()
	if x.Each = most - largest; x.Each <= 0 {
		x.Each, x.Want = 0, 0
	}
	w.span = most * max(held, 1) / max(largest, 1)
}

// mostAhead bounds how many jobs wait for slots.
func (w *worker) mostAhead() int {
	if w.q.opts.mostEach() == 0 {
		return driver.MaxBatch
	}
	return min(max(w.span-w.pool.size, 0), driver.MaxBatch)
}

// answered starts the jobs of an answer.
func (w *worker) answered(a answer) {
	w.calling = false
	if a.epoch != w.epoch {
		return // of a lease that is lost
	}
	switch {
	case errors.Is(a.err, ErrLeaseLost):
		w.lost()
		return
	case a.err != nil:
		w.misses++
		w.retryAt = time.Now().Add(holdOff(w.misses))
		w.log.WarnContext(w.outer, "jobs: exchange failed, will be repeated", "error", a.err)
		return
	}
	w.remember(w.call.Done)
	w.acquitted(w.call.Done)
	w.call, w.misses = nil, 0
	w.hungry = w.hungry || a.batch.Ready > 0
	w.due = time.Time{}
	now := time.Now()
	if a.batch.Next >= 0 {
		w.due = now.Add(a.batch.Next)
	}
	w.ahead(now, a.took)
	w.start(a.batch.Jobs, now)
	w.cancelled(a.batch.Cancel)
}

// ahead decides how many jobs to hold beyond the slots: three times what they
// finish during a call. A call is made when one third is left; it is used up
// when the answer brings the other two.
//
// What they finish follows the rate at which they do, so that slots that are
// busy with a long job do not count; but it is no more than what a typical
// handler allows, so that long jobs which happen to end together are no rate.
func (w *worker) ahead(now time.Time, took time.Duration) {
	if w.trip == 0 {
		w.trip = took
	}
	w.trip += (took - w.trip) / 8
	b := w.pool.books()
	passed := now.Sub(w.ratedAt)
	if passed <= 0 || b.typical == 0 {
		return
	}
	weight := float64(passed) / float64(passed+w.trip/2)
	w.rate += (float64(b.ran-w.rated)/float64(passed) - w.rate) * weight
	w.rated, w.ratedAt = b.ran, now
	finish := min(w.rate, float64(w.pool.size)/float64(b.typical)) * float64(w.trip)
	w.prefetch = min(int(3*finish), w.mostAhead(), mostAheadBytes/max(w.size, 1))
}

// start gives jobs to the slots, or back if there is nothing to run them under.
func (w *worker) start(jobs []driver.Stored, now time.Time) {
	if len(jobs) == 0 {
		return
	}
	if w.stopping || w.jobs.Err() != nil {
		for _, job := range jobs {
			w.pool.again(driver.Outcome{ID: job.ID, Action: driver.Return})
		}
		return
	}
	if jobs = w.apart(jobs); len(jobs) == 0 {
		return
	}
	list, size, note := make([]*attempt, len(jobs)), 0, w.pool.progress
	for i, job := range jobs {
		size += len(job.Body)
		list[i] = &attempt{job: job, epoch: w.epoch, base: w.jobs, since: now, note: note}
	}
	w.size = size / len(jobs)
	w.pool.add(list, w.prefetch/3)
}

// cancelled ends the handlers of jobs that somebody cancelled.
func (w *worker) cancelled(ids []string) {
	if len(ids) == 0 {
		return
	}
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	w.pool.putBack(func(a *attempt) bool { return set[a.job.ID] }, driver.Drop)
	w.pool.each(func(a *attempt) {
		if set[a.job.ID] {
			a.stop(ErrCancelled)
		}
	})
}

// remember keeps the latest outcomes that the store has acknowledged.
func (w *worker) remember(done []driver.Outcome) {
	const most = 4 * driver.MaxBatch
	w.settled = append(w.settled, done...)
	if len(w.settled) > 2*most {
		w.settled = append(w.settled[:0], w.settled[len(w.settled)-most:]...)
	}
}
