package jobstest

import (
	"context"
	"fmt"
	"slices"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Exchange implements driver.Driver.
func (d *Driver) Exchange(ctx context.Context, x driver.Exchange) (driver.Batch, error) {
	if err := bounded("exchange", max(len(x.Done), len(x.Notes))); err != nil {
		return driver.Batch{}, err
	}
	var batch driver.Batch
	err := d.call(ctx, OpExchange, func() error {
		l := d.leases[x.Worker]
		if l == nil {
			return fmt.Errorf("jobstest: exchange: %w", driver.ErrLeaseLost)
		}
		if l.seq != x.Seq {
			for _, o := range x.Done {
				d.settle(x.Worker, o)
			}
			for _, n := range x.Notes {
				if j := d.held(x.Worker, n.ID); j != nil {
					j.progress = slices.Clone(n.Data)
				}
			}
			d.promote()
			l.seq, l.last = x.Seq, d.take(x.Worker, x.Want, x.Each)
		}
		for _, id := range l.last {
			if j := d.held(x.Worker, id); j != nil {
				batch.Jobs = append(batch.Jobs, d.stored(j))
			}
		}
		g := d.gate()
		batch.Ready, batch.Next = d.startable(g), d.next(g)
		if batch.Ready > 0 {
			d.token()
		}
		for _, j := range d.heldBy(x.Worker) {
			if j.canceled && !j.told {
				j.told = true
				batch.Cancel = append(batch.Cancel, j.ID)
			}
		}
		return nil
	})
	return batch, err
}

// held returns a job that a worker holds, or nil.
func (d *Driver) held(worker, id string) *job {
	if j := d.jobs[id]; j != nil && j.state == driver.Running && j.worker == worker {
		return j
	}
	return nil
}

func (d *Driver) heldBy(worker string) []*job {
	return slices.DeleteFunc(d.in(driver.Running), func(j *job) bool { return j.worker != worker })
}

func (d *Driver) settle(worker string, o driver.Outcome) {
	j := d.held(worker, o.ID)
	if j == nil {
		return
	}
	action := o.Action
	if j.canceled && (action == driver.Retry || action == driver.Return) {
		action = driver.Drop
	}
	switch action {
	case driver.Finish:
		d.finish(j, o)
	case driver.Drop:
		d.drop(j)
	case driver.Retry:
		j.attempts++
		j.fail(j.attempts, o.Took, o.Error)
		d.schedule(j, now().Add(o.Delay))
	case driver.Bury:
		j.attempts++
		j.fail(j.attempts, o.Took, o.Error)
		d.bury(j)
	case driver.Return:
		d.cameBack(j)
		if o.Delay > 0 {
			d.schedule(j, now().Add(o.Delay))
		} else {
			d.place(j, true)
		}
	}
}

func (d *Driver) finish(j *job, o driver.Outcome) {
	d.finished(j)
	if o.Keep <= 0 {
		delete(d.jobs, j.ID)
	} else {
		d.enter(j, driver.Done)
		j.at, j.until, j.result, j.took = now(), now().Add(o.Keep), slices.Clone(o.Result), o.Took
	}
	d.stepDone(j.ID, o.Result)
}

// drop forgets a job, and its key whatever its scope.
func (d *Driver) drop(j *job) {
	d.free(j)
	d.enter(j, "")
	delete(d.jobs, j.ID)
	d.stepFailed(j.ID, "cancelled")
}

func (d *Driver) bury(j *job) {
	d.free(j)
	d.enter(j, driver.Dead)
	j.at = now()
	d.stepFailed(j.ID, j.err)
}

// take hands out jobs, and parks on the way what is held back.
func (d *Driver) take(worker string, want, each int) []string {
	var ids []string
	turns := map[string]int{}
	g, ready := d.gate(), d.in(driver.Ready)
	want = min(max(want, 0), driver.MaxBatch, g.queue)
	start := func(j *job) {
		d.enter(j, driver.Running)
		j.worker = worker
		d.started(j)
		d.charge(j)
		g.spend(j)
		ids = append(ids, j.ID)
		turns[j.Tenant]++
	}

	// Parked jobs go ahead of those of their tenant that came later, and take
	// half of the places at most while there are others.
	share := want
	if len(ready) > 0 {
		share = (want + 1) / 2
	}
	for _, j := range d.in(driver.Parked) {
		switch holds := g.holds(j); {
		case holds == "" && len(ids) < share && (each <= 0 || turns[j.Tenant] < each):
			start(j)
		case holds != "" && holds != j.group:
			d.park(j, holds)
		}
	}
	for _, j := range ready {
		if len(ids) == want || each > 0 && turns[j.Tenant] == each { // those behind it must not overtake it
			break
		}
		d.order.passed(j)
		if holds := g.holds(j); holds != "" {
			d.park(j, holds)
			continue
		}
		start(j)
	}
	if len(d.in(driver.Ready)) == 0 {
		d.order.reset()
	}
	return ids
}

func (d *Driver) park(j *job, group string) {
	d.enter(j, driver.Parked)
	d.parkings++
	j.group, j.parking = group, d.parkings
	d.parked[group]++
}

func (d *Driver) stored(j *job) driver.Stored {
	s := driver.Stored{
		ID: j.ID, Tenant: j.Tenant, Body: slices.Clone(j.Body), Attempts: j.attempts, Crashes: j.crashes, Error: j.err,
	}
	if f, step := d.step(j.ID); f != nil && step.state == driver.Running {
		s.Since = step.since
	}
	return s
}
