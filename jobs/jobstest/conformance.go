package jobstest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Features says how a driver differs from the full contract. The zero value
// means full support on a store whose time is real.
type Features struct {
	// Bubble runs each case in a testing/synctest bubble: for drivers without
	// I/O. False means real waiting, of a few hundred milliseconds per case.
	Bubble bool

	// What the driver does not offer: driver.Positioner, Controller, Finder,
	// Sweeper, Nudger, Historian, Flower, Scheduler, Overseer.
	NoPosition, NoControl, NoFind, NoSweep, NoNudge, NoHistory, NoFlows, NoSchedule, NoWorkers bool
}

// Run checks a driver against the contract of package driver. open returns a
// new, empty queue for each case.
func Run(t *testing.T, open func(t testing.TB) driver.Driver, f Features) {
	t.Helper()
	for _, c := range f.cases() {
		t.Run(c.name, func(t *testing.T) {
			body := func(t *testing.T) {
				c.run(&suite{T: t, d: open(t), why: c.why, seq: map[string]uint64{}})
			}
			if f.Bubble {
				synctest.Test(t, body)
				return
			}
			t.Parallel()
			body(t)
		})
	}
	if !f.NoPosition {
		t.Run("position", func(t *testing.T) {
			d, ok := open(t).(driver.Positioner)
			if !ok {
				t.Fatal("driver is not a driver.Positioner; set Features.NoPosition if that is meant")
			}
			checkPosition(t, d)
		})
	}
}

// testCase is one sentence of the contract and why it matters.
type testCase struct {
	name, why string
	run       func(s *suite)
}

func (f Features) cases() []testCase {
	all := slices.Concat(
		pushCases(), takenCases(), boundCases(), pageBounds(), fairnessCases(), priorityCases(), uniqueCases(), keyBackCases(), replaceCases(),
		exchangeCases(), shareCases(), replayCases(), leaseCases(), auditCases(), timeCases(), inspectCases(),
	)
	for _, part := range []struct {
		lacks bool
		cases []testCase
	}{
		{f.NoFind, slices.Concat(findCases(), findBounds(), resultCases(), cancelCases(), startedCases(), failureCases())},
		{f.NoFind || f.NoWorkers, workerCases()},
		{f.NoSweep, sweepCases()},
		{f.NoSweep || f.NoControl, sweepParked()},
		{f.NoNudge, nudgeCases()},
		{f.NoControl, slices.Concat(pauseCases(), kindCases(), parkingCases(), limitCases(), limitChangeCases(), rateCases(), controlCases(), weightCases(), shareWeightCases())},
		{f.NoHistory, historyCases()},
		{f.NoFlows, slices.Concat(flowCases(), flowPageBounds())},
		{f.NoSchedule, scheduleCases()},
	} {
		if !part.lacks {
			all = append(all, part.cases...)
		}
	}
	return all
}

// suite is the state of one case, with helpers that stop it on errors.
type suite struct {
	*testing.T
	d   driver.Driver
	why string
	seq map[string]uint64
}

// step is the unit of waiting: long enough for a busy machine.
const step = time.Second

// rounding is what a store whose clock has milliseconds may add to a delay.
const rounding = 2 * time.Millisecond

func (s *suite) wait(d time.Duration) { <-time.After(d) }

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%v\nwhy this matters: %s", err, s.why)
	}
}

func (s *suite) equal(what string, want, got any) {
	s.Helper()
	if !reflect.DeepEqual(want, got) {
		s.Fatalf("%s: want %v, got %v\nwhy this matters: %s", what, want, got, s.why)
	}
}

func (s *suite) push(batch ...driver.Job) []string {
	s.Helper()
	pushed, err := s.d.Push(s.Context(), driver.Push{Jobs: batch})
	s.must(err)
	holders := make([]string, len(pushed))
	for i, p := range pushed {
		holders[i] = p.Holder
	}
	return holders
}

func plain(id string) driver.Job { return driver.Job{ID: id, Body: []byte("body of " + id)} }

func many(prefix, tenant string, n int) []driver.Job {
	batch := make([]driver.Job, n)
	for i := range batch {
		id := fmt.Sprintf("%s%04d", prefix, i)
		batch[i] = driver.Job{ID: id, Tenant: tenant, Body: []byte(id)}
	}
	return batch
}

