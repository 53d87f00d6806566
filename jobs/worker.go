package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// worker is one Run of a queue: one lease in the store and one goroutine (loop)
// that owns all of the state below. Handlers report on settled; the wait for
// new jobs blocks in listen.
type worker struct {
	q     *Queue
	log   *slog.Logger
	outer context.Context // of calls to the store
	slots int

	settled chan settlement
	ask     chan struct{} // loop → listen: wait for jobs
	wake    chan struct{} // listen → loop: there may be some

	id      string // of the lease; a new one after each loss
	epoch   int
	seq     uint64
	joined  bool
	nextHit time.Time // when to beat again

	jobs   context.Context // base of the handlers' contexts
	cancel context.CancelCauseFunc
	fence  *time.Timer // ends jobs shortly before the lease does

	running int              // handlers that have not returned
	done    []driver.Outcome // to be sent
	call    *driver.Exchange // sent, but the answer got lost: repeated unchanged
	retryAt time.Time
	misses  int

	hungry  bool      // there may be ready jobs
	pass    bool      // a wake-up arrived while there was no free slot
	waiting bool      // listen works for us
	due     time.Time // of the next scheduled job, if any

	stopping bool
	drainAt  time.Time // when handlers are cancelled
	killAt   time.Time // when we stop waiting for them
}

type settlement struct {
	epoch   int
	outcome driver.Outcome
}

func newWorker(q *Queue, outer context.Context) *worker {
	slots := q.opts.concurrency()
	w := &worker{
		q: q, outer: outer, slots: slots, id: newID(), hungry: true,
		log:     q.opts.logger(),
		settled: make(chan settlement, slots), // a handler never waits for the loop
		ask:     make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
	}
	w.jobs, w.cancel = context.WithCancelCause(outer)
	return w
}

// loop does what is due, one thing at a time, until the worker has drained.
func (w *worker) loop(ctx context.Context) error {
	defer func() {
		w.fence.Stop()
		w.cancel(ErrShutdown)
	}()
	for {
		w.absorb()
		now := time.Now()
		switch {
		case w.stopping && w.running == 0 && len(w.done) == 0 && w.call == nil:
			return nil
		case w.stopping && now.After(w.killAt):
			return fmt.Errorf("jobs: shutdown: %d handlers still run and %d outcomes could not be stored; these jobs will run again", w.running, len(w.done)+pending(w.call))
		case w.stopping && !now.Before(w.drainAt):
			w.cancel(ErrShutdown)
			w.drainAt = w.killAt.Add(time.Second) // once
		case !now.Before(w.nextHit):
			w.renew()
		case w.exchangeDue(now):
			w.exchange(now)
		default:
			w.sleep(ctx, now)
		}
	}
}

func pending(x *driver.Exchange) int {
	if x == nil {
		return 0
	}
	return len(x.Done)
}

// sleep waits for the next reason to do something.
func (w *worker) sleep(ctx context.Context, now time.Time) {
	if w.free() > 0 && !w.stopping && w.call == nil && !w.waiting {
		w.waiting = true
		w.ask <- struct{}{}
	}
	until := w.nextHit
	for _, at := range []time.Time{w.retryAt, w.due} {
		if at.After(now) && at.Before(until) {
			until = at
		}
	}
	stop := ctx.Done()
	if w.stopping {
		stop = nil
		for _, at := range []time.Time{w.drainAt, w.killAt.Add(time.Millisecond)} {
			if at.Before(until) {
				until = at
			}
		}
	}
	timer := time.NewTimer(until.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
	case s := <-w.settled:
		w.settle(s)
	case <-w.wake:
		w.waiting, w.hungry = false, true
		w.pass = w.free() == 0
	case <-stop:
		w.stopping = true
		w.drainAt = time.Now().Add(w.q.opts.drainTimeout())
		w.killAt = w.drainAt.Add(grace)
	}
}

// absorb collects the handlers that returned meanwhile: they share a call.
func (w *worker) absorb() {
	for len(w.done) < driver.MaxBatch {
		select {
		case s := <-w.settled:
			w.settle(s)
		default:
			return
		}
	}
}

func (w *worker) settle(s settlement) {
	w.running--
	if s.epoch == w.epoch {
		w.done = append(w.done, s.outcome)
	}
}

// free is how many jobs may be taken now.
func (w *worker) free() int {
	if w.stopping || !w.joined || w.jobs.Err() != nil {
		return 0
	}
	return w.slots - w.running
}

func (w *worker) exchangeDue(now time.Time) bool {
	switch {
	case !w.joined:
		return false
	case w.call != nil:
		return !now.Before(w.retryAt)
	case len(w.done) > 0 || w.pass && !w.stopping:
		return true
	}
	return w.free() > 0 && (w.hungry || !w.due.IsZero() && !now.Before(w.due))
}

// exchange reports outcomes and takes jobs for the free slots, in one call.
func (w *worker) exchange(now time.Time) {
	if w.call == nil {
		w.seq++
		n := min(len(w.done), driver.MaxBatch)
		w.call = &driver.Exchange{Worker: w.id, Seq: w.seq, Done: w.done[:n:n], Want: w.free()}
		w.done = append([]driver.Outcome(nil), w.done[n:]...)
	}
	ctx, cancel := context.WithTimeout(w.outer, w.q.opts.lease()/2)
	defer cancel()
	batch, err := w.q.driver.Exchange(ctx, *w.call)
	switch {
	case errors.Is(err, ErrLeaseLost):
		w.lost()
		return
	case err != nil:
		w.misses++
		w.retryAt = now.Add(holdOff(w.misses))
		w.log.WarnContext(w.outer, "jobs: exchange failed, will be repeated", "error", err)
		return
	}
	w.call, w.misses, w.pass = nil, 0, false
	w.hungry = batch.Ready > 0
	w.due = time.Time{}
	if batch.Next >= 0 {
		w.due = time.Now().Add(batch.Next)
	}
	for _, job := range batch.Jobs {
		w.start(job)
	}
}

// start runs a job, or gives it back if there is nothing to run it under.
func (w *worker) start(job driver.Stored) {
	if w.stopping || w.jobs.Err() != nil {
		w.done = append(w.done, driver.Outcome{ID: job.ID, Action: driver.Return})
		return
	}
	w.running++
	jobs, epoch := w.jobs, w.epoch
	// The loop counts this goroutine in running and reads its settlement; one
	// that ignores its context outlives Run, which then returns an error.
	go w.q.execute(jobs, job, func(o driver.Outcome) { w.settled <- settlement{epoch, o} })
}

// holdOff spreads the repetitions of a failing call: 50 ms to 1 s.
func holdOff(misses int) time.Duration {
	return min(50*time.Millisecond<<min(misses-1, 5), time.Second)
}
