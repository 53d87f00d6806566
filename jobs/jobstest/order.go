package jobstest

import "github.com/ashlar-go/ashlar/jobs/driver"

// order is self-clocked fair queueing (Golestani, INFOCOM 1994), for each
// priority on its own. A job of weight 1 takes one unit of virtual time; it
// begins when its tenant's job before it ends, or now, which is the end of the
// job that was taken last.
type order struct {
	clock  map[driver.Priority]float64
	finish map[turn]float64
	fronts int // jobs put in front so far: they keep their order
}

type turn struct {
	priority driver.Priority
	tenant   string
}

// place makes a job ready: fairly behind the others, or ahead of them all.
func (d *Driver) place(j *job, front bool) {
	d.enter(j, driver.Ready)
	clock, line := d.order.clock[j.Priority], turn{j.Priority, j.Tenant}
	if front {
		const ahead = 0.001 // of those whose turn has come as well
		d.order.fronts++
		j.score = clock - ahead + 1e-9*float64(d.order.fronts%1_000_000)
		return
	}
	j.score = max(clock, d.order.finish[line]) + 1/float64(d.rules.weight(j.Tenant))
	d.order.finish[line] = j.score
}

// passed moves the clock to a job that was taken or parked.
func (o *order) passed(j *job) { o.clock[j.Priority] = j.score }

// reset lets every tenant start equal again; for when nobody waits.
func (o *order) reset() {
	clear(o.clock)
	clear(o.finish)
}
