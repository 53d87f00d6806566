package jobs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ashlar-go/ashlar/jobs/internal/cron"

	"github.com/ashlar-go/ashlar/jobs/driver"
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

	// MaxAttempts is EnqueueOptions.MaxAttempts of the jobs. Zero means
	// Options.MaxAttempts. Negative is an error.
	MaxAttempts int
}

// entry is one schedule of this process.
type entry struct {
	name  string
	spec  *cron.Schedule
	args  Args
	opts  CronOptions
	known bool      // last is the store's
	last  time.Time // latest tick, by the store
	now   time.Time // the store's clock when it was asked,
	asked time.Time // by this process's clock
}

// Cron adds a schedule: at each instant of spec a job with args is enqueued,
// once, however many processes run the same schedule under the same name. The
// store keeps the latest tick of each name, so that nothing is repeated or
// forgotten over a restart; a new name starts at the present. The jobs belong
// to no tenant and are named <name>@<unix seconds of the tick>.
//
// spec has five fields (minute hour day-of-month month day-of-week) or is one
// of @hourly, @daily, @weekly, @monthly, @yearly, @every <seconds>. When the
// clocks change, an entry of fixed minutes and hours still runs once a day
// (right after a gap it falls into, the first time in a repeated hour), one
// with * or a step follows the wall clock.
//
// Cron may be called before or during Run, which does the work. An error names
// what is wrong with the name, the expression or the zone.
func (q *Queue) Cron(name, spec string, args Args, opts *CronOptions) error {
	e := &entry{name: name, args: args}
	if opts != nil {
		e.opts = *opts
	}
	if err := checkName("schedule name", name); err != nil {
		return err
	}
	if len(name) > maxName-20 {
		return fmt.Errorf("jobs: schedule name is longer than %d bytes", maxName-20)
	}
	if e.opts.MaxAge < 0 || e.opts.CatchUp < CatchUpOnce || e.opts.CatchUp > CatchUpAll {
		return fmt.Errorf("jobs: schedule %s: CronOptions.MaxAge is negative or CatchUp unknown", name)
	}
	if e.opts.MaxAge == 0 {
		e.opts.MaxAge = 24 * time.Hour
	}
	if e.opts.Zone == "Local" {
		return fmt.Errorf("jobs: schedule %s: zone Local differs between machines; name one", name)
	}
	zone, err := time.LoadLocation(e.opts.Zone)
	if err != nil {
		return fmt.Errorf("jobs: schedule %s: %w", name, err)
	}
	if e.spec, err = cron.Parse(spec, zone, name); err != nil {
		return fmt.Errorf("jobs: schedule %s: %w", name, err)
	}
	if _, err := e.job(time.Unix(0, 0), q.opts.maxPayload()); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.entries[name]; ok {
		return fmt.Errorf("jobs: schedule %s is added twice", name)
	}
	q.entries[name] = e
	select {
	case q.changed <- struct{}{}:
	default:
	}
	return nil
}

func (e *entry) job(tick time.Time, maxPayload int) (driver.Job, error) {
	return NewJob("", e.args, &EnqueueOptions{
		ID: e.name + "@" + strconv.FormatInt(tick.Unix(), 10), MaxAttempts: e.opts.MaxAttempts,
	}, maxPayload)
}

// schedule fires the entries until ctx ends. Each waits for its own next tick
// on the store's clock; the earliest decides how long the loop sleeps.
func (q *Queue) schedule(ctx context.Context) {
	for ctx.Err() == nil {
		q.mu.RLock()
		entries := make([]*entry, 0, len(q.entries))
		for _, e := range q.entries {
			entries = append(entries, e)
		}
		q.mu.RUnlock()

		sleep := time.Hour // a moved wall clock is noticed after this at the latest
		for _, e := range entries {
			wait, err := q.advance(ctx, e)
			if err != nil && ctx.Err() == nil {
				q.opts.logger().WarnContext(ctx, "jobs: schedule not fired, will be repeated", "schedule", e.name, "error", err)
				wait = time.Second
			}
			sleep = min(sleep, wait)
		}
		timer := time.NewTimer(max(sleep, time.Millisecond))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-q.changed:
		}
		timer.Stop()
	}
}

// advance fires what is due of e and says how long until it is again.
func (q *Queue) advance(ctx context.Context, e *entry) (time.Duration, error) {
	for {
		now := e.now.Add(time.Since(e.asked))
		if !e.known || time.Since(e.asked) > time.Hour {
			if err := q.fire(ctx, e, driver.Tick{Name: e.name}); err != nil {
				return 0, err
			}
			continue
		}
		tick := e.next(now)
		if tick.IsZero() {
			return time.Hour, nil
		}
		if tick.After(now) {
			return tick.Sub(now), nil
		}
		job, err := e.job(tick, q.opts.maxPayload())
		if err != nil {
			return 0, err
		}
		if err := q.fire(ctx, e, driver.Tick{Name: e.name, At: tick, Job: &job}); err != nil {
			return 0, err
		}
	}
}

func (q *Queue) fire(ctx context.Context, e *entry, t driver.Tick) error {
	fired, err := q.driver.Fire(ctx, t)
	if err != nil {
		return err
	}
	e.known, e.last, e.now, e.asked = true, fired.Last, fired.Now, time.Now()
	if fired.Fired {
		q.opts.count(ctx, "jobs.enqueued", 1, "kind", e.args.Kind())
	}
	return nil
}

// next is the tick to fire next: one that is overdue, by the catch-up policy,
// or the first one in the future.
func (e *entry) next(now time.Time) time.Time {
	tick := e.spec.Next(e.last)
	if tick.IsZero() || tick.After(now) {
		return tick
	}
	from := e.last
	if oldest := now.Add(-e.opts.MaxAge); from.Before(oldest) {
		from = oldest
	}
	switch e.opts.CatchUp {
	case CatchUpAll:
		var ticks []time.Time
		for t := e.spec.Next(from); !t.IsZero() && !t.After(now); t = e.spec.Next(t) {
			if ticks = append(ticks, t); len(ticks) > 2*mostTicks {
				ticks = slices.Delete(ticks, 0, mostTicks)
			}
		}
		if len(ticks) > 0 {
			return ticks[max(0, len(ticks)-mostTicks)]
		}
	case CatchUpSkip:
		if t := e.spec.Last(from, now); now.Sub(t) < skipGrace {
			return t
		}
	default:
		if t := e.spec.Last(from, now); !t.IsZero() {
			return t
		}
	}
	return e.spec.Next(now)
}
