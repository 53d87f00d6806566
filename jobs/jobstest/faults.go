package jobstest

import "context"

// Op names a kind of call for Fail, FailNext and LoseReply.
type Op string

// The kinds of calls.
const (
	OpPush      Op = "push" // also PushAt and Position
	OpExchange  Op = "exchange"
	OpBeat      Op = "beat"
	OpWait      Op = "wait"
	OpNudge     Op = "nudge"
	OpFire      Op = "fire"
	OpInspect   Op = "inspect" // Stats, List, Find, Match, Control, History, Workers and Schedules
	OpResolve   Op = "resolve" // also ResolveMatching
	OpConfigure Op = "configure"
	OpSchedule  Op = "schedule" // what changes, claims or fires stored schedules
)

// fault is what calls of an operation meet.
type fault struct {
	down error   // all of them fail
	next []error // what the next ones fail with, one each
	lost []error // what the next ones answer after they took effect, one each
}

// Fail makes all calls of an operation fail with err and do nothing: a server
// that cannot be reached. It ends with Fail(op, nil).
func (d *Driver) Fail(op Op, err error) {
	d.plan(op, func(f *fault) { f.down = err })
}

// FailNext makes the next calls of an operation fail, one per error, and do
// nothing. Errors of further calls of FailNext come after them.
func (d *Driver) FailNext(op Op, errs ...error) {
	d.plan(op, func(f *fault) { f.next = append(f.next, errs...) })
}

// LoseReply makes the next calls of an operation take effect and yet answer an
// error, one per error: a connection that breaks in between. What the call
// itself fails with is not hidden.
func (d *Driver) LoseReply(op Op, errs ...error) {
	d.plan(op, func(f *fault) { f.lost = append(f.lost, errs...) })
}

func (d *Driver) plan(op Op, change func(*fault)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults[op] == nil {
		d.faults[op] = &fault{}
	}
	change(d.faults[op])
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
	fault := d.faults[op]
	switch {
	case fault == nil:
	case fault.down != nil:
		return fault.down
	case len(fault.next) > 0:
		return shift(&fault.next)
	case len(fault.lost) > 0:
		lost := shift(&fault.lost)
		if err := f(); err != nil {
			return err
		}
		return lost
	}
	return f()
}

// shift takes the first of a list.
func shift(list *[]error) error {
	first := (*list)[0]
	*list = (*list)[1:]
	return first
}
