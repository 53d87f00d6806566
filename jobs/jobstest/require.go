package jobstest

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Enqueued returns the arguments of all jobs of A's kind that are stored and
// not finished, dead ones included. The order is that of their
// ids, which for new ids is the order of their enqueueing to the millisecond.
func Enqueued[A jobs.Args](t testing.TB, d *Driver) []A {
	t.Helper()
	var zero A
	var all []A
	for _, body := range d.bodies() {
		var env struct {
			Kind string
			Args json.RawMessage
		}
		if err := json.Unmarshal(body, &env); err != nil {
			t.Fatalf("jobstest: a stored job is not readable: %v", err)
		}
		if env.Kind != zero.Kind() {
			continue
		}
		var args A
		if err := json.Unmarshal(env.Args, &args); err != nil {
			t.Fatalf("jobstest: arguments of %s: %v", env.Kind, err)
		}
		all = append(all, args)
	}
	return all
}

func (d *Driver) bodies() [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	bodies := make([][]byte, 0, len(d.jobs))
	for _, id := range slices.Sorted(maps.Keys(d.jobs)) {
		if d.jobs[id].state != driver.Done {
			bodies = append(bodies, d.jobs[id].Body)
		}
	}
	return bodies
}

// Drain runs the queue, which must be over d, until no job runs or waits for
// anything but the end of a pause, and stops it; dead jobs stay. It waits for
// retries and delayed jobs: use a bubble of testing/synctest where they are far
// away. A job whose kind has no handler keeps it waiting for ever.
func Drain(t testing.TB, d *Driver, q *jobs.Queue) {
	t.Helper()
	idle := make(chan struct{})
	d.mu.Lock()
	d.idle = idle
	d.checkIdle()
	d.mu.Unlock()

	run(t, "drain", q, idle)
}

// Advance runs the queue for a duration and then stops it, which waits for its
// handlers: schedules fire and delayed jobs run whose time comes. It belongs into
// a bubble of testing/synctest, where a day takes about a second.
func Advance(t testing.TB, q *jobs.Queue, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	run(t, "advance", q, timer.C)
}

// run runs the queue until a channel has something to say.
func run[T any](t testing.TB, what string, q *jobs.Queue, until <-chan T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }() // received below, always
	select {
	case <-until:
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("jobstest: %s: %v", what, err)
		}
	case err := <-ended:
		t.Errorf("jobstest: %s: queue stopped: %v", what, err)
	}
}

// checkIdle tells Drain once nothing is left to do.
func (d *Driver) checkIdle() {
	if d.idle == nil {
		return
	}
	for _, j := range d.jobs {
		if j.state == driver.Running || waits(j.state) && !d.pausedJob(j) {
			return
		}
	}
	close(d.idle)
	d.idle = nil
}
