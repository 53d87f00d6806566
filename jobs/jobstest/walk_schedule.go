package jobstest

import (
	"maps"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// ticking is a stored schedule as the model sees it.
type ticking struct {
	data    string
	next    time.Time
	claimed time.Time // the tick that a claim has handed out; zero: none
	paused  bool
}

func scheduleKeys() []string { return []string{" a", " b", "acme a", "acme b"} }

func scheduleData() []string { return []string{`{"s":1}`, `{"s":2}`} }

func (w *walk) scheduleKey() string { return one(w, scheduleKeys()) }

// soon is a moment at which a schedule may be due next.
func (w *walk) soon() time.Time {
	return time.Now().Add(one(w, []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, time.Hour})).UTC().Truncate(time.Millisecond)
}

func (w *walk) schedule() error {
	s, ok := w.d.(driver.Scheduler)
	if !ok {
		return nil
	}
	if err := w.changeSchedule(s); err != nil {
		return err
	}
	return w.lookAtSchedules(s)
}

// changeSchedule adds, pauses, resumes or drops a schedule, or fires what is due.
func (w *walk) changeSchedule(s driver.Scheduler) error {
	switch w.rand.IntN(8) {
	case 0, 1:
		return w.putSchedule(s)
	case 2:
		return w.pauseSchedule(s)
	case 3:
		if !w.chance(3) {
			return nil
		}
		key := w.scheduleKey()
		n, err := s.DropSchedules(w.ctx, []string{key, "never"})
		w.logf("drop schedule %q: %d, %v", key, n, err)
		if err != nil {
			return err
		}
		want := 0
		if w.m.schedules[key] != nil {
			want = 1
		}
		delete(w.m.schedules, key)
		delete(w.m.fired, key)
		return w.equal("dropped", want, n)
	}
	if err := w.claim(s); err != nil {
		return err
	}
	return w.fireClaimed(s)
}

func (w *walk) putSchedule(s driver.Scheduler) error {
	key, data, other := w.scheduleKey(), one(w, scheduleData()), one(w, scheduleData())
	if w.chance(3) {
		return w.exchangeSchedule(s, key, other, data)
	}
	next := w.soon()
	put, err := s.PutSchedule(w.ctx, driver.PutSchedule{Key: key, Data: []byte(data), Start: driver.Start{From: next.Add(-time.Hour), Next: next}})
	w.logf("put schedule %q %s for %s: %+v, %v", key, data, next, put, err)
	if err != nil {
		return err
	}
	k := w.m.schedules[key]
	if same := k != nil && k.data == data; same || put.Stale {
		// It may be stale by the time that it arrives.
		return w.equal("put", driver.Started{Now: put.Now, Stale: !same && !next.After(put.Now)}, put)
	}
	if k == nil {
		k = &ticking{}
		w.m.schedules[key] = k
	}
	k.data, k.claimed = data, time.Time{}
	if k.next = next; k.paused {
		k.next = time.Time{}
	}
	return w.equal("put", driver.Started{Done: true, Now: put.Now}, put)
}

// exchangeSchedule replaces the data of a schedule, or of none, in its place.
func (w *walk) exchangeSchedule(s driver.Scheduler, key, old, data string) error {
	put, err := s.PutSchedule(w.ctx, driver.PutSchedule{Key: key, Data: []byte(data), Old: []byte(old)})
	w.logf("exchange schedule %q %s for %s: %+v, %v", key, old, data, put, err)
	if err != nil {
		return err
	}
	k := w.m.schedules[key]
	done := k != nil && k.data == old && old != data
	if done {
		k.data = data
	}
	return w.equal("exchanged", driver.Started{Done: done, Now: put.Now}, put)
}

func (w *walk) pauseSchedule(s driver.Scheduler) error {
	key := w.scheduleKey()
	k := w.m.schedules[key]
	if w.chance(2) {
		found, err := s.PauseSchedule(w.ctx, key)
		w.logf("pause schedule %q: %t, %v", key, found, err)
		if err != nil {
			return err
		}
		if k != nil {
			k.paused, k.claimed = true, time.Time{}
		}
		return w.equal("paused", k != nil, found)
	}
	next := w.soon()
	got, err := s.ResumeSchedule(w.ctx, key, driver.Start{From: next.Add(-time.Hour), Next: next})
	w.logf("resume schedule %q for %s: %+v, %v", key, next, got, err)
	if err != nil || got.Stale {
		return err
	}
	paused := k != nil && k.paused
	if paused {
		k.paused, k.next, k.claimed = false, next, time.Time{}
	}
	return w.equal("resumed", driver.Started{Done: paused, Now: got.Now}, got)
}

