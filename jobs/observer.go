package jobs

import (
	"context"
	"time"
)

// Observer is told what happens to jobs; a field that is nil is not called, and
// the zero value is told nothing. The functions are called where it happens, by
// many goroutines at a time: they should be quick and must not panic. What each
// of them holds up is said below. Contexts are those of the caller of Enqueue or
// of the handler, so that a trace can be found in them.
type Observer struct {
	// Enqueued is called for each job that was stored, or refused as a
	// duplicate: then r says who holds the key. It is called after the store has
	// answered, by the goroutine of Enqueue, EnqueueMany or Start, which returns
	// after it; for a tick by a goroutine of Run that fires schedules, the next of
	// which wait, with the context of Run. Of job it knows ID, Kind and Tenant. It
	// is not called for jobs of an outbox, nor for one whose answer got lost.
	Enqueued func(ctx context.Context, job Info, r Receipt)

	// Started is called before the handler, OnWork included, by its goroutine,
	// which it holds up; the handler's timeout has begun. Wait is the time since the job was
	// enqueued or due, by the clocks of both processes; that of a tick counts from
	// when it was fired, that of a flow's job from when its stage began. It is
	// negative for a job that runs again and for the OnFailure job of a flow.
	Started func(ctx context.Context, job Info, wait time.Duration)

	// Finished is called after the handler, with its error and what becomes of
	// the job, by the same goroutine, also after a panic. The store learns of it
	// when Finished has returned: a process that dies now runs the job again. The
	// context has no end.
	Finished func(ctx context.Context, job Info, run time.Duration, err error, outcome Outcome)

	// Stuck is called once for a handler that goes on although its context
	// ended, for cause, at least one beat (a third of Options.Lease) ago. It
	// keeps its slot. Like LeaseLost and Reclaimed it is called by the goroutine
	// that renews the lease and fetches jobs: if these three block, the lease ends.
	Stuck func(ctx context.Context, job Info, cause error)

	// LeaseLost is called when others may have got the jobs of this process;
	// so many handlers run.
	LeaseLost func(ctx context.Context, running int)

	// Reclaimed is called when this process found a dead worker: so many of
	// its jobs were given back, so many are dead.
	Reclaimed func(ctx context.Context, jobs, buried int)
}

func (o *Options) observer() *Observer {
	if o == nil {
		return nil
	}
	return o.Observer
}

func (o *Options) observeEnqueued(ctx context.Context, job Info, r Receipt) {
	if b := o.observer(); b != nil && b.Enqueued != nil {
		b.Enqueued(ctx, job, r)
	}
}

func (o *Options) observeStarted(ctx context.Context, a *attempt) {
	if b := o.observer(); b != nil && b.Started != nil {
		b.Started(ctx, a.info, a.waited)
	}
}

func (o *Options) observeFinished(ctx context.Context, a *attempt, err error, outcome Outcome) {
	if b := o.observer(); b != nil && b.Finished != nil {
		b.Finished(context.WithoutCancel(ctx), a.info, a.took, err, outcome)
	}
}

func (o *Options) observeStuck(ctx context.Context, job Info, cause error) {
	if b := o.observer(); b != nil && b.Stuck != nil {
		b.Stuck(context.WithoutCancel(ctx), job, cause)
	}
}

func (o *Options) observeLeaseLost(ctx context.Context, running int) {
	if b := o.observer(); b != nil && b.LeaseLost != nil {
		b.LeaseLost(ctx, running)
	}
}

func (o *Options) observeReclaimed(ctx context.Context, jobs, buried int) {
	if b := o.observer(); b != nil && b.Reclaimed != nil {
		b.Reclaimed(ctx, jobs, buried)
	}
}
