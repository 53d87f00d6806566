package jobstest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Driver is a queue in memory. Make one with New or NewDriver. It is safe for
// concurrent use and keeps the contract of driver.Driver and driver.Positioner.
type Driver struct {
	mu       sync.Mutex
	jobs     map[string]*job
	leases   map[string]*lease
	unique   map[string]string
	ticks    map[string]time.Time
	position string
	clock    float64            // virtual time of the fair queueing
	finish   map[string]float64 // by tenant
	wake     chan struct{}
	faults   map[Op]*fault
	idle     chan struct{} // closed when Drain is done
}

var (
	_ driver.Driver     = (*Driver)(nil)
	_ driver.Positioner = (*Driver)(nil)
)

type job struct {
	driver.Job
	state    driver.State
	score    float64   // ready: place
	at       time.Time // scheduled: due; dead: since
	worker   string    // running
	attempts int
	crashes  int
	err      string
}

type lease struct {
	end  time.Time
	seq  uint64
	last []string // the ids handed out for seq
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
		jobs:   map[string]*job{},
		leases: map[string]*lease{},
		unique: map[string]string{},
		ticks:  map[string]time.Time{},
		finish: map[string]float64{},
		wake:   make(chan struct{}, 1),
		faults: map[Op]*fault{},
	}
}

// Push implements driver.Driver.
func (d *Driver) Push(ctx context.Context, p driver.Push) ([]driver.Pushed, error) {
	var pushed []driver.Pushed
	err := d.call(ctx, OpPush, func() error {
		pushed = d.store(p.Jobs)
		return nil
	})
	return pushed, err
}

func (d *Driver) store(batch []driver.Job) []driver.Pushed {
	pushed := make([]driver.Pushed, len(batch))
	now := time.Now()
	for i, in := range batch {
		if holder, ok := d.unique[in.Unique]; in.Unique != "" && ok && holder != in.ID {
			pushed[i].Holder = holder
			continue
		}
		if d.jobs[in.ID] != nil {
			continue
		}
		if in.Unique != "" {
			d.unique[in.Unique] = in.ID
		}
		in.Body = slices.Clone(in.Body)
		j := &job{Job: in, at: in.At}
		if in.At.IsZero() {
			j.at = now.Add(in.Delay)
		}
		d.jobs[in.ID] = j
		if j.at.After(now) {
			j.state = driver.Scheduled
		} else {
			d.place(j, false)
		}
		d.token()
	}
	return pushed
}

// place makes a job ready: fairly behind the others, or in front of them.
func (d *Driver) place(j *job, front bool) {
	j.state, j.worker, j.at, j.score = driver.Ready, "", time.Time{}, d.clock
	if !front {
		j.score = max(d.clock, d.finish[j.Tenant]) + 1
		d.finish[j.Tenant] = j.score
	}
}

func (d *Driver) token() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
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
		order := cmp.Or(cmp.Compare(a.score, b.score), a.at.Compare(b.at), cmp.Compare(a.ID, b.ID))
		if state == driver.Dead {
			return -order
		}
		return order
	})
	return found
}

// Exchange implements driver.Driver.
func (d *Driver) Exchange(ctx context.Context, x driver.Exchange) (driver.Batch, error) {
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
			d.promote()
			l.seq, l.last = x.Seq, d.take(x.Worker, x.Want)
		}
		batch = driver.Batch{Next: -1, Ready: len(d.in(driver.Ready))}
		for _, id := range l.last {
			if j := d.jobs[id]; j != nil && j.worker == x.Worker {
				batch.Jobs = append(batch.Jobs, j.stored())
			}
		}
		if batch.Ready > 0 {
			d.token()
		}
		if due := d.in(driver.Scheduled); len(due) > 0 {
			batch.Next = max(0, time.Until(due[0].at))
		}
		return nil
	})
	return batch, err
}

func (d *Driver) settle(worker string, o driver.Outcome) {
	j := d.jobs[o.ID]
	if j == nil || j.worker != worker {
		return
	}
	switch o.Action {
	case driver.Finish:
		d.release(j)
		delete(d.jobs, o.ID)
		return
	case driver.Return:
		if o.Delay <= 0 {
			d.place(j, true)
			return
		}
	case driver.Retry, driver.Bury:
		j.attempts++
		j.err = o.Error
	}
	j.state, j.worker, j.score, j.at = driver.Scheduled, "", 0, time.Now().Add(o.Delay)
	if o.Action == driver.Bury {
		d.bury(j)
	}
}

func (d *Driver) bury(j *job) {
	d.release(j)
	j.state, j.worker, j.score, j.at = driver.Dead, "", 0, time.Now()
}

// release frees the unique key of a job that is finished or dead.
func (d *Driver) release(j *job) {
	if j.Unique != "" && d.unique[j.Unique] == j.ID {
		delete(d.unique, j.Unique)
	}
}

func (d *Driver) promote() {
	now := time.Now()
	for _, j := range d.in(driver.Scheduled) {
		if !j.at.After(now) {
			d.place(j, false)
		}
	}
}

func (d *Driver) take(worker string, want int) []string {
	var ids []string
	ready := d.in(driver.Ready)
	for _, j := range ready[:min(max(want, 0), len(ready))] {
		d.clock = j.score
		j.state, j.worker, j.score = driver.Running, worker, 0
		ids = append(ids, j.ID)
	}
	if len(ids) == len(ready) {
		d.clock = 0
		clear(d.finish)
	}
	return ids
}

func (j *job) stored() driver.Stored {
	return driver.Stored{
		ID: j.ID, Body: slices.Clone(j.Body), Attempts: j.attempts, Crashes: j.crashes, Error: j.err, At: j.at,
	}
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
		now := time.Now()
		d.leases[b.Worker].end = now.Add(b.Lease)
		for id, l := range d.leases {
			if !l.end.After(now) {
				pulse = d.reclaim(id, true, b.MaxCrashes)
				break
			}
		}
		return nil
	})
	return pulse, err
}

func (d *Driver) reclaim(worker string, crashed bool, maxCrashes int) driver.Pulse {
	var pulse driver.Pulse
	for _, j := range d.in(driver.Running) {
		if j.worker != worker {
			continue
		}
		if crashed {
			j.crashes++
			if maxCrashes > 0 && j.crashes >= maxCrashes {
				j.err = fmt.Sprintf("its worker died %d times", j.crashes)
				d.bury(j)
				pulse.Buried++
				continue
			}
		}
		d.place(j, true)
		pulse.Reclaimed++
	}
	delete(d.leases, worker)
	d.token()
	return pulse
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

// Fire implements driver.Driver.
func (d *Driver) Fire(ctx context.Context, t driver.Tick) (driver.Fired, error) {
	var fired driver.Fired
	err := d.call(ctx, OpFire, func() error {
		now := time.Now().UTC().Truncate(time.Millisecond)
		if _, ok := d.ticks[t.Name]; !ok {
			d.ticks[t.Name] = now
		}
		if t.Job != nil && t.At.After(d.ticks[t.Name]) && !t.At.After(now) {
			d.store([]driver.Job{*t.Job})
			d.ticks[t.Name] = t.At.UTC()
			fired.Fired = true
		}
		fired.Last, fired.Now = d.ticks[t.Name], now
		return nil
	})
	return fired, err
}
