package jobstest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Push implements driver.Driver.
func (d *Driver) Push(ctx context.Context, p driver.Push) ([]driver.Pushed, error) {
	if err := cmp.Or(bounded("push", len(p.Jobs)), fits("push", p.Jobs...)); err != nil {
		return nil, err
	}
	var pushed []driver.Pushed
	err := d.call(ctx, OpPush, func() error {
		if n := d.countNew(p.Jobs); p.MaxDepth > 0 && n > 0 && d.unfinished()+n > p.MaxDepth {
			return fmt.Errorf("jobstest: push: %w", driver.ErrQueueFull)
		}
		pushed = d.store(p.Jobs)
		return nil
	})
	return pushed, err
}

func (d *Driver) unfinished() int {
	n := 0
	for _, j := range d.jobs {
		if j.state != driver.Dead && j.state != driver.Done {
			n++
		}
	}
	return n
}

// countNew is how many of the jobs are neither known nor held back by their key.
func (d *Driver) countNew(batch []driver.Job) int {
	ids, keys := map[string]bool{}, map[string]string{}
	for _, in := range batch {
		holder := cmp.Or(d.holder(in.Unique), keys[in.Unique], in.ID)
		if holder != in.ID || ids[in.ID] || d.jobs[in.ID] != nil {
			continue
		}
		ids[in.ID] = true
		if in.Unique != "" {
			keys[in.Unique] = in.ID
		}
	}
	return len(ids)
}

// bounded refuses what no caller may ask for.
func bounded(op string, n int) error {
	if n > driver.MaxBatch {
		return fmt.Errorf("jobstest: %s: %d at a time, the limit is %d", op, n, driver.MaxBatch)
	}
	return nil
}

// paged refuses a page that is none.
func paged(op string, offset, limit int) error {
	if offset < 0 || limit < 1 || limit > driver.MaxBatch {
		return fmt.Errorf("jobstest: %s: want a limit of 1 to %d and an offset of at least 0", op, driver.MaxBatch)
	}
	return nil
}

// fits refuses jobs that no store need be able to keep.
func fits(op string, batch ...driver.Job) error {
	for _, j := range batch {
		if len(j.Tenant) > driver.MaxTenant {
			return fmt.Errorf("jobstest: %s: job %s: tenant is longer than %d bytes", op, j.ID, driver.MaxTenant)
		}
	}
	return nil
}

func (d *Driver) store(batch []driver.Job) []driver.Pushed {
	pushed := make([]driver.Pushed, len(batch))
	for i, in := range batch {
		in.Body = slices.Clone(in.Body)
		if holder := d.holder(in.Unique); holder != "" && holder != in.ID {
			pushed[i] = driver.Pushed{Holder: holder, Replaced: d.replace(holder, in)}
			continue
		}
		if known := d.jobs[in.ID]; known != nil {
			pushed[i].Taken = known.Tenant != in.Tenant
			continue
		}
		d.hold(in)
		j := &job{Job: in}
		d.jobs[in.ID] = j
		d.put(j)
	}
	return pushed
}

// replace gives the waiting holder of a key what a later job of scope Replace
// brings.
func (d *Driver) replace(holder string, in driver.Job) bool {
	j := d.jobs[holder]
	if in.Scope != driver.Replace || j == nil || !waits(j.state) {
		return false
	}
	in.ID = holder
	d.enter(j, "")
	j.Job = in
	d.put(j)
	return true
}

func waits(s driver.State) bool {
	return s == driver.Ready || s == driver.Scheduled || s == driver.Parked
}

// put makes a job ready or puts it off.
func (d *Driver) put(j *job) {
	at := j.At
	if at.IsZero() {
		at = now().Add(j.Delay)
	}
	if at.After(now()) {
		d.schedule(j, at)
	} else {
		d.place(j, false)
	}
	d.token()
}

func (d *Driver) schedule(j *job, at time.Time) {
	d.enter(j, driver.Scheduled)
	j.at = at
}

// promote makes the jobs ready whose time has come.
func (d *Driver) promote() {
	t := now()
	for _, j := range d.in(driver.Scheduled) {
		if !j.at.After(t) {
			d.place(j, false)
		}
	}
}

// Fire implements driver.Driver.
func (d *Driver) Fire(ctx context.Context, t driver.Tick) (driver.Fired, error) {
	var fired driver.Fired
	if t.Job != nil {
		if err := fits("fire", *t.Job); err != nil {
			return fired, err
		}
	}
	t.At = t.At.UTC().Truncate(time.Millisecond)
	err := d.call(ctx, OpFire, func() error {
		fired.Now = now().Truncate(time.Millisecond)
		if _, ok := d.ticks[t.Name]; !ok {
			at, dropped := d.dropped[t.Name]
			if !t.Known || !dropped {
				at = fired.Now
			}
			d.ticks[t.Name] = at
			delete(d.dropped, t.Name)
		}
		if t.Job != nil && t.At.After(d.ticks[t.Name]) && !t.At.After(fired.Now) {
			if s := d.schedules[t.Name]; s == nil || !s.paused {
				fired.Holder = d.store([]driver.Job{*t.Job})[0].Holder
				fired.Fired = true
				d.fired[t.Name] = t.At
			}
			d.ticks[t.Name] = t.At
		}
		fired.Last = d.ticks[t.Name]
		return nil
	})
	return fired, err
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
	if err := fits("push at", batch...); err != nil {
		return false, err
	}
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
