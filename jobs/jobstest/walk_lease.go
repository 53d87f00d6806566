package jobstest

import (
	"errors"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func (w *walk) join() error {
	if len(w.m.workers) >= 3 {
		return w.beat()
	}
	name := w.name("worker")
	pulse, err := w.send(driver.Beat{Worker: name, Lease: time.Hour, Join: true})
	w.logf("join of %s: %+v, %v", name, pulse, err)
	if err != nil {
		return err
	}
	return w.equal("pulse", driver.Pulse{}, pulse)
}

// beat renews a lease, and audits with some lies.
func (w *walk) beat() error {
	worker := one(w, w.workers())
	if worker == "" {
		return nil
	}
	return w.pulse(worker, driver.Pulse{}, 0)
}

// pulse beats and compares, but for what the caller knows better.
func (w *walk) pulse(worker string, want driver.Pulse, maxCrashes int) error {
	b := driver.Beat{Worker: worker, Lease: time.Hour, MaxCrashes: maxCrashes, Audit: w.chance(2), Join: w.chance(4)}
	for _, j := range w.m.heldBy(worker) {
		want.Held++
		if j.canceled {
			want.Cancel = append(want.Cancel, j.ID)
			j.told = j.told || false // a beat tells without end, an exchange all the same
		}
		if w.chance(4) {
			want.Unknown = append(want.Unknown, j.ID)
		} else {
			b.Holding = append(b.Holding, j.ID)
		}
	}
	for _, j := range w.m.heldBy(worker) {
		if w.chance(3) {
			b.Running = append(b.Running, driver.Run{ID: j.ID, For: one(w, []time.Duration{time.Second, time.Hour})})
		}
	}
	if lie := one(w, w.someIDs(3)); w.chance(3) && !slices.ContainsFunc(w.m.heldBy(worker), func(j *expected) bool { return j.ID == lie }) {
		b.Holding, want.Lost = append(b.Holding, lie), append(want.Lost, lie)
	}
	if w.chance(3) {
		b.Tally = &driver.Tally{Finished: 1 + w.rand.IntN(9)}
		w.m.tally, w.m.recent = w.m.tally+b.Tally.Finished, w.m.recent+b.Tally.Finished
	}
	if !b.Audit {
		want.Unknown, want.Lost = nil, nil
	}
	got, err := w.send(b)
	w.logf("beat of %s, audit %v holding %v: %+v, %v", worker, b.Audit, b.Holding, got, err)
	if err != nil {
		return err
	}
	slices.Sort(got.Cancel)
	slices.Sort(got.Unknown)
	w.token = w.token || got.Reclaimed > 0
	return w.equal("pulse", want, got)
}

// expire lets the lease of a worker end.
func (w *walk) expire(worker string) error {
	_, err := w.send(driver.Beat{Worker: worker, Lease: time.Millisecond})
	w.pass(2 * time.Millisecond) // the lease, on any clock
	return err
}

// crash is a worker that is not heard of again: another one's beat gives its
// jobs back.
func (w *walk) crash() error {
	victim := one(w, w.workers())
	if victim == "" {
		return nil
	}
	heir, maxCrashes := w.name("worker"), w.rand.IntN(4)
	if err := w.expire(victim); err != nil {
		return err
	}
	now := time.Now()
	pulse, err := w.send(driver.Beat{Worker: heir, Lease: time.Hour, Join: true, MaxCrashes: maxCrashes})
	w.logf("%s is dead, %s joins with %d crashes at most: %+v, %v", victim, heir, maxCrashes, pulse, err)
	if err != nil {
		return err
	}
	var want driver.Pulse
	want.Reclaimed, want.Buried = w.m.giveBack(victim, true, maxCrashes, now)
	w.token = w.token || want.Reclaimed > 0
	if err := w.equal("pulse", want, pulse); err != nil {
		return err
	}
	_, err = w.d.Exchange(w.ctx, driver.Exchange{Worker: victim, Seq: 1 << 40, Want: 1})
	if !errors.Is(err, driver.ErrLeaseLost) {
		return w.differ("a dead worker may exchange: %v", err)
	}
	return nil
}

// revive is a worker whose lease ends, but that beats before anyone else.
func (w *walk) revive() error {
	worker := one(w, w.workers())
	if worker == "" {
		return nil
	}
	if err := w.expire(worker); err != nil {
		return err
	}
	w.logf("the lease of %s ends", worker)
	return w.pulse(worker, driver.Pulse{}, 1)
}

func (w *walk) leave() error {
	worker := one(w, w.workers())
	if worker == "" {
		return nil
	}
	now := time.Now()
	pulse, err := w.d.Beat(w.ctx, driver.Beat{Worker: worker})
	w.logf("%s leaves: %+v, %v", worker, pulse, err)
	if err != nil {
		return err
	}
	back, _ := w.m.giveBack(worker, false, 0, now)
	w.token = w.token || back > 0
	return w.equal("pulse", driver.Pulse{Reclaimed: back}, pulse)
}

// wait must return at once if a call since the last one left work. The worker
// that it wakes asks, as all do.
func (w *walk) wait() error {
	if !w.token || w.m.anyStartable(time.Now()) == "" || len(w.m.workers) == 0 {
		return nil
	}
	began := time.Now()
	err := w.d.Wait(w.ctx, 5*time.Second)
	took := time.Since(began)
	w.logf("wait: %s, %v", took, err)
	w.token = false
	if err != nil {
		return err
	}
	if took > 3*time.Second {
		return w.differ("%s is ready and nobody is woken", w.m.anyStartable(began))
	}
	return w.exchange()
}
