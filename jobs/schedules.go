package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Unschedule removes schedules of Queue.Schedule of the tenant of ctx, and
// answers how many there were. Without a tenant in ctx it takes ids of any
// tenant, and names, also of a schedule in code that no process has any more:
// one that a process ran within the last two hours is refused with ErrInCode,
// before anything is removed, since it would be there again. A job that is
// enqueued already is run.
//
// Should a process run one all the same, such as one that could not write its
// note, the ticks are fired there as before, each once; a process that starts
// afterwards begins at the present, as with a new name.
func (q *Queue) Unschedule(ctx context.Context, names ...string) (int, error) {
	scheduler, err := q.scheduler("unschedule")
	if err != nil {
		return 0, err
	}
	var keys []string
	for _, name := range names {
		keys = append(keys, q.scheduleKeys(ctx, name)...)
	}
	if err := q.checkLeft(ctx, scheduler, keys); err != nil {
		return 0, err
	}
	total := 0
	for len(keys) > 0 {
		part := keys[:min(len(keys), driver.MaxBatch)]
		keys = keys[len(part):]
		n, err := scheduler.DropSchedules(ctx, part)
		total += n
		if err != nil {
			return total, fmt.Errorf("jobs: unschedule: %w", err)
		}
	}
	return total, nil
}

// Alive tells whether the schedule is in the code of a process that ran within
// the two hours before now; those do say so each hour. One of Queue.Schedule is
// in no code.
func (s Schedule) Alive(now time.Time) bool { return s.InCode && now.Sub(s.Seen) <= 2*seenEvery }

// checkLeft refuses schedules that are in the code of a process that runs.
func (q *Queue) checkLeft(ctx context.Context, s driver.Scheduler, keys []string) error {
	var inCode []string
	for _, key := range keys {
		if _, _, is := splitScheduleKey(key); is {
			inCode = append(inCode, key)
		}
	}
	for part := range slices.Chunk(inCode, driver.MaxBatch) {
		found, err := s.FindSchedules(ctx, part)
		if err != nil {
			return fmt.Errorf("jobs: unschedule: %w", err)
		}
		for _, one := range found {
			if len(one.Data) > 0 && q.showSchedule(one).Alive(q.now()) {
				return fmt.Errorf("jobs: unschedule %s: %w", one.Key, ErrInCode)
			}
		}
	}
	return nil
}

// PauseSchedule stops a schedule, also one in code, until ResumeSchedule: its
// ticks are passed over. It names it as Unschedule does. ErrNoSchedule means
// that there is none.
func (q *Queue) PauseSchedule(ctx context.Context, name string) error {
	scheduler, found, err := q.findSchedule(ctx, "pause", name)
	if err != nil {
		return err
	}
	ok, err := scheduler.PauseSchedule(ctx, found.Key)
	switch {
	case err != nil:
		return fmt.Errorf("jobs: pause schedule %s: %w", name, err)
	case !ok: // removed meanwhile
		return fmt.Errorf("jobs: pause schedule %s: %w", name, ErrNoSchedule)
	}
	return nil
}

// ResumeSchedule lets a paused schedule go on at the present. One that is not
// paused goes on as it does.
func (q *Queue) ResumeSchedule(ctx context.Context, name string) error {
	scheduler, found, err := q.findSchedule(ctx, "resume", name)
	if err != nil {
		return err
	}
	resume := func(at driver.Start) (driver.Started, error) {
		return scheduler.ResumeSchedule(ctx, found.Key, at)
	}
	if _, _, inCode := splitScheduleKey(found.Key); inCode {
		_, err = resume(driver.Start{})
	} else if e, readErr := q.readEntry(found); readErr != nil {
		err = readErr
	} else {
		err = q.startEntry(e, resume)
	}
	if err != nil {
		return fmt.Errorf("jobs: resume schedule %s: %w", name, err)
	}
	hint(q.rescheduled)
	return nil
}

// RunNow enqueues a job of a schedule, also of one in code or one that is
// paused, beside its ticks. It names it as Unschedule does. With
// CronOptions.NoOverlap and an unfinished job the receipt names that one.
func (q *Queue) RunNow(ctx context.Context, name string) (Receipt, error) {
	_, found, err := q.findSchedule(ctx, "run", name)
	if err != nil {
		return Receipt{}, err
	}
	e, err := q.readEntry(found)
	if err != nil {
		return Receipt{}, fmt.Errorf("jobs: run schedule %s: %w", name, err)
	}
	tenant, short, _ := splitScheduleKey(found.Key)
	job, err := q.opts.jobOf(ctx, tenant, e.args, e.enqueueOptions(short), "")
	if err != nil {
		return Receipt{}, err
	}
	return q.enqueue(ctx, job)
}

