package jobstest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

type lease struct {
	end  time.Time
	seq  uint64
	last []string // the ids handed out for seq

	shown driver.Worker // as of its latest beat
}

// Beat implements driver.Driver.
func (d *Driver) Beat(ctx context.Context, b driver.Beat) (driver.Pulse, error) {
	if err := bounded("beat", len(b.Running)); err != nil {
		return driver.Pulse{}, err
	}
	var pulse driver.Pulse
	err := d.call(ctx, OpBeat, func() error {
		if b.Lease <= 0 {
			pulse = d.reclaim(b.Worker, false, 0)
			return nil
		}
		if d.leases[b.Worker] == nil {
			if !b.Join {
				return fmt.Errorf("jobstest: beat: %w", driver.ErrLeaseLost)
			}
			d.leases[b.Worker] = &lease{}
		}
		d.renew(b)
		d.record(b.Tally)
		d.sweep()
		if expired := d.expired(); expired != "" {
			pulse = d.reclaim(expired, true, b.MaxCrashes)
		}
		d.audit(b, &pulse)
		return nil
	})
	return pulse, err
}

// renew notes what a beat says of its worker and of what that runs.
func (d *Driver) renew(b driver.Beat) {
	l := d.leases[b.Worker]
	l.end = now().Add(b.Lease)
	l.shown = driver.Worker{
		ID: b.Worker, Beat: now(), Lease: b.Lease, Held: len(d.heldBy(b.Worker)), About: slices.Clone(b.About),
	}
	for _, r := range b.Running {
		if j := d.held(b.Worker, r.ID); j != nil && j.started.IsZero() {
			j.started = now().Add(-r.For)
		}
	}
}

// Workers implements driver.Overseer.
func (d *Driver) Workers(ctx context.Context) ([]driver.Worker, error) {
	var list []driver.Worker
	err := d.call(ctx, OpInspect, func() error {
		for _, l := range d.leases {
			w := l.shown
			w.Left, w.About = l.end.Sub(now()), slices.Clone(w.About)
			list = append(list, w)
		}
		slices.SortFunc(list, func(a, b driver.Worker) int { return cmp.Or(cmp.Compare(a.Left, b.Left), cmp.Compare(a.ID, b.ID)) })
		list = list[:min(len(list), driver.MaxWorkers)]
		return nil
	})
	return list, err
}

// expired returns the worker whose lease ended first, or "".
func (d *Driver) expired() string {
	first, end := "", now()
	for worker, l := range d.leases {
		if !l.end.After(end) {
			first, end = worker, l.end
		}
	}
	return first
}

// sweep forgets what was kept long enough.
func (d *Driver) sweep() {
	for _, j := range d.in(driver.Done) {
		if !j.until.After(now()) {
			delete(d.jobs, j.ID)
		}
	}
	for name := range d.keys {
		d.holder(name)
	}
	d.sweepFlows()
}

// audit tells a worker what the store thinks it holds.
func (d *Driver) audit(b driver.Beat, pulse *driver.Pulse) {
	for _, j := range d.heldBy(b.Worker) {
		pulse.Held++
		if j.canceled {
			pulse.Cancel = append(pulse.Cancel, j.ID)
		}
		if b.Audit && !slices.Contains(b.Holding, j.ID) {
			pulse.Unknown = append(pulse.Unknown, j.ID)
		}
	}
	for _, id := range b.Holding {
		if b.Audit && d.held(b.Worker, id) == nil {
			pulse.Lost = append(pulse.Lost, id)
		}
	}
}

// reclaim gives the jobs of a worker back and ends its lease. Nobody waits for
// those of them that are canceled.
func (d *Driver) reclaim(worker string, crashed bool, maxCrashes int) driver.Pulse {
	var pulse driver.Pulse
	var poisoned, canceled []*job // last, since their flows may cancel others of these
	for _, j := range d.heldBy(worker) {
		if crashed {
			j.crashes++
		}
		switch {
		case j.canceled:
			canceled = append(canceled, j)
		case crashed && maxCrashes > 0 && j.crashes >= maxCrashes:
			poisoned = append(poisoned, j)
		default:
			d.cameBack(j)
			d.place(j, true)
			pulse.Reclaimed++
		}
	}
	for _, j := range poisoned {
		j.fail(j.attempts+1, 0, fmt.Sprintf("its worker died %d times", j.crashes))
		d.bury(j)
		pulse.Buried++
	}
	for _, j := range canceled {
		d.drop(j)
	}
	delete(d.leases, worker)
	d.token()
	return pulse
}

// Nudges implements driver.Nudger.
func (d *Driver) Nudges(ctx context.Context, nudge func()) error {
	for {
		var nudged chan struct{}
		err := d.call(ctx, OpNudge, func() error {
			nudged = d.nudged
			return nil
		})
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-nudged:
			nudge()
		}
	}
}

// nudge reaches all that listen now.
func (d *Driver) nudge() {
	close(d.nudged)
	d.nudged = make(chan struct{})
}
