package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// How the stored schedules of Queue.Schedule are fired.
const (
	claimLimit = 100                   // schedules a call
	claimHold  = 10 * time.Second      // how late their ticks are if this process dies
	claimPause = 20 * time.Millisecond // between calls, unless there is more: ticks that are close share one
	claimLook  = time.Second           // for schedules that other processes add or change,
	claimFirst = 5 * time.Second       // while there is none
)

// fireStored fires stored schedules until ctx ends. All processes do; each
// takes what is due when it looks, and gets the next ones ready while the store
// settles the ones before.
func (q *Queue) fireStored(ctx context.Context, s driver.Scheduler) {
	var settling sync.WaitGroup
	defer settling.Wait()
	trouble := func(err error) {
		if ctx.Err() == nil {
			q.opts.logger().WarnContext(ctx, "jobs: stored schedules not fired, will be repeated", "error", err)
		}
	}
	more := false // is due: ticks are on their way while the store is asked for the next ones
	for ctx.Err() == nil {
		ticks, look, err := q.claimDue(ctx, s)
		if err != nil {
			trouble(err)
			look = time.Now().Add(claimLook)
		}
		settling.Wait()
		if len(ticks) > 0 {
			settling.Go(func() {
				if err := q.settleTicks(ctx, s, ticks); err != nil {
					trouble(err)
				}
			})
		}
		unsure := more // when the schedules are due whose ticks were on their way
		if more = look.IsZero(); more {
			continue
		}
		settling.Wait()
		if !unsure {
			nap(ctx, time.Until(look), q.rescheduled)
		}
	}
}

// claimDue claims what is due, decides what becomes of it, and says when to look
// again, by this process's clock; zero if more is due.
func (q *Queue) claimDue(ctx context.Context, s driver.Scheduler) ([]driver.DueTick, time.Time, error) {
	claimed, err := s.Claim(ctx, driver.Claim{Limit: claimLimit, Hold: claimHold})
	if err != nil {
		return nil, time.Time{}, err
	}
	wait, now := claimed.Next, time.Now()
	ticks := make([]driver.DueTick, 0, len(claimed.Due))
	for _, due := range claimed.Due {
		tick, err := q.dueTick(due, claimed.Now)
		if err != nil {
			// Another process may be able to; else this is said again when the
			// claim has lapsed.
			q.opts.logger().ErrorContext(ctx, "jobs: stored schedule cannot be fired", "schedule", due.Key, "error", err)
			continue
		}
		ticks = append(ticks, tick)
		wait = min(wait, max(0, tick.Next.Sub(claimed.Now))) // claimed.Next knows only when the claim lapses
	}
	switch {
	case claimed.Next == 0 && len(ticks) > 0:
		return ticks, time.Time{}, nil
	case wait < 0:
		wait = claimFirst
	case wait > 0 || len(ticks) == 0:
		wait = min(max(wait, claimPause), claimLook)
	}
	return ticks, now.Add(wait), nil
}

// dueTick decides what becomes of a claimed tick.
func (q *Queue) dueTick(due driver.DueSchedule, now time.Time) (driver.DueTick, error) {
	p, err := q.opts.readPlan(due.Key, due.Data)
	if err != nil {
		return driver.DueTick{}, err
	}
	e, err := p.entry(due.Key, &q.expressions)
	if err != nil {
		return driver.DueTick{}, err
	}
	e.last = due.Tick.Add(-e.jitter - 1)
	t := driver.DueTick{Key: due.Key, Tick: due.Tick}
	tick, after := e.next(now)
	if !tick.IsZero() && !tick.Add(e.jitter).After(now) {
		job, err := e.job(q, tick)
		if err != nil {
			return driver.DueTick{}, err
		}
		t.Job, t.Last = &job, tick
		tick = after
	}
	if tick.IsZero() { // none within 41 years
		tick = now.AddDate(1, 0, 0)
	}
	t.Next = tick.Add(e.jitter)
	return t, nil
}

// settleTicks sends ticks to the store, again if the answer gets lost: a second
// time nothing is fired.
func (q *Queue) settleTicks(ctx context.Context, s driver.Scheduler, ticks []driver.DueTick) error {
	var fired []driver.FiredTick
	for try := 1; ; try++ {
		var err error
		if fired, err = s.FireDue(ctx, ticks); err == nil {
			break
		}
		if try == 5 || ctx.Err() != nil {
			return err
		}
		nap(ctx, time.Duration(try)*200*time.Millisecond, nil)
	}
	for i, f := range fired {
		if f.Fired && ticks[i].Job != nil {
			q.receipt(ctx, *ticks[i].Job, driver.Pushed{Holder: f.Holder})
		}
	}
	return nil
}