func (s *suite) join(worker string, lease time.Duration) {
	s.Helper()
	_, err := s.d.Beat(s.Context(), driver.Beat{Worker: worker, Lease: lease, Join: true, MaxCrashes: 2})
	s.must(err)
}

func (s *suite) exchange(worker string, want int, done ...driver.Outcome) driver.Batch {
	s.Helper()
	s.seq[worker]++
	batch, err := s.d.Exchange(s.Context(), driver.Exchange{Worker: worker, Seq: s.seq[worker], Want: want, Done: done})
	s.must(err)
	return batch
}

// take takes jobs and answers their ids.
func (s *suite) take(worker string, want int) []string {
	s.Helper()
	return ids(s.exchange(worker, want).Jobs)
}

func (s *suite) finish(worker string, done ...string) {
	s.Helper()
	var outcomes []driver.Outcome
	for _, id := range done {
		outcomes = append(outcomes, driver.Outcome{ID: id, Action: driver.Finish})
	}
	s.exchange(worker, 0, outcomes...)
}

func (s *suite) stats(want driver.Stats) {
	s.Helper()
	got, err := s.d.Stats(s.Context())
	s.must(err)
	s.equal("stats", want, got)
}

// beat renews a lease.
func (s *suite) beat(worker string) driver.Pulse {
	s.Helper()
	pulse, err := s.d.Beat(s.Context(), driver.Beat{Worker: worker, Lease: time.Minute, MaxCrashes: 2})
	s.must(err)
	return pulse
}

func (s *suite) leave(worker string) {
	s.Helper()
	_, err := s.d.Beat(s.Context(), driver.Beat{Worker: worker})
	s.must(err)
}

func (s *suite) resolve(how driver.Resolution, ids ...string) int {
	s.Helper()
	n, err := s.d.Resolve(s.Context(), ids, how)
	s.must(err)
	return n
}

func (s *suite) list(state driver.State, offset, limit int) []driver.Stored {
	s.Helper()
	page, err := s.d.List(s.Context(), driver.ListQuery{State: state, Offset: offset, Limit: limit})
	s.must(err)
	return page
}

// find looks one job up.
func (s *suite) find(id string) driver.Stored {
	s.Helper()
	finder, ok := s.d.(driver.Finder)
	if !ok {
		s.Fatal("driver is not a driver.Finder; set Features.NoFind if that is meant")
	}
	found, err := finder.Find(s.Context(), []string{id})
	s.must(err)
	s.equal("number of answers", 1, len(found))
	s.equal("id", id, found[0].ID)
	return found[0]
}

// state is where a job is.
func (s *suite) state(id string) driver.State {
	s.Helper()
	return s.find(id).State
}

func ids(stored []driver.Stored) []string {
	list := []string{}
	for _, j := range stored {
		list = append(list, j.ID)
	}
	return list
}

func (s *suite) lost(worker string) {
	s.Helper()
	_, err := s.d.Exchange(s.Context(), driver.Exchange{Worker: worker, Seq: 1 << 40})
	if !errors.Is(err, driver.ErrLeaseLost) {
		s.Fatalf("exchange of %s: want ErrLeaseLost, got %v\nwhy this matters: %s", worker, err, s.why)
	}
}

func checkPosition(t *testing.T, d driver.Positioner) {
	whole := d.(driver.Driver)
	ctx := t.Context()
	try := func(from, to string, want bool, batch ...driver.Job) {
		t.Helper()
		moved, err := d.PushAt(ctx, from, to, batch)
		if err != nil || moved != want {
			t.Fatalf("PushAt %q → %q: want %v, got %v, %v", from, to, want, moved, err)
		}
	}
	try("", "a", true, plain("one"))
	try("", "a", false, plain("other")) // a second relay, or a repetition
	try("a", "b", true)                 // events that are no jobs
	try("b", "c", true, plain("one"), plain("two"))
	position, err := d.Position(ctx)
	if err != nil || position != "c" {
		t.Fatalf("position: want c, got %q, %v", position, err)
	}
	stats, err := whole.Stats(ctx)
	if err != nil || stats != (driver.Stats{Ready: 2}) {
		t.Fatalf("want two ready jobs, got %+v, %v", stats, err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if moved, err := d.PushAt(canceled, "c", "d", nil); err == nil || moved {
		t.Fatalf("PushAt with an ended context: %v, %v", moved, err)
	}
}