// Schedules pages through the schedules, in no order, about limit (1 to 500) at
// a time: the first cursor is "", and next is "" on the last page. What changes
// meanwhile may be missing or be there twice. With a tenant in ctx it answers
// those of the tenant only, else those of all and those in code, which are
// there once a process has run them. Like List it never opens what is sealed.
func (q *Queue) Schedules(ctx context.Context, cursor string, limit int) (page []Schedule, next string, err error) {
	if limit < 1 || limit > driver.MaxBatch {
		return nil, "", fmt.Errorf("jobs: schedules: want a limit of 1 to %d", driver.MaxBatch)
	}
	scheduler, err := q.scheduler("list")
	if err != nil {
		return nil, "", err
	}
	tenant := q.contextTenant(ctx)
	for seen := 0; seen < maxSearch; seen += limit {
		stored, after, err := scheduler.Schedules(ctx, cursor, limit)
		if err != nil {
			return nil, "", fmt.Errorf("jobs: schedules: %w", err)
		}
		for _, s := range stored {
			if shown := q.showSchedule(s); tenant == "" || shown.Tenant == tenant && !shown.InCode {
				page = append(page, shown)
			}
		}
		if cursor = after; cursor == "" || len(page) >= limit/2 {
			break
		}
	}
	return page, cursor, nil
}

// showSchedule shows an unreadable one by its name.
func (q *Queue) showSchedule(s driver.Schedule) Schedule {
	p, _ := parsePlan(s.Data)
	shown := Schedule{
		ID: s.Key, Spec: p.Spec, Kind: p.Kind, Args: p.Args, Sealed: p.Sealed != nil, Options: p.options(),
		Last: s.Last, Due: s.Next, Paused: s.Paused,
	}
	shown.SealedBy, _ = q.opts.keyOf(p.Sealed)
	shown.Tenant, shown.Name, shown.InCode = splitScheduleKey(s.Key)
	if !s.Last.IsZero() {
		shown.LastJob = tickID(s.Key, s.Last)
	}
	if p.Seen > 0 {
		shown.Seen = time.Unix(p.Seen, 0).UTC()
	}
	return shown
}

func (q *Queue) scheduler(what string) (driver.Scheduler, error) {
	s, ok := q.driver.(driver.Scheduler)
	if !ok {
		return nil, fmt.Errorf("jobs: %s: the driver cannot keep schedules: %w", what, errors.ErrUnsupported)
	}
	return s, nil
}

// scheduleKeys are the keys that a name may stand for. With a tenant in ctx it
// is never another one's.
func (q *Queue) scheduleKeys(ctx context.Context, name string) []string {
	if tenant := q.contextTenant(ctx); tenant != "" {
		name = strings.TrimPrefix(name, tenant+" ")
		if checkName("schedule name", name) != nil {
			return nil
		}
		return []string{scheduleKey(tenant, name)}
	}
	if strings.Contains(name, " ") {
		return []string{name}
	}
	return []string{scheduleKey("", name), name}
}

func (q *Queue) findSchedule(ctx context.Context, what, name string) (driver.Scheduler, driver.Schedule, error) {
	scheduler, err := q.scheduler(what)
	if err != nil {
		return nil, driver.Schedule{}, err
	}
	found, err := scheduler.FindSchedules(ctx, q.scheduleKeys(ctx, name))
	if err != nil {
		return nil, driver.Schedule{}, fmt.Errorf("jobs: %s schedule %s: %w", what, name, err)
	}
	for _, s := range found {
		if len(s.Data) > 0 {
			return scheduler, s, nil
		}
	}
	return nil, driver.Schedule{}, fmt.Errorf("jobs: %s schedule %.100q: %w", what, name, ErrNoSchedule)
}

func (q *Queue) readEntry(s driver.Schedule) (*entry, error) {
	p, err := q.opts.readPlan(s.Key, s.Data)
	if err != nil {
		return nil, err
	}
	return p.entry(s.Key, &q.expressions)
}
