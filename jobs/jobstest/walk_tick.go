package jobstest

import (
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// noted is what the store has of a schedule in code.
type noted struct {
	data   string
	paused bool
}

// tick is what processes do that have a schedule in code: each fires its ticks,
// most of which another one has fired, and notes it down now and then.
func (w *walk) tick() error {
	name := one(w, []string{"nightly", "weekly"})
	s, ok := w.d.(driver.Scheduler)
	if !ok || !w.chance(4) {
		return w.fire(name)
	}
	if err := w.changeNote(s, name); err != nil {
		return err
	}
	return w.lookAtNote(s, name)
}

// fire comes with a tick that is new, old or in the future, of a process that ran
// the schedule before or does not.
func (w *walk) fire(name string) error {
	last, known := w.m.ticks[name]
	dropped, goesOn := w.m.dropped[name]
	now := time.Now().UTC().Truncate(time.Millisecond)
	t := driver.Tick{Name: name, Known: w.chance(2), At: one(w, []time.Time{
		{}, last, dropped, dropped.Add(time.Millisecond), last.Add(-time.Millisecond), last.Add(time.Millisecond), now, now.Add(-time.Millisecond), now.Add(time.Hour),
	})}
	if !t.At.IsZero() {
		t.Job = new(w.freshJob(w.name("tick")))
		t.Job.Unique, t.Job.Scope, t.Job.Window = "", "", 0
		if w.uses.uniques && w.chance(2) {
			t.Job.Unique, t.Job.Scope = "schedule:"+name, driver.UntilDone
		}
	}
	got, err := w.d.Fire(w.ctx, t)
	w.logf("fire %s of %s, known %t: %+v, %v", t.Name, t.At, t.Known, got, err)
	if err != nil {
		return err
	}
	want := driver.Fired{Last: last, Now: got.Now}
	switch {
	case !known && t.Known && goesOn:
		want.Last = dropped
	case !known:
		want.Last = got.Now
	}
	if t.Job != nil && t.At.After(want.Last) && !t.At.After(got.Now) {
		want.Last = t.At
		if n := w.m.notes[name]; n == nil || !n.paused {
			want.Fired, want.Holder = true, w.m.push(*t.Job, w.m.began).Holder
			w.token = w.token || want.Holder == ""
			w.m.fired[name] = t.At
		}
	}
	w.m.ticks[name] = want.Last
	delete(w.m.dropped, name)
	return w.equal("fired", want, got)
}

// changeNote writes a schedule in code down, pauses, resumes or drops it.
func (w *walk) changeNote(s driver.Scheduler, name string) error {
	n := w.m.notes[name]
	switch w.rand.IntN(4) {
	case 0:
		data := one(w, []string{`{"seen":1}`, `{"seen":2}`})
		put, err := s.PutSchedule(w.ctx, driver.PutSchedule{Key: name, Data: []byte(data)})
		w.logf("note %s %q: %+v, %v", name, data, put, err)
		if err != nil {
			return err
		}
		want := driver.Started{Done: n == nil || n.data != data, Now: put.Now}
		if n == nil {
			n = &noted{}
			w.m.notes[name] = n
		}
		n.data = data
		return w.equal("noted", want, put)
	case 1:
		found, err := s.PauseSchedule(w.ctx, name)
		w.logf("pause %s: %t, %v", name, found, err)
		if err != nil {
			return err
		}
		if n != nil {
			n.paused = true
		}
		return w.equal("paused", n != nil, found)
	case 2:
		got, err := s.ResumeSchedule(w.ctx, name, driver.Start{})
		w.logf("resume %s: %+v, %v", name, got, err)
		if err != nil {
			return err
		}
		want := driver.Started{Done: n != nil && n.paused, Now: got.Now}
		if n != nil {
			n.paused = false
		}
		return w.equal("resumed", want, got)
	}
	dropped, err := s.DropSchedules(w.ctx, []string{name})
	w.logf("drop %s: %d, %v", name, dropped, err)
	if err != nil {
		return err
	}
	delete(w.m.notes, name)
	if last, known := w.m.ticks[name]; known {
		w.m.dropped[name] = last // for processes that still run it
	}
	delete(w.m.ticks, name) // to any other its next tick is that of a new one
	delete(w.m.fired, name)
	return w.equal("dropped", n != nil, dropped == 1)
}

// lookAtNote compares what the driver shows of a schedule in code.
func (w *walk) lookAtNote(s driver.Scheduler, name string) error {
	found, err := s.FindSchedules(w.ctx, []string{name})
	if err != nil {
		return err
	}
	n := w.m.notes[name]
	if n == nil {
		return w.equal("note", 0, len(found[0].Data))
	}
	return w.equal("note", driver.Schedule{Key: name, Data: []byte(n.data), Last: w.m.fired[name], Paused: n.paused}, found[0])
}
