package jobstest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Driver is a queue in memory. Make one with New or NewDriver. It is safe for
// concurrent use and keeps the whole contract of package driver.
type Driver struct {
	mu        sync.Mutex
	jobs      map[string]*job
	leases    map[string]*lease
	keys      map[string]key
	ticks     map[string]time.Time // the latest of each schedule in code
	dropped   map[string]time.Time // what it was when the schedule was dropped
	fired     map[string]time.Time // the last of each schedule that did
	schedules map[string]*schedule
	flows     map[string]*flow
	history   map[time.Time]driver.Tally
	position  string
	order     order
	rules     rules
	parked    map[string]int // how many jobs are parked, by what holds them
	parkings  int
	wake      chan struct{}
	nudged    chan struct{} // closed and made anew by each nudge
	faults    map[Op]*fault
	idle      chan struct{} // closed when Drain is done
}

var (
	_ driver.Driver     = (*Driver)(nil)
	_ driver.Positioner = (*Driver)(nil)
	_ driver.Controller = (*Driver)(nil)
	_ driver.Finder     = (*Driver)(nil)
	_ driver.Sweeper    = (*Driver)(nil)
	_ driver.Nudger     = (*Driver)(nil)
	_ driver.Historian  = (*Driver)(nil)
	_ driver.Flower     = (*Driver)(nil)
	_ driver.Overseer   = (*Driver)(nil)
	_ driver.Scheduler  = (*Driver)(nil)
)

// job is a job of any state. What belongs to another state than its own is zero.
type job struct {
	driver.Job
	state    driver.State
	attempts int
	crashes  int
	err      string
	failures []driver.Failure // latest first

	score    float64       // ready: place, see order
	at       time.Time     // scheduled: due; dead: since; done: since
	group    string        // parked: what holds it
	parking  int           // parked: its turn in the group
	worker   string        // running
	started  time.Time     // running: when its handler began, if that was told
	progress []byte        // running
	canceled bool          // running
	told     bool          // running: its worker knows that it is canceled
	until    time.Time     // done: end of its keeping
	result   []byte        // done
	took     time.Duration // done
}

// New returns an empty queue for a test.
func New(t testing.TB) *Driver {
	t.Helper()
	return NewDriver()
}

// NewDriver returns an empty queue for a program, such as a demo, that wants
// one without a test.
func NewDriver() *Driver {
	return &Driver{
		jobs:      map[string]*job{},
		leases:    map[string]*lease{},
		keys:      map[string]key{},
		ticks:     map[string]time.Time{},
		dropped:   map[string]time.Time{},
		fired:     map[string]time.Time{},
		schedules: map[string]*schedule{},
		flows:     map[string]*flow{},
		history:   map[time.Time]driver.Tally{},
		order:     order{clock: map[driver.Priority]float64{}, finish: map[turn]float64{}},
		rules:     newRules(),
		parked:    map[string]int{},
		wake:      make(chan struct{}, 1),
		nudged:    make(chan struct{}),
		faults:    map[Op]*fault{},
	}
}

// now is the store's clock.
func now() time.Time { return time.Now().UTC() }

// enter takes a job out of its state into another, where it has nothing yet.
func (d *Driver) enter(j *job, state driver.State) {
	if j.state == driver.Parked {
		if d.parked[j.group]--; d.parked[j.group] == 0 {
			delete(d.parked, j.group)
		}
	}
	*j = job{Job: j.Job, state: state, attempts: j.attempts, crashes: j.crashes, err: j.err, failures: j.failures}
}

// fail notes a failed attempt.
func (j *job) fail(attempt int, took time.Duration, why string) {
	j.err = why
	f := driver.Failure{Attempt: attempt, At: now(), Took: took, Error: why}
	j.failures = append([]driver.Failure{f}, j.failures[:min(len(j.failures), driver.MaxFailures-1)]...)
}

// in returns the jobs of a state in their order.
func (d *Driver) in(state driver.State) []*job {
	var found []*job
	for _, j := range d.jobs {
		if j.state == state {
			found = append(found, j)
		}
	}
	slices.SortFunc(found, func(a, b *job) int {
		latest := b.at.Compare(a.at)
		switch state {
		case driver.Ready:
			return cmp.Or(-cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.score, b.score), cmp.Compare(a.ID, b.ID))
		case driver.Scheduled:
			return cmp.Or(-latest, cmp.Compare(a.ID, b.ID))
		case driver.Parked:
			return cmp.Compare(a.parking, b.parking)
		case driver.Dead, driver.Done:
			return cmp.Or(latest, cmp.Compare(b.ID, a.ID))
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return found
}

// token wakes one waiting worker, or the next one that waits.
func (d *Driver) token() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Wait implements driver.Driver.
func (d *Driver) Wait(ctx context.Context, wait time.Duration) error {
	if err := d.call(ctx, OpWait, func() error { return nil }); err != nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.wake:
	case <-timer.C:
	}
	return nil
}
