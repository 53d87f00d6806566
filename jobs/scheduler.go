package jobs

import (
	"context"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// seenEvery is how often a process tells the store that it has a schedule in
// code, and looks at the store's clock anew.
const seenEvery = time.Hour

// schedule fires the schedules in code until ctx ends. Each waits for its own
// next tick on the store's clock; the earliest decides how long the loop sleeps.
func (q *Queue) schedule(ctx context.Context) {
	for ctx.Err() == nil {
		q.mu.RLock()
		entries := make([]*entry, 0, len(q.entries))
		for _, e := range q.entries {
			entries = append(entries, e)
		}
		q.mu.RUnlock()

		sleep := seenEvery // a moved wall clock is noticed after this at the latest
		for _, e := range entries {
			wait, err := q.advance(ctx, e)
			if err != nil && ctx.Err() == nil {
				q.opts.logger().WarnContext(ctx, "jobs: schedule not fired, will be repeated", "schedule", e.key, "error", err)
				wait = time.Second
			}
			sleep = min(sleep, wait)
		}
		nap(ctx, max(sleep, time.Millisecond), q.changed)
	}
}

// advance fires what is due of e and says how long until it is again.
func (q *Queue) advance(ctx context.Context, e *entry) (time.Duration, error) {
	for {
		now := e.now.Add(q.now().Sub(e.asked))
		if !e.known || q.now().Sub(e.asked) > seenEvery {
			if err := q.fire(ctx, e, driver.Tick{Name: e.key}); err != nil {
				return 0, err
			}
			continue
		}
		if e.noted.IsZero() || q.now().Sub(e.noted) >= seenEvery {
			q.note(ctx, e)
		}
		tick, _ := e.next(now)
		if tick.IsZero() {
			return seenEvery, nil
		}
		if at := tick.Add(e.jitter); at.After(now) {
			return at.Sub(now), nil
		}
		job, err := e.job(q, tick)
		if err != nil {
			return 0, err
		}
		if err := q.fire(ctx, e, driver.Tick{Name: e.key, At: tick, Job: &job}); err != nil {
			return 0, err
		}
	}
}

func (q *Queue) fire(ctx context.Context, e *entry, t driver.Tick) error {
	t.Known = e.known
	fired, err := q.driver.Fire(ctx, t)
	if err != nil {
		return err
	}
	e.known, e.last, e.now, e.asked = true, fired.Last, fired.Now, q.now()
	if fired.Fired {
		q.receipt(ctx, *t.Job, driver.Pushed{Holder: fired.Holder})
	}
	return nil
}

// note writes a schedule in code down, for processes that do not have it. It
// is no condition for firing it.
func (q *Queue) note(ctx context.Context, e *entry) {
	scheduler, ok := q.driver.(driver.Scheduler)
	if !ok {
		return
	}
	e.noted = q.now()
	p, err := e.plan(q.opts)
	var data []byte
	if err == nil {
		p.Seen = e.now.Unix()
		data, err = p.encode()
	}
	if err == nil {
		_, err = scheduler.PutSchedule(ctx, driver.PutSchedule{Key: e.key, Data: data})
	}
	if err != nil && ctx.Err() == nil {
		q.opts.logger().WarnContext(ctx, "jobs: schedule in code not written down, will be repeated", "schedule", e.key, "error", err)
		e.noted = e.noted.Add(time.Minute - seenEvery)
	}
}
