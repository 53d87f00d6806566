package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// worker is one Run of a queue: one lease in the store and one goroutine (loop)
// that owns all of the state below. Handlers run in pool, calls of
// Driver.Exchange in caller, one at a time, the wait for new jobs in listen.
type worker struct {
	q     *Queue
	log   *slog.Logger
	outer context.Context // of calls to the store
	self  self            // what it tells of itself
	began time.Time
	pool  *pool

	line   context.Context // of exchanges
	hangUp context.CancelFunc

	calls   chan call     // loop → caller
	answers chan answer   // caller → loop
	ask     chan struct{} // loop → listen: wait for jobs
	wake    chan struct{} // listen → loop: there may be some
	nudge   chan struct{} // the store → loop: beat soon

	id      string // of the lease; a new one after each loss
	epoch   int
	seq     uint64
	joined  bool
	nextHit time.Time // when to beat again

	jobs   context.Context // base of the handlers' contexts
	cancel context.CancelCauseFunc
	fence  *time.Timer // ends jobs shortly before the lease does

	calling  bool             // an exchange is under way
	call     *driver.Exchange // what it carries, or failed to carry: then it is repeated unchanged
	retryAt  time.Time
	misses   int
	settled  []driver.Outcome // of the latest calls, see repair
	noted    time.Time        // when progress was sent
	trip     time.Duration    // what an exchange takes, smoothed
	rate     float64          // handlers that return in a nanosecond, smoothed
	rated    int              // how many had returned when it was taken
	ratedAt  time.Time        // and when that was
	size     int              // of a job in the latest answer, on average
	prefetch int              // jobs to hold beyond the slots
	span     int              // jobs to hold at most, by whose those are that it had
	strange  int              // beats in a row whose count differed from ours
	suspect  string           // the job it holds that one more crash buries; "": none

	hungry  bool      // there may be ready jobs
	pass    bool      // a wake-up arrived while there was no free slot
	waiting bool      // listen works for us
	due     time.Time // of the next scheduled job, if any

	stopping bool
	drainAt  time.Time // when handlers are cancelled
	killAt   time.Time // when we stop waiting for them

	timer *time.Timer
}

const (
	// enough outcomes are worth a call although jobs still wait for slots.
	enough = 100

	// linger is how long outcomes wait for company while jobs wait for slots.
	linger = time.Millisecond

	// mostAheadBytes bounds the size of the jobs that wait for slots.
	// mostAhead bounds their number.
	mostAheadBytes = 8 << 20

	// fairHold is how many jobs of one tenant a worker holds at most where tenants
	// take turns, unless it has more slots: nothing overtakes what it holds.
	fairHold = 180

	// noteEvery bounds how often progress is told to the store.
	noteEvery = 500 * time.Millisecond
)

func newWorker(q *Queue, outer context.Context) *worker {
	w := &worker{
		q: q, outer: outer, id: newID(), hungry: true, began: time.Now(),
		self:    self{Name: q.opts.name(), Build: build(), Concurrency: q.opts.concurrency()},
		log:     q.opts.logger(),
		pool:    newPool(q, q.opts.concurrency()),
		calls:   make(chan call, 1),
		answers: make(chan answer, 1),
		ask:     make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
		nudge:   make(chan struct{}, 1),
		timer:   time.NewTimer(0),
	}
	w.jobs, w.cancel = context.WithCancelCause(outer)
	w.line, w.hangUp = context.WithCancel(outer)
	return w
}

// loop does what is due, one thing at a time, until the worker has drained.
func (w *worker) loop(ctx context.Context) error {
	defer func() {
		w.timer.Stop()
		w.fence.Stop()
		w.cancel(ErrShutdown)
		w.pool.close()
		close(w.calls)
	}()
	for {
		now := time.Now()
		b := w.pool.books()
		switch {
		case w.stopping && b.running+b.waiting+b.done == 0 && w.call == nil:
			return nil
		case w.stopping && now.After(w.killAt):
			return fmt.Errorf("jobs: shutdown: %d handlers still run and %d outcomes could not be stored; these jobs will run again", b.running, b.done+pending(w.call))
		case w.stopping && !now.Before(w.drainAt):
			w.cancel(ErrShutdown)
			w.drainAt = w.killAt.Add(time.Second) // once
		case b.waiting > 0 && w.stale(now, b):
			// Another worker may have a slot for them.
			// All of them: the younger ones must not overtake the older.
			w.pool.putBack(func(*attempt) bool { return true }, driver.Return)
			w.prefetch, w.rate = 0, 0
		case !now.Before(w.nextHit) && (!w.calling || now.Sub(w.nextHit) > w.q.opts.lease()/6):
			// Between two calls, when both sides' books can be compared.
			w.renew(now)
		case w.exchangeDue(now, b):
			w.exchange(now, b)
		default:
			w.sleep(ctx, now, b)
		}
	}
}

func pending(x *driver.Exchange) int {
	if x == nil {
		return 0
	}
	return len(x.Done)
}

// patience is how long a job may wait for a slot.
func (w *worker) patience() time.Duration { return 4*w.trip + 5*time.Millisecond }

// stale tells whether jobs wait here that should not.
func (w *worker) stale(now time.Time, b books) bool {
	if w.stopping {
		return true
	}
	// While a call is under way or to be repeated, what it brings is younger than
	// what waits here, and would run before what was given back.
	return !w.calling && w.call == nil && now.Sub(b.first) >= w.patience()
}

// sleep waits for the next reason to do something.
func (w *worker) sleep(ctx context.Context, now time.Time, b books) {
	if !w.calling && w.room(b) > 0 && w.call == nil && !w.waiting {
		w.waiting = true
		w.ask <- struct{}{}
	}
	until := now.Add(time.Hour)
	sooner := func(at time.Time) {
		if at.After(now) && at.Before(until) {
			until = at
		}
	}
	sooner(w.nextHit)
	sooner(w.retryAt)
	sooner(w.due)
	if b.waiting > 0 {
		sooner(b.first.Add(w.patience()))
		if b.done > 0 {
			sooner(b.oldest.Add(linger))
		}
	}
	if b.notes > 0 {
		sooner(w.noted.Add(noteEvery))
	}
	stop := ctx.Done()
	if w.stopping {
		stop = nil
		sooner(w.drainAt)
		sooner(w.killAt.Add(time.Millisecond))
	}
	if w.calling && !now.Before(w.nextHit) {
		sooner(w.nextHit.Add(w.q.opts.lease()/6 + time.Millisecond))
	}
	w.timer.Reset(until.Sub(now))
	select {
	case <-w.timer.C:
	case <-w.pool.news:
	case a := <-w.answers:
		w.answered(a)
	case <-w.wake:
		w.waiting, w.hungry = false, true
		w.pass = w.room(w.pool.books()) <= 0
	case <-w.nudge:
		w.nextHit = now
	case <-stop:
		w.stopping = true
		w.drainAt = time.Now().Add(w.q.opts.drainTimeout())
		w.killAt = w.drainAt.Add(grace)
	}
}

// room is how many jobs may be taken now.
func (w *worker) room(b books) int {
	if w.stopping || !w.joined || w.jobs.Err() != nil {
		return 0
	}
	return w.pool.size + w.prefetch - b.running - b.waiting
}

// holdOff spreads the repetitions of a failing call: 50 ms to 1 s.
func holdOff(misses int) time.Duration {
	return min(50*time.Millisecond<<min(misses-1, 5), time.Second)
}
