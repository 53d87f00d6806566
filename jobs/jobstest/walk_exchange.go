package jobstest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// outcome makes a random end of a job.
func (w *walk) outcome(id string) driver.Outcome {
	o := driver.Outcome{ID: id, Action: one(w, []driver.Action{
		driver.Finish, driver.Finish, driver.Finish, driver.Retry, driver.Retry, driver.Bury, driver.Return, driver.Drop,
	})}
	switch o.Action {
	case driver.Finish:
		if w.chance(3) {
			o.Keep, o.Result = time.Hour, []byte("result of "+id)
		}
	case driver.Retry, driver.Return:
		o.Delay = one(w, []time.Duration{0, 0, 3 * time.Millisecond, time.Hour})
	}
	if o.Action == driver.Retry || o.Action == driver.Bury {
		o.Error = "failed: " + w.name("")
	}
	o.Took = one(w, []time.Duration{0, 7 * time.Millisecond, time.Hour})
	return o
}

func (w *walk) exchange() error {
	worker := one(w, w.workers())
	if worker == "" {
		return w.join()
	}
	w.m.workers[worker].seq++
	x := driver.Exchange{Worker: worker, Seq: w.m.workers[worker].seq, Want: one(w, []int{0, 1, 1, 2, 3, 5, 50})}
	if x.Want > 3 {
		x.Each = one(w, []int{0, 1, 4, 20})
	}
	for _, j := range w.m.heldBy(worker) {
		switch w.rand.IntN(4) {
		case 0, 1:
			x.Done = append(x.Done, w.outcome(j.ID))
		case 2:
			x.Notes = append(x.Notes, driver.Note{ID: j.ID, Data: []byte(w.name("note "))})
		}
	}
	if id := one(w, w.someIDs(5)); w.chance(4) && !slices.ContainsFunc(w.m.heldBy(worker), func(j *expected) bool { return j.ID == id }) {
		x.Done = append(x.Done, w.outcome(id)) // of another, or of none
	}
	return w.call(x, w.chance(6))
}

// call makes an exchange, perhaps twice as if the first answer had got lost.
func (w *walk) call(x driver.Exchange, twice bool) error {
	before := time.Now()
	batch, err := w.d.Exchange(w.ctx, x)
	w.logf("exchange of %s: %s notes %d want %d each %d: got %v ready %d next %s cancel %v, %v",
		x.Worker, showDone(x.Done), len(x.Notes), x.Want, x.Each, ids(batch.Jobs), batch.Ready, batch.Next, batch.Cancel, err)
	if err != nil {
		return err
	}
	for _, o := range x.Done {
		if j := w.m.jobs[o.ID]; j != nil && j.state == driver.Running && j.worker == x.Worker {
			w.m.settle(j, o, before)
		}
	}
	for _, n := range x.Notes {
		w.m.jobs[n.ID].progress = string(n.Data)
	}
	if err := w.took(x, batch, before); err != nil || !twice {
		return err
	}
	again, err := w.d.Exchange(w.ctx, x)
	w.logf("the same again: got %v ready %d cancel %v, %v", ids(again.Jobs), again.Ready, again.Cancel, err)
	if err != nil {
		return err
	}
	sorted := func(b driver.Batch) []string { return slices.Sorted(slices.Values(ids(b.Jobs))) }
	if err := w.equal("cancelled, told twice", 0, len(again.Cancel)); err != nil {
		return err
	}
	return w.equal("the same jobs", sorted(batch), sorted(again))
}

func showDone(done []driver.Outcome) string {
	text := ""
	for _, o := range done {
		text += fmt.Sprintf("{%s %s", o.Action, o.ID)
		if o.Delay > 0 {
			text += " in " + o.Delay.String()
		}
		if o.Keep > 0 {
			text += " keep"
		}
		text += "}"
	}
	return text
}

