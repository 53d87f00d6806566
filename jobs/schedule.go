package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Schedule is a schedule as operators see it.
type Schedule struct {
	ID      string // addresses it in contexts without a tenant
	Name    string
	Tenant  string // "" if it belongs to none
	Spec    string // the expression
	Kind    string // of its jobs
	Args    json.RawMessage
	Sealed  bool // Options.Codec has sealed the arguments: Args is nil
	Options CronOptions

	SealedBy string // the name of their key, as Entry.SealedBy

	InCode bool      // of Queue.Cron; else of Queue.Schedule
	Seen   time.Time // in code: when a process ran it last, to the hour
	Last   time.Time // the tick that fired last, without its jitter; zero if none has
	Due    time.Time // not in code: when it fires next; zero while it is paused
	Paused bool

	// LastJob is the id of the job of Last. There is none under it once it has
	// finished, unless it is kept, nor if an earlier one was unfinished
	// (CronOptions.NoOverlap).
	LastJob string
}

// Next answers the next n instants after from at which a job is enqueued. It
// works on a Schedule of nothing but Name, Spec and Options, too, with Tenant or
// InCode where they apply (H and jitter differ between a stored schedule and one
// in code), to show what an expression means before it is used; an error says
// what is wrong with it. Pauses and CatchUp do not count, nor does it ask the
// store. n of zero or less answers none.
func (s Schedule) Next(from time.Time, n int) ([]time.Time, error) {
	key := s.ID
	switch {
	case key == "" && s.InCode:
		key = s.Name
	case key == "":
		key = scheduleKey(s.Tenant, s.Name)
	}
	e, err := newEntry(key, s.Name, s.Spec, nil, s.Options, nil)
	if err != nil {
		return nil, err
	}
	var next []time.Time
	for at := from.Add(-e.jitter); len(next) < n; {
		if at = e.cron.Next(at); at.IsZero() {
			break
		}
		next = append(next, at.Add(e.jitter))
	}
	return next, nil
}

// Schedule adds a schedule to the store, or replaces the one of the same name:
// one for each monitor, report or subscription of a customer, as many as there
// are. At each instant of spec (see Cron) a job with args is enqueued, once, by
// whichever process runs the queue, also after all of them were started anew.
// It belongs to the tenant of ctx, as do its jobs and its name; two tenants may
// use the same one.
//
// A new schedule starts at the present. The same schedule again changes nothing
// but the key that a codec has sealed it with, so a program may add it at every
// start. A different one takes the place of the old one at once: a tick of the
// old one that is due and not fired yet is dropped, and a paused schedule stays
// paused. Its last tick stays known. Where programs disagree, the latest call
// counts.
//
// Processes learn of it within a second, of the very first one of a queue
// within five. If a process dies while it fires, the ticks it was about to fire
// are up to ten seconds late.
func (q *Queue) Schedule(ctx context.Context, name, spec string, args Args, opts *CronOptions) error {
	scheduler, err := q.scheduler("schedule")
	if err != nil {
		return err
	}
	if opts == nil {
		opts = &CronOptions{}
	}
	tenant, err := q.opts.tenant(ctx, &EnqueueOptions{NoTenant: opts.NoTenant})
	if err != nil {
		return err
	}
	q.mu.RLock()
	inCode := q.entries[name] != nil
	q.mu.RUnlock()
	if inCode && tenant == "" {
		return fmt.Errorf("jobs: schedule %s is in code", name)
	}
	e, err := newEntry(scheduleKey(tenant, name), name, spec, args, *opts, &q.expressions)
	if err != nil {
		return err
	}
	if _, err := e.job(q, time.Unix(0, 0)); err != nil {
		return err
	}
	data, err := q.changedPlan(ctx, scheduler, e)
	if err != nil || data == nil {
		return err
	}
	err = q.startEntry(e, func(at driver.Start) (driver.Started, error) {
		return scheduler.PutSchedule(ctx, driver.PutSchedule{Key: e.key, Data: data, Start: at})
	})
	if err != nil {
		return fmt.Errorf("jobs: schedule %s: %w", name, err)
	}
	hint(q.rescheduled)
	return nil
}

// changedPlan is the stored form of an entry, or nil if it is sealed and that
// is what the store has: sealed twice it looks different. If the store has it
// under another key, or in the open, that is mended in its place.
func (q *Queue) changedPlan(ctx context.Context, s driver.Scheduler, e *entry) ([]byte, error) {
	p, err := e.plan(q.opts)
	if err != nil {
		return nil, err
	}
	data, err := p.encode()
	if err != nil || p.Sealed == nil {
		return data, err
	}
	found, err := s.FindSchedules(ctx, []string{e.key})
	if err != nil {
		return nil, fmt.Errorf("jobs: schedule: %w", err)
	}
	fresh, err := q.opts.readPlan(e.key, data)
	if err != nil {
		return nil, err
	}
	old, oldErr := parsePlan(found[0].Data)
	opened, openErr := q.opts.openPlan(e.key, old)
	if oldErr != nil || openErr != nil || !reflect.DeepEqual(opened, fresh) {
		return data, nil
	}
	was, known := q.opts.keyOf(old.Sealed)
	if current, _ := q.opts.keyOf(p.Sealed); known && was == current {
		return nil, nil
	}
	// If it has changed meanwhile, whoever did that came later.
	if _, err := s.PutSchedule(ctx, driver.PutSchedule{Key: e.key, Data: data, Old: found[0].Data}); err != nil {
		return nil, fmt.Errorf("jobs: schedule: %w", err)
	}
	return nil, nil
}

// startEntry computes the first tick, by this process's clock if the store agrees
// with it about the present, else by the store's.
func (q *Queue) startEntry(e *entry, put func(driver.Start) (driver.Started, error)) error {
	from := q.now().Add(-startSlack)
	if e.jitter > 0 {
		// A tick that was before the present is not told by its first instant:
		// ask the store what time it is.
		from = from.AddDate(100, 0, 0)
	}
	for range 10 {
		next := e.cron.Next(from)
		if next.IsZero() {
			return errors.New("expression does not fire within 41 years")
		}
		started, err := put(driver.Start{From: from, Next: next.Add(e.jitter)})
		if err != nil || !started.Stale {
			return err
		}
		from = started.Now
	}
	return errors.New("the store answers too slowly to agree about the present")
}

// startSlack is by how much this process's clock may be fast without a second
// call.
const startSlack = 2 * time.Second
