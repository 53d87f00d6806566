package jobstest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Stats implements driver.Driver.
func (d *Driver) Stats(ctx context.Context) (driver.Stats, error) {
	var s driver.Stats
	err := d.call(ctx, OpInspect, func() error {
		counts := map[driver.State]int{}
		for _, j := range d.jobs {
			counts[j.state]++
		}
		s = driver.Stats{
			Ready: counts[driver.Ready], Scheduled: counts[driver.Scheduled], Parked: counts[driver.Parked],
			Running: counts[driver.Running], Dead: counts[driver.Dead], Done: counts[driver.Done],
		}
		return nil
	})
	return s, err
}

// shown is a job as List and Find show it.
func (d *Driver) shown(j *job) driver.Stored {
	s := d.stored(j)
	s.State, s.At, s.Worker = j.state, j.at, j.worker
	s.Progress, s.Result = slices.Clone(j.progress), slices.Clone(j.result)
	s.Failures, s.Started, s.Took = slices.Clone(j.failures), j.started, j.took
	return s
}

// List implements driver.Driver.
func (d *Driver) List(ctx context.Context, q driver.ListQuery) ([]driver.Stored, error) {
	if err := paged("list", q.Offset, q.Limit); err != nil {
		return nil, err
	}
	var page []driver.Stored
	err := d.call(ctx, OpInspect, func() error {
		switch q.State {
		case driver.Ready, driver.Scheduled, driver.Parked, driver.Running, driver.Dead, driver.Done:
		default:
			return fmt.Errorf("jobstest: list: unknown state %q", q.State)
		}
		found := d.in(q.State)
		found = found[min(q.Offset, len(found)):]
		for _, j := range found[:min(q.Limit, len(found))] {
			s := d.shown(j)
			s.Since = time.Time{}
			page = append(page, s)
		}
		return nil
	})
	return page, err
}

// Find implements driver.Finder.
func (d *Driver) Find(ctx context.Context, ids []string) ([]driver.Stored, error) {
	if err := bounded("find", len(ids)); err != nil {
		return nil, err
	}
	var found []driver.Stored
	err := d.call(ctx, OpInspect, func() error {
		for _, id := range ids {
			s := driver.Stored{ID: id}
			if j := d.jobs[id]; j != nil {
				s = d.shown(j)
			}
			found = append(found, s)
		}
		return nil
	})
	return found, err
}

// Resolve implements driver.Driver.
func (d *Driver) Resolve(ctx context.Context, ids []string, how driver.Resolution) (int, error) {
	return d.resolve(ctx, ids, how, func(*job) bool { return true })
}

func (d *Driver) resolve(ctx context.Context, ids []string, how driver.Resolution, match func(*job) bool) (int, error) {
	found := 0
	err := d.call(ctx, OpResolve, func() error {
		act := map[driver.Resolution]func(*job) bool{
			driver.Requeue: d.requeue, driver.Delete: d.delete, driver.Cancel: d.cancel,
		}[how]
		if act == nil {
			return fmt.Errorf("jobstest: resolve: unknown resolution %q", how)
		}
		live := map[string]bool{} // what a flow cancels on account of another counts like that
		for _, id := range ids {
			j := d.jobs[id]
			live[id] = j != nil && match(j) && (waits(j.state) || j.state == driver.Running)
		}
		for _, id := range ids {
			j := d.jobs[id]
			if j != nil && match(j) && act(j) || how == driver.Cancel && live[id] {
				found++
			}
		}
		return nil
	})
	return found, err
}

func (d *Driver) requeue(j *job) bool {
	switch j.state {
	case driver.Dead:
		j.attempts, j.crashes, j.err, j.failures = 0, 0, "", nil
		d.retake(j)
		d.stepRequeued(j.ID)
	case driver.Scheduled:
	default:
		return false
	}
	d.place(j, false)
	d.token()
	return true
}

func (d *Driver) delete(j *job) bool {
	if j.state != driver.Dead && j.state != driver.Done {
		return false
	}
	delete(d.jobs, j.ID)
	return true
}

func (d *Driver) cancel(j *job) bool {
	switch {
	case waits(j.state):
		d.drop(j)
	case j.state == driver.Running:
		j.canceled = true
		d.nudge()
	default:
		return false
	}
	return true
}