// took compares the jobs of an answer, and what it says of the others.
func (w *walk) took(x driver.Exchange, batch driver.Batch, before time.Time) error {
	after := time.Now()
	if len(batch.Jobs) > x.Want {
		return w.differ("%d jobs where %d were wanted", len(batch.Jobs), x.Want)
	}
	turns := map[string]int{}
	for _, got := range batch.Jobs {
		if turns[got.Tenant]++; x.Each > 0 && turns[got.Tenant] > x.Each {
			return w.differ("%d jobs of tenant %q where %d may be one's", turns[got.Tenant], got.Tenant, x.Each)
		}
		j := w.m.jobs[got.ID]
		if j == nil {
			return w.differ("job %q was never pushed", got.ID)
		}
		if why := w.m.start(j, x.Worker, after); why != "" {
			return w.differ("job %s may not start: %s", got.ID, why)
		}
		want := driver.Stored{ID: j.ID, Tenant: j.Tenant, Body: j.Body, Attempts: j.attempts, Crashes: j.crashes, Error: j.err}
		if err := w.equal("job", show(want), show(got)); err != nil {
			return err
		}
	}
	w.token = w.token || batch.Ready > 0
	var tell []string
	for _, j := range w.m.heldBy(x.Worker) {
		if j.canceled && !j.told {
			tell = append(tell, j.ID)
			j.told = true
		}
	}
	slices.Sort(batch.Cancel)
	if err := w.equal("cancelled", tell, batch.Cancel); err != nil {
		return err
	}
	if id := w.passedOver(batch.Jobs, before); id != "" {
		return w.differ("%s has a higher priority and waits", id)
	}
	if left := w.m.anyStartable(before); batch.Ready == 0 && left != "" {
		return w.differ("%s could be taken, but nothing is said to be ready", left)
	}
	return nil
}

// passedOver finds a waiting job that should have gone before one of those
// handed out. Where jobs are parked the order is that in which they were.
func (w *walk) passedOver(taken []driver.Stored, now time.Time) string {
	if len(taken) == 0 || w.uses.pauses || w.uses.kinds || w.uses.limits || w.uses.rates {
		return ""
	}
	lowest := slices.MinFunc(taken, func(a, b driver.Stored) int {
		return cmp.Compare(w.m.jobs[a.ID].Priority, w.m.jobs[b.ID].Priority)
	})
	for _, j := range w.m.in(driver.Ready) {
		if w.m.startable(j, now) && j.Priority > w.m.jobs[lowest.ID].Priority {
			return j.ID
		}
	}
	return ""
}

// show is a Stored for people.
func show(s driver.Stored) string {
	text := fmt.Sprintf("%s %s of %q %s, attempts %d crashes %d error %q", s.State, s.ID, s.Tenant, s.Body, s.Attempts, s.Crashes, s.Error)
	text += fmt.Sprintf(" at %s worker %q progress %q result %q", s.At.Format(time.RFC3339Nano), s.Worker, s.Progress, s.Result)
	return text + fmt.Sprintf(" failures %v started %s took %s", s.Failures, s.Started.Format(time.RFC3339Nano), s.Took)
}

// ghost is a worker that has no lease, or lost it.
func (w *walk) ghost() error {
	id := ""
	if held := w.m.in(driver.Running); len(held) > 0 {
		id = one(w, held).ID
	}
	_, err := w.d.Exchange(w.ctx, driver.Exchange{Worker: "ghost", Seq: 1, Want: 3, Done: []driver.Outcome{{ID: id, Action: driver.Finish}}})
	w.logf("exchange of a ghost that finishes %s: %v", id, err)
	if !errors.Is(err, driver.ErrLeaseLost) {
		return w.differ("a ghost may exchange: %v", err)
	}
	_, err = w.d.Beat(w.ctx, driver.Beat{Worker: "ghost", Lease: time.Minute})
	if !errors.Is(err, driver.ErrLeaseLost) {
		return w.differ("a ghost may beat: %v", err)
	}
	return nil
}
