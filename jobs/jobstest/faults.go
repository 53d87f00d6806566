package jobstest

import "context"

// Op names a kind of call for Fail and LoseReply.
type Op string

// The kinds of calls.
const (
	OpPush      Op = "push" // also PushAt and Position
	OpExchange  Op = "exchange"
	OpBeat      Op = "beat"
	OpWait      Op = "wait"
	OpNudge     Op = "nudge"
	OpFire      Op = "fire"
	OpInspect   Op = "inspect" // Stats, List, Find, Control, History and Schedules
	OpResolve   Op = "resolve"
	OpConfigure Op = "configure"
	OpSchedule  Op = "schedule" // what changes, claims or fires stored schedules
)

type fault struct {
	err   error
	left  int  // calls it still hits; negative: all
	after bool // the call takes effect and then fails
}

// Fail makes the next n calls of an operation fail with err and do nothing: a
// server that cannot be reached. A negative n means until the next Fail or
// LoseReply, zero ends a fault.
func (d *Driver) Fail(op Op, n int, err error) { d.setFault(op, &fault{err: err, left: n}) }

// LoseReply makes the next n calls of an operation take effect and yet answer
// err: a connection that breaks in between.
func (d *Driver) LoseReply(op Op, n int, err error) {
	d.setFault(op, &fault{err: err, left: n, after: true})
}

func (d *Driver) setFault(op Op, f *fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults[op] = f
}

// Crash ends every lease as if the workers had died long ago: their jobs are
// given back at once, a crash is counted for each, and the workers, if they
// still live, find their leases lost. It answers how many jobs were held.
func (d *Driver) Crash() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := 0
	for worker := range d.leases {
		held += d.reclaim(worker, true, 0).Reclaimed
	}
	return held
}

// call runs f under the lock, with the fault of op if there is one.
func (d *Driver) call(ctx context.Context, op Op, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.checkIdle()
	hit := d.faults[op]
	if hit == nil || hit.left == 0 {
		return f()
	}
	hit.left--
	if hit.after {
		if err := f(); err != nil {
			return err
		}
	}
	return hit.err
}
