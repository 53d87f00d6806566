package jobs

import (
	"errors"
	"fmt"
	"time"
)

// CatchUp says what happens with the ticks of a schedule that were due while
// no scheduler ran.
type CatchUp int

// The catch-up policies.
const (
	CatchUpOnce CatchUp = iota // one job, for the latest missed tick
	CatchUpSkip                // none, unless the tick is less than a minute old
	CatchUpAll                 // each, oldest first, the latest hundred at most
)

const (
	skipGrace = time.Minute
	mostTicks = 100
)

// CronOptions configure a schedule. A nil pointer means the zero value.
type CronOptions struct {
	// Zone is the IANA time zone the expression is read in; machines without
	// zone files need the import of time/tzdata. Empty means UTC.
	Zone string

	// CatchUp is the policy for missed ticks. Zero means CatchUpOnce.
	CatchUp CatchUp

	// MaxAge is how old a missed tick may be to be caught up with. Zero means
	// 24 hours. Negative is an error.
	MaxAge time.Duration

	// NoOverlap passes a tick over while the job of an earlier one is
	// unfinished: its jobs have the Key "schedule:<name>". False means that
	// jobs of a slow schedule run side by side.
	NoOverlap bool

	// Jitter puts every tick off by a time below it, which is always the same
	// for one name and differs between names: so that a thousand schedules of
	// the full hour do not start at once. Milliseconds. Zero means none.
	// Negative or above 24 hours is an error.
	Jitter time.Duration

	// Priority is EnqueueOptions.Priority of the jobs. Zero means
	// PriorityNormal.
	Priority Priority

	// MaxAttempts is EnqueueOptions.MaxAttempts of the jobs. Zero means
	// Options.MaxAttempts. Negative is an error.
	MaxAttempts int

	// NoTenant makes the schedule, and its jobs, belong to no tenant, whatever
	// the context of Schedule says. Those of Cron never have one. False means
	// the context's.
	NoTenant bool
}

func (o *CronOptions) check() error {
	switch {
	case o.MaxAge < 0:
		return errors.New("CronOptions.MaxAge is negative")
	case o.CatchUp < CatchUpOnce || o.CatchUp > CatchUpAll:
		return fmt.Errorf("CronOptions.CatchUp %d is unknown", o.CatchUp)
	case o.Jitter < 0 || o.Jitter > 24*time.Hour:
		return errors.New("CronOptions.Jitter is negative or above 24 hours")
	case o.Zone == "Local":
		return errors.New("zone Local differs between machines; name one")
	}
	return nil
}

// maxAge is how old a missed tick may be.
func (o *CronOptions) maxAge() time.Duration {
	if o.MaxAge == 0 {
		return 24 * time.Hour
	}
	return o.MaxAge
}

// Cron adds a schedule that is part of the program: at each instant of spec a
// job with args is enqueued, once, however many processes run the same schedule
// under the same name. The store keeps the latest tick of each name, so that
// nothing is repeated or forgotten over a restart; a new name starts at the
// present. The jobs belong to no tenant and are named <name>@<unix seconds of
// the tick>. For schedules that come and go at run time there is
// Queue.Schedule.
//
// spec has five fields (minute hour day-of-month month day-of-week), or six
// with the second before them, or is one of @hourly, @daily, @weekly, @monthly,
// @yearly, @every <duration of whole seconds>. A field is a list of *, n, a-b,
// each with an optional /step, and names (mon, jan); H is a value that is always
// the same for one name and differs between names, as in "H H(1-4) * * *" or
// "H/15 * * * *"; a day of month may be L (the last), L-3, 15W (the weekday
// nearest to the 15th) or LW, a weekday 5L (the last Friday) or 1#2 (the second
// Monday). If both days are restricted, either is enough.
//
// When the clocks change, an entry of fixed seconds, minutes and hours still
// runs once a day (right after a gap it falls into, the first time in a
// repeated hour), one with * or a step follows the wall clock.
//
// While processes of two versions of a program run side by side, with different
// expressions under one name, the ticks of both are fired, each once.
//
// Cron may be called before or during Run, which does the work. An error names
// what is wrong with the name, the expression or the zone.
func (q *Queue) Cron(name, spec string, args Args, opts *CronOptions) error {
	if opts == nil {
		opts = &CronOptions{}
	}
	e, err := newEntry(name, name, spec, args, *opts, &q.expressions)
	if err != nil {
		return err
	}
	if _, err := e.job(q, time.Unix(0, 0)); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.entries[name]; ok {
		return fmt.Errorf("jobs: schedule %s is added twice", name)
	}
	q.entries[name] = e
	hint(q.changed)
	return nil
}
