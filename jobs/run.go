package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

const (
	// waitFor is how long a worker sleeps at most before it looks for jobs by
	// itself: the price of a lost wake-up.
	waitFor = 2 * time.Second

	// grace is what handlers get to return once their context has ended in a
	// shutdown.
	grace = 3 * time.Second
)

// Run works on the queue until ctx ends: it executes jobs, fires schedules and
// gives the jobs of dead workers back. Any number of processes may run the
// same queue; one Queue runs once at a time, a second Run answers ErrRunning.
//
// Run fails at once if ctx has a tenant (Options.Tenant), which jobs of none
// would inherit, or if the store cannot be reached or refuses service; later
// trouble is logged and retried for as long as it lasts, while handlers whose
// lease runs out meanwhile are cancelled with ErrLeaseLost.
//
// When ctx ends, Run takes no more jobs, gives back what it took but did not
// start, and waits Options.DrainTimeout for running handlers; then their
// contexts end with ErrShutdown and their jobs are given back without an
// attempt counted. It returns nil if every handler returned and every outcome
// was stored, else an error; what is unsettled then runs elsewhere.
func (q *Queue) Run(ctx context.Context) error {
	if !q.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer q.running.Store(false)
	if q.opts != nil && q.opts.Tenant != nil {
		if _, ok := q.opts.Tenant(ctx); ok {
			return errors.New("jobs: run: the context has a tenant, which jobs of no tenant would get; pass one without")
		}
	}

	// Calls to the store and handlers outlive ctx: they are part of the drain.
	outer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	w := newWorker(q, outer)
	if err := w.beat(); err != nil {
		return fmt.Errorf("jobs: run: %w", err)
	}

	var loops sync.WaitGroup
	loops.Go(func() { q.schedule(ctx) })
	if scheduler, ok := q.driver.(driver.Scheduler); ok {
		loops.Go(func() { q.fireStored(ctx, scheduler) })
	}
	loops.Go(w.caller)
	if w.pool.size > 0 {
		loops.Go(func() { w.listen(ctx) })
	}
	if nudger, ok := q.driver.(driver.Nudger); ok {
		loops.Go(func() { w.heed(ctx, nudger) })
	}
	err := w.loop(ctx)
	w.hangUp()
	loops.Wait()
	return errors.Join(err, w.leave())
}

// listen turns the blocking Wait of the driver into a channel, one wait per
// request: a worker that is full leaves the wake-up to others.
func (w *worker) listen(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.ask:
		}
		if err := w.q.driver.Wait(ctx, waitFor); err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "jobs: waiting for jobs failed", "error", err)
			nap(ctx, time.Second, nil)
		}
		w.wake <- struct{}{} // never blocks: one slot, one request at a time
	}
}

// heed turns the store's nudges into early beats.
func (w *worker) heed(ctx context.Context, nudger driver.Nudger) {
	for ctx.Err() == nil {
		err := nudger.Nudges(ctx, func() { hint(w.nudge) })
		if err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "jobs: not told of cancelled jobs at once", "error", err)
		}
		nap(ctx, time.Second, nil)
	}
}

// nap waits for a time, a hint (nil: none will come) or the end of ctx.
func nap(ctx context.Context, d time.Duration, hint <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-hint:
	}
}

// hint wakes who waits for c, now or later, once.
func hint(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
