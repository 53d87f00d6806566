package jobstest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// job makes a random job; now and then one that was there before, or another
// tenant's with an id that was.
func (w *walk) job() driver.Job {
	if id := one(w, w.someIDs(3)); w.chance(12) && w.m.jobs[id] != nil && !strings.Contains(id, "~") {
		again := w.m.jobs[id].Job
		again.ID = id
		if w.chance(3) {
			again.Tenant, again.Unique = "initech", ""
		}
		return again
	}
	return w.freshJob(w.name("j"))
}

func (w *walk) freshJob(id string) driver.Job {
	j := driver.Job{ID: id, Tenant: one(w, []string{"", "acme", "globex"}), Kind: one(w, []string{"mail", "plain"})}
	j.Body = fmt.Appendf(nil, `{"v":1,"kind":%q,"args":{"n":%q}}`, j.Kind, j.ID)
	if w.uses.priorities {
		j.Priority = driver.Priority(w.rand.IntN(4) - 1)
	}
	if w.uses.delays && w.chance(3) {
		j.Delay = one(w, []time.Duration{3 * time.Millisecond, time.Hour})
	}
	if w.uses.uniques && w.chance(2) {
		j.Unique = j.Tenant + one(w, []string{":key", ":other"})
		j.Scope = one(w, []driver.UniqueScope{driver.UntilDone, driver.UntilStarted, driver.UniqueFor, driver.Replace})
		if j.Scope == driver.UniqueFor {
			j.Window = time.Hour
		}
	}
	return j
}

func (w *walk) push() error {
	batch := make([]driver.Job, 1+w.rand.IntN(5))
	for i := range batch {
		batch[i] = w.job()
	}
	p := driver.Push{Jobs: batch}
	fresh, unfinished := w.m.countNew(batch), len(w.m.in(driver.Ready))+len(w.m.in(driver.Running))
	if w.chance(6) {
		p.MaxDepth = max(1, unfinished+fresh-w.rand.IntN(3))
	}
	now := time.Now()
	pushed, err := w.d.Push(w.ctx, p)
	w.logf("push %s depth %d: %v, %v", w.show(batch), p.MaxDepth, pushed, err)
	if full := p.MaxDepth > 0 && fresh > 0 && unfinished+fresh > p.MaxDepth; full || errors.Is(err, driver.ErrQueueFull) {
		return w.equal("the queue is full", full, errors.Is(err, driver.ErrQueueFull))
	}
	if err != nil {
		return err
	}
	if err := w.stored(batch, pushed, now); err != nil || !w.chance(5) {
		return err
	}
	// The answer got lost: the same again.
	now = time.Now()
	pushed, err = w.d.Push(w.ctx, driver.Push{Jobs: batch})
	w.logf("push again: %v, %v", pushed, err)
	if err != nil {
		return err
	}
	return w.stored(batch, pushed, now)
}

// stored compares what became of jobs.
func (w *walk) stored(batch []driver.Job, pushed []driver.Pushed, now time.Time) error {
	want := make([]driver.Pushed, len(batch))
	for i, j := range batch {
		before := w.m.jobs[j.ID]
		fresh := before == nil || before.state == ""
		want[i] = w.m.push(j, now)
		w.token = w.token || want[i].Replaced || fresh && want[i].Holder == ""
	}
	return w.equal("pushed", want, pushed)
}

func (w *walk) show(batch []driver.Job) string {
	text := ""
	for _, j := range batch {
		text += fmt.Sprintf("{%s %s/%s p%d", j.ID, j.Tenant, j.Kind, j.Priority)
		if j.Delay > 0 {
			text += " in " + j.Delay.String()
		}
		if j.Unique != "" {
			text += fmt.Sprintf(" unique %s %q", j.Unique, j.Scope)
		}
		text += "} "
	}
	return text
}

// pushAt is a relay of an outbox; now and then one that is behind.
func (w *walk) pushAt() error {
	relay, ok := w.d.(driver.Positioner)
	if !ok {
		return nil
	}
	from, to, batch := w.m.position, w.name("position"), []driver.Job{w.job(), w.job()}
	if w.chance(3) {
		from = "elsewhere"
	}
	now := time.Now()
	moved, err := relay.PushAt(w.ctx, from, to, batch)
	w.logf("push at %q → %q %s: %v, %v", from, to, w.show(batch), moved, err)
	if err != nil {
		return err
	}
	if moved {
		for _, j := range batch {
			before := w.m.jobs[j.ID]
			answer := w.m.push(j, now)
			w.token = w.token || answer.Replaced || (before == nil || before.state == "") && answer.Holder == ""
		}
		w.m.position = to
	}
	if err := w.equal("moved", from != "elsewhere", moved); err != nil {
		return err
	}
	position, err := relay.Position(w.ctx)
	if err != nil {
		return err
	}
	return w.equal("position", w.m.position, position)
}
