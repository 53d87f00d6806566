package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// attempt is a job in the hands of a worker, and the context of its handler.
//
// Handlers of short jobs often never look at their context, so what it costs
// (a place among the children of the lease's context, a timer) is not paid
// before somebody asks for it: see real.
type attempt struct {
	job   driver.Stored
	epoch int             // of the lease it was taken under
	base  context.Context // ends when the job must be given up
	since time.Time       // when it was taken
	note  func(*attempt, []byte)
	told  bool // the store knows when it began; the loop's

	env      envelope
	info     Info
	deadline time.Time // zero: none
	began    time.Time // zero: the handler has not been called
	took     time.Duration
	waited   time.Duration // before it; negative: not known
	out      driver.Outcome

	mu     sync.Mutex
	ctx    context.Context // what real made
	cancel context.CancelCauseFunc
	cause  error // why it was cancelled before there was a ctx
	ran    bool  // the handler has returned
	late   int   // beats that found it running although its context had ended
}

type attemptKey struct{}

// InfoFrom returns the job that ctx belongs to, or false outside a handler.
func InfoFrom(ctx context.Context) (Info, bool) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return Info{}, false
	}
	return a.info, true
}

// begin is called right before the handler.
func (a *attempt) begin(timeout time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.began = time.Now()
	a.waited = a.wait()
	if timeout > 0 {
		a.deadline = a.began.Add(timeout)
	}
}

// Deadline implements context.Context.
func (a *attempt) Deadline() (time.Time, bool) { return a.deadline, !a.deadline.IsZero() }

// Done implements context.Context.
func (a *attempt) Done() <-chan struct{} { return a.real().Done() }

// Err implements context.Context.
func (a *attempt) Err() error { return a.real().Err() }

// Value implements context.Context. Package context asks for a key of its own
// to find the cause of the end, so that any unknown key needs the real one.
func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) {
		return a
	}
	return a.real().Value(key)
}

// real returns the context that does the work.
func (a *attempt) real() context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx != nil {
		return a.ctx
	}
	a.ctx, a.cancel = context.WithCancelCause(a.base)
	if !a.deadline.IsZero() {
		ctx, stop := context.WithDeadlineCause(a.ctx, a.deadline, ErrTimeout)
		end := a.cancel
		a.ctx, a.cancel = ctx, func(cause error) {
			end(cause)
			stop()
		}
	}
	if a.ran || a.cause != nil {
		a.cancel(a.cause)
	}
	return a.ctx
}

// stop ends the context.
func (a *attempt) stop(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cause == nil {
		a.cause = cause
	}
	if a.cancel != nil {
		a.cancel(cause)
	}
}

// ended says why the handler should have returned by now; nil if it need not.
func (a *attempt) ended(now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.began.IsZero() || a.ran:
		return nil
	case a.ctx != nil && a.ctx.Err() != nil:
		return context.Cause(a.ctx)
	case a.base.Err() != nil:
		return context.Cause(a.base)
	case a.cause != nil:
		return a.cause
	case !a.deadline.IsZero() && !now.Before(a.deadline):
		return ErrTimeout
	}
	return nil
}

// dueSince is when a job was enqueued or is due for the first time; zero if nobody
// knows: it waits in its flow, was stored by an earlier version, or is the
// OnFailure job of a flow.
func dueSince(s driver.Stored, env envelope) time.Time {
	if !s.Since.IsZero() {
		return s.Since
	}
	if env.Due != 0 {
		return time.UnixMilli(env.Due).UTC()
	}
	at, _ := idTime(s.ID)
	return at
}

// wait is how long a job waited for its first attempt, or negative.
func (a *attempt) wait() time.Duration {
	if a.job.Attempts+a.job.Crashes > 0 {
		return -1
	}
	at := dueSince(a.job, a.env)
	if at.IsZero() {
		return -1
	}
	return max(a.began.Sub(at), 0)
}

// finish lets go of what real made.
func (a *attempt) finish() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ran = true
	if a.cancel != nil {
		a.cancel(nil)
	}
}

// running is how long the handler has been running, or negative if it is not.
func (a *attempt) running(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ran || a.began.IsZero() {
		return -1
	}
	return max(now.Sub(a.began), 0)
}

func (a *attempt) over() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ran
}
