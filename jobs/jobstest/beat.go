package jobstest

import (
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
}

// Beat implements driver.Driver.
func (d *Driver) Beat(ctx context.Context, b driver.Beat) (driver.Pulse, error) {
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
		d.leases[b.Worker].end = now().Add(b.Lease)
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
		j.err = fmt.Sprintf("its worker died %d times", j.crashes)
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