// claim asks for what is due: no more, no less, and the same tick again if an
// earlier claim was not settled.
func (w *walk) claim(s driver.Scheduler) error {
	c := driver.Claim{Limit: 1 + w.rand.IntN(4), Hold: one(w, []time.Duration{5 * time.Millisecond, time.Hour})}
	got, err := s.Claim(w.ctx, c)
	w.logf("claim %d for %s: %+v, %v", c.Limit, c.Hold, got, err)
	if err != nil {
		return err
	}
	var due []string
	for _, key := range slices.Sorted(maps.Keys(w.m.schedules)) {
		if k := w.m.schedules[key]; !k.paused && !k.next.After(got.Now) {
			due = append(due, key)
		}
	}
	if err := w.equal("number of due schedules", min(len(due), c.Limit), len(got.Due)); err != nil {
		return err
	}
	for _, d := range got.Due {
		k := w.m.schedules[d.Key]
		if k == nil || !slices.Contains(due, d.Key) {
			return w.differ("schedule %q is not due", d.Key)
		}
		if k.claimed.IsZero() {
			k.claimed = k.next
		}
		if err := w.equal("claimed", driver.DueSchedule{Key: d.Key, Data: []byte(k.data), Tick: k.claimed}, d); err != nil {
			return err
		}
		k.next = got.Now.Add(c.Hold)
		w.m.claims = append(w.m.claims, driver.DueTick{Key: d.Key, Tick: d.Tick})
	}
	return nil
}

// fireClaimed settles some claims, among them some that have been settled.
func (w *walk) fireClaimed(s driver.Scheduler) error {
	var ticks []driver.DueTick
	used := map[string]bool{}
	for range w.rand.IntN(3) {
		t := one(w, w.m.claims)
		if t.Key == "" || used[t.Key] {
			continue
		}
		used[t.Key] = true
		t.Next = w.soon()
		if w.chance(2) {
			t.Job = new(w.freshJob(w.name("tick")))
			t.Job.Unique, t.Job.Scope, t.Job.Window = "", "", 0
			t.Last = t.Tick.Add(one(w, []time.Duration{0, time.Hour, -time.Hour}))
		}
		ticks = append(ticks, t)
	}
	if len(ticks) == 0 {
		return nil
	}
	got, err := s.FireDue(w.ctx, ticks)
	w.logf("fire %+v: %+v, %v", ticks, got, err)
	if err != nil {
		return err
	}
	var want []driver.FiredTick
	for _, t := range ticks {
		k := w.m.schedules[t.Key]
		fires := k != nil && !k.claimed.IsZero() && k.claimed.Equal(t.Tick)
		want = append(want, driver.FiredTick{Fired: fires})
		if !fires {
			continue
		}
		k.next, k.claimed = t.Next, time.Time{}
		if t.Job != nil {
			w.m.push(*t.Job, w.m.began)
			w.token = true
			w.m.fired[t.Key] = t.Last.Truncate(time.Second)
		}
	}
	return w.equal("fired", want, got)
}

// lookAtSchedules compares what the driver shows of all stored schedules.
func (w *walk) lookAtSchedules(s driver.Scheduler) error {
	found, err := s.FindSchedules(w.ctx, scheduleKeys())
	w.logf("find schedules: %+v, %v", found, err)
	if err != nil {
		return err
	}
	for i, key := range scheduleKeys() {
		want := driver.Schedule{Key: key}
		if k := w.m.schedules[key]; k != nil {
			want.Data, want.Last, want.Paused = []byte(k.data), w.m.fired[key], k.paused
			if !k.paused {
				want.Next = k.next
			}
		}
		if err := w.equal("schedule", want, found[i]); err != nil {
			return err
		}
	}
	return nil
}
