package jobstest

import (
	"maps"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// leap lets much time go by at once: a night without a worker, a machine that
// was asleep, a clock that was set. Some leaps are longer than what is an hour
// in a walk (delays, windows, what is kept), some are shorter. One worker may die
// in it; the others are heard of at its ends. What a stage, a limit or a
// schedule has waited for meanwhile, the steps behind it find out.
func (w *walk) leap() error {
	d := one(w, []time.Duration{7 * time.Minute, 3 * time.Hour, 50 * time.Hour, 400 * 24 * time.Hour})
	victim := one(w, append(w.workers(), ""))
	for _, worker := range w.workers() {
		b := driver.Beat{Worker: worker, Lease: d + time.Hour}
		if worker == victim {
			b.Lease = time.Minute
		}
		if _, err := w.send(b); err != nil {
			return err
		}
	}
	w.pass(d)
	w.m.began = time.Now()
	heir, maxCrashes := w.name("worker"), w.rand.IntN(4)
	pulse, err := w.send(driver.Beat{Worker: heir, Lease: time.Hour, Join: true, MaxCrashes: maxCrashes})
	w.logf("leap of %s, %q dies, %s joins with %d crashes at most: %+v, %v", d, victim, heir, maxCrashes, pulse, err)
	if err != nil {
		return err
	}
	if d > remembered {
		w.m.recent = 0
	}
	if err := w.forget(); err != nil {
		return err
	}
	var want driver.Pulse
	if victim != "" {
		want.Reclaimed, want.Buried = w.m.giveBack(victim, true, maxCrashes, time.Now())
		w.token = w.token || want.Reclaimed > 0
	}
	return w.equal("pulse", want, pulse)
}

// forget is what a beat does to all that was kept long enough.
func (w *walk) forget() error {
	for _, j := range w.m.in(driver.Done) {
		if !j.until.After(time.Now()) {
			j.state = ""
		}
	}
	flower, ok := w.d.(driver.Flower)
	for _, id := range slices.Sorted(maps.Keys(w.m.flows)) {
		if !ok || !w.m.forgettable(w.m.flows[id]) {
			continue
		}
		got, err := flower.Flow(w.ctx, id)
		if err != nil {
			return err
		}
		if got.State != "" {
			return w.differ("flow %s is kept for ever", id)
		}
		delete(w.m.flows, id)
	}
	return nil
}

// forgettable tells whether a flow need not be there any more.
func (m *model) forgettable(c *course) bool {
	if c.state == driver.Running || time.Since(c.over) < c.Keep {
		return false
	}
	for _, step := range c.Jobs {
		if j := m.jobs[step.ID]; j != nil && j.state != "" {
			return false
		}
	}
	j := m.jobs[driver.FailureID(c.ID)]
	return j == nil || j.state == ""
}

// spent is what the starts of a group owe to its rate: each of them the time in
// which the rate allows one, and time pays it off.
type spent struct {
	owed time.Duration
	at   time.Time
}

func (s spent) now() time.Duration { return max(0, s.owed-time.Since(s.at)) }

// spend notes a start.
func (m *model) spend(group string, l driver.Limit) {
	if l.Rate > 0 {
		m.spent[group] = spent{m.spent[group].now() + l.Per/time.Duration(l.Rate), time.Now()}
	}
}

// affordable is how many may start at once.
func (m *model) affordable(group string, l driver.Limit) int {
	gap := l.Per / time.Duration(l.Rate)
	return l.Burst - int((m.spent[group].now()+gap-1)/gap)
}
