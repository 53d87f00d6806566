package jobstest

import (
	"context"
	"fmt"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Stats implements driver.Driver.
func (d *Driver) Stats(ctx context.Context) (driver.Stats, error) {
	var s driver.Stats
	err := d.call(ctx, OpInspect, func() error {
		s = driver.Stats{
			Ready: len(d.in(driver.Ready)), Scheduled: len(d.in(driver.Scheduled)),
			Running: len(d.in(driver.Running)), Dead: len(d.in(driver.Dead)),
		}
		return nil
	})
	return s, err
}

// List implements driver.Driver.
func (d *Driver) List(ctx context.Context, q driver.ListQuery) ([]driver.Stored, error) {
	var page []driver.Stored
	err := d.call(ctx, OpInspect, func() error {
		if q.State != driver.Ready && q.State != driver.Scheduled && q.State != driver.Dead {
			return fmt.Errorf("jobstest: list: unknown state %q", q.State)
		}
		found := d.in(q.State)
		found = found[min(q.Offset, len(found)):]
		for _, j := range found[:min(q.Limit, len(found))] {
			page = append(page, j.stored())
		}
		return nil
	})
	return page, err
}

// Resolve implements driver.Driver.
func (d *Driver) Resolve(ctx context.Context, ids []string, how driver.Resolution) (int, error) {
	found := 0
	err := d.call(ctx, OpResolve, func() error {
		for _, id := range ids {
			j := d.jobs[id]
			if j == nil || j.state != driver.Dead {
				continue
			}
			found++
			if how == driver.Delete {
				delete(d.jobs, id)
				continue
			}
			j.attempts, j.crashes, j.err = 0, 0, ""
			d.place(j, false)
			d.token()
		}
		return nil
	})
	return found, err
}

// Position implements driver.Positioner.
func (d *Driver) Position(ctx context.Context) (string, error) {
	var position string
	err := d.call(ctx, OpPush, func() error {
		position = d.position
		return nil
	})
	return position, err
}

// PushAt implements driver.Positioner.
func (d *Driver) PushAt(ctx context.Context, from, to string, batch []driver.Job) (bool, error) {
	moved := false
	err := d.call(ctx, OpPush, func() error {
		if d.position != from {
			return nil
		}
		d.store(batch)
		d.position, moved = to, true
		return nil
	})
	return moved, err
}
