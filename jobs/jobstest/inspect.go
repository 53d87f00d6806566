package jobstest

import (
	"context"
	"fmt"

	"github.com/ashlar-go/ashlar/jobs"
)

// Stats implements jobs.Driver.
func (d *Driver) Stats(ctx context.Context) (jobs.Stats, error) {
	var s jobs.Stats
	err := d.call(ctx, OpInspect, func() error {
		s = jobs.Stats{
			Ready: len(d.in(jobs.Ready)), Scheduled: len(d.in(jobs.Scheduled)),
			Running: len(d.in(running)), Dead: len(d.in(jobs.Dead)),
		}
		return nil
	})
	return s, err
}

// List implements jobs.Driver.
func (d *Driver) List(ctx context.Context, q jobs.ListQuery) ([]jobs.Stored, error) {
	var page []jobs.Stored
	err := d.call(ctx, OpInspect, func() error {
		if q.State != jobs.Ready && q.State != jobs.Scheduled && q.State != jobs.Dead {
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

// Resolve implements jobs.Driver.
func (d *Driver) Resolve(ctx context.Context, ids []string, how jobs.Resolution) (int, error) {
	found := 0
	err := d.call(ctx, OpResolve, func() error {
		for _, id := range ids {
			j := d.jobs[id]
			if j == nil || j.state != jobs.Dead {
				continue
			}
			found++
			if how == jobs.Delete {
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

// Position implements jobs.Positioner.
func (d *Driver) Position(ctx context.Context) (string, error) {
	var position string
	err := d.call(ctx, OpPush, func() error {
		position = d.position
		return nil
	})
	return position, err
}

// PushAt implements jobs.Positioner.
func (d *Driver) PushAt(ctx context.Context, from, to string, batch []jobs.Job) (bool, error) {
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
