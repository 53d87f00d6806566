package jobstest

import (
	"maps"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// empty lets every job run to its end: none may be lost or stuck.
func (w *walk) empty() error {
	if err := w.look(); err != nil {
		return err
	}
	for _, worker := range w.workers() {
		if _, err := w.d.Beat(w.ctx, driver.Beat{Worker: worker}); err != nil {
			return err
		}
		w.m.giveBack(worker, false, 0, time.Now())
	}
	w.logf("all workers leave")
	if err := w.join(); err != nil {
		return err
	}
	// Limits on what runs stay: a counter that leaked shows.
	if err := w.lift(false); err != nil {
		return err
	}
	if err := w.work(); err != nil {
		return err
	}
	if err := w.lift(true); err != nil {
		return err
	}
	// Once more for each stage of a flow, whose jobs may be put off again.
	for round := 0; round == 0 || round < 8 && len(w.m.in(driver.Ready)) > 0; round++ {
		for part := range slices.Chunk(slices.Sorted(maps.Keys(w.m.jobs)), driver.MaxBatch) {
			if err := w.requeueJobs(part); err != nil {
				return err
			}
		}
		if err := w.work(); err != nil {
			return err
		}
	}
	if left := len(w.m.in(driver.Ready)); left > 0 {
		return w.differ("%d jobs cannot be had", left)
	}
	if err := w.flowsEnded(); err != nil {
		return err
	}
	if err := w.look(); err != nil {
		return err
	}
	return w.history()
}

// lift ends pauses and rates, and the other limits if all.
func (w *walk) lift(all bool) error {
	change := func(t driver.Target, l driver.Limit) error {
		if all {
			l = driver.Limit{}
		}
		l = driver.Limit{Running: l.Running}
		return w.configure(driver.Change{Target: t, Pause: new(false), Limit: &l})
	}
	if err := change(driver.Target{}, w.m.queue); err != nil {
		return err
	}
	w.m.paused, w.m.queue = false, driver.Limit{Running: w.m.queue.Running}
	w.m.each.Rate = 0
	if all {
		w.m.queue, w.m.each = driver.Limit{}, driver.Limit{}
	}
	if err := w.configure(driver.Change{Target: driver.Target{EachTenant: true}, Limit: &w.m.each}); err != nil {
		return err
	}
	for _, tenant := range []string{"acme", "globex"} {
		if err := change(driver.Target{Tenant: tenant}, w.m.own[tenant]); err != nil {
			return err
		}
		l := driver.Limit{Running: w.m.own[tenant].Running}
		if all {
			l = driver.Limit{}
		}
		set(w.m.own, tenant, l)
	}
	for _, kind := range []string{"mail", "plain"} {
		if err := w.configure(driver.Change{Target: driver.Target{Kind: kind}, Pause: new(false)}); err != nil {
			return err
		}
	}
	clear(w.m.tenants)
	clear(w.m.kinds)
	return nil
}

// work takes and finishes all that can be had.
func (w *walk) work() error {
	w.pass(8 * time.Millisecond) // all short delays, on any clock
	worker := w.workers()[0]
	for range 2*len(w.m.jobs) + 50 {
		w.m.workers[worker].seq++
		x := driver.Exchange{Worker: worker, Seq: w.m.workers[worker].seq, Want: 100}
		for _, j := range w.m.heldBy(worker) {
			x.Done = append(x.Done, driver.Outcome{ID: j.ID, Action: driver.Finish})
		}
		x.Done = x.Done[:min(len(x.Done), driver.MaxBatch)]
		if err := w.call(x, false); err != nil {
			return err
		}
		if len(w.m.heldBy(worker)) == 0 && w.m.anyStartable(time.Now()) == "" {
			return nil
		}
	}
	return w.differ("%s cannot be had", w.m.anyStartable(time.Now()))
}

func (w *walk) history() error {
	historian, ok := w.d.(driver.Historian)
	if !ok {
		return nil
	}
	minutes, err := historian.History(w.ctx, time.Time{})
	if err != nil {
		return err
	}
	sum := 0
	for _, m := range minutes {
		sum += m.Finished
	}
	if sum < w.m.recent || sum > w.m.tally {
		return w.differ("history: %d to %d finished, it has %d", w.m.recent, w.m.tally, sum)
	}
	return nil
}
