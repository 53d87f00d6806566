package jobstest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func scheduleCases() []testCase {
	return slices.Concat(claimCases(), settleCases(), lastTickCases(), startCases(), refusedScheduleCases(), pausedScheduleCases(), droppedScheduleCases(), runningDropCases(), schedulePageCases())
}

func claimCases() []testCase {
	return []testCase{
		{name: "a schedule is due at its tick", why: "a monitor must be looked at in time, and once", run: func(s *suite) {
			d, now := s.scheduler(), s.storeNow()
			s.equal("next of none", time.Duration(-1), s.claim(time.Minute).Next)
			s.schedule("a", `{"data":"of a"}`, now, step)
			s.schedule("b", `{"data":"of b"}`, now, time.Hour)
			claimed := s.claim(time.Minute)
			s.equal("not early", 0, len(claimed.Due))
			s.equal("next", true, claimed.Next > 0 && claimed.Next <= step)
			s.wait(claimed.Next + 5*time.Millisecond)
			claimed = s.claim(time.Minute)
			s.equal("due", []string{"a"}, dueKeys(claimed))
			s.equal("tick", now.Add(step), claimed.Due[0].Tick)
			s.equal("data", `{"data":"of a"}`, string(claimed.Due[0].Data))
			s.equal("next is when the claim lapses", true, claimed.Next > 50*time.Second && claimed.Next <= time.Minute)
			s.equal("claimed", 0, len(s.claim(time.Minute).Due))

			job := plain("job")
			tick := driver.DueTick{Key: "a", Tick: now.Add(step), Next: now.Add(2 * time.Hour), Job: &job}
			s.equal("fired", []driver.FiredTick{{Fired: true}}, s.fire(tick))
			s.stats(driver.Stats{Ready: 1})
			again := plain("again")
			tick.Job = &again
			s.equal("again", []driver.FiredTick{{}}, s.fire(tick))
			s.stats(driver.Stats{Ready: 1})
			found, err := d.FindSchedules(s.Context(), []string{"none", "a"})
			s.must(err)
			s.equal("none", driver.Schedule{Key: "none", Data: found[0].Data}, found[0])
			s.equal("none has no data", 0, len(found[0].Data))
			s.equal("next tick", now.Add(2*time.Hour), found[1].Next)
		}},
		{name: "a lapsed claim is handed out for the same tick", why: "a process that dies must not take a tick with it", run: func(s *suite) {
			now := s.storeNow()
			s.schedule("a", `{}`, now, step)
			s.wait(step + 5*time.Millisecond)
			first := s.claim(step)
			s.equal("claimed", []string{"a"}, dueKeys(first))
			s.wait(step + 5*time.Millisecond)
			second := s.claim(time.Minute)
			s.equal("the same", first.Due, second.Due)
			job, late := plain("job"), plain("late")
			tick := driver.DueTick{Key: "a", Tick: now.Add(step), Next: now.Add(time.Hour), Job: &job}
			s.equal("fired", true, s.fire(tick)[0].Fired)
			tick.Job = &late
			s.equal("the first one is too late", false, s.fire(tick)[0].Fired)
			s.stats(driver.Stats{Ready: 1})
		}},
	}
}

func settleCases() []testCase {
	return []testCase{
		{name: "ticks are settled each for itself", why: "a batch of one process has schedules that others changed", run: func(s *suite) {
			d, now := s.scheduler(), s.storeNow()
			for _, key := range []string{"a", "b", "c", "d", "e"} {
				s.schedule(key, `{}`, now, step)
			}
			s.wait(step + 5*time.Millisecond)
			s.equal("due", []string{"a", "b", "c", "d", "e"}, dueKeys(s.claim(time.Minute)))
			n, err := d.DropSchedules(s.Context(), []string{"b", "none"})
			s.must(err)
			s.equal("dropped", 1, n)
			s.schedule("c", `{"changed":1}`, s.storeNow(), time.Hour)
			_, err = d.PauseSchedule(s.Context(), "d")
			s.must(err)
			var ticks []driver.DueTick
			for _, key := range []string{"a", "b", "c", "d", "e"} {
				t := driver.DueTick{Key: key, Tick: now.Add(step), Next: now.Add(time.Hour)}
				if key != "e" {
					job := plain("job-" + key)
					t.Job = &job
				}
				ticks = append(ticks, t)
			}
			s.equal("fired", []driver.FiredTick{{Fired: true}, {}, {}, {}, {Fired: true}}, s.fire(ticks...))
			s.join("w", time.Minute)
			s.equal("jobs", []string{"job-a"}, s.take("w", 10))
		}},
		{name: "what is stored already changes nothing", why: "each process adds the schedules of its program when it starts", run: func(s *suite) {
			now := s.storeNow()
			s.schedule("a", `{}`, now, step)
			put, err := s.scheduler().PutSchedule(s.Context(), driver.PutSchedule{Key: "a", Data: []byte(`{}`), Start: driver.Start{From: now, Next: now.Add(time.Hour)}})
			s.must(err)
			s.equal("done", false, put.Done || put.Stale)
			s.wait(step + 5*time.Millisecond)
			s.equal("due", []string{"a"}, dueKeys(s.claim(time.Minute)))
			put, err = s.scheduler().PutSchedule(s.Context(), driver.PutSchedule{Key: "a", Data: []byte(`{}`), Start: driver.Start{From: now.Add(-2), Next: now.Add(-1)}})
			s.must(err)
			s.equal("done", false, put.Done || put.Stale)
			job := plain("job")
			s.equal("the claim holds", true, s.fire(driver.DueTick{Key: "a", Tick: now.Add(step), Next: now.Add(time.Hour), Job: &job})[0].Fired)
		}},
		{name: "data is exchanged without moving the tick", why: "what is sealed anew is still the same schedule", run: func(s *suite) {
			now := s.storeNow()
			exchange := func(key, old, data string, want bool) {
				s.Helper()
				put, err := s.scheduler().PutSchedule(s.Context(), driver.PutSchedule{Key: key, Data: []byte(data), Old: []byte(old)})
				s.must(err)
				s.equal("exchanged", driver.Started{Done: want, Now: put.Now}, put)
			}
			s.schedule("a", `{"v":1}`, now, step)
			exchange("a", `{"v":1}`, `{"v":2}`, true)
			exchange("a", `{"v":1}`, `{"v":3}`, false) // somebody was faster
			exchange("b", `{"v":1}`, `{"v":2}`, false) // it was dropped
			s.wait(step + 5*time.Millisecond)
			exchange("a", `{"v":2}`, `{"v":4}`, true)
			claimed := s.claim(time.Minute)
			s.equal("due", []driver.DueSchedule{{Key: "a", Data: []byte(`{"v":4}`), Tick: now.Add(step)}}, claimed.Due)
			exchange("a", `{"v":4}`, `{"v":5}`, true)
			job := plain("job")
			s.equal("the claim holds", true, s.fire(driver.DueTick{Key: "a", Tick: now.Add(step), Next: now.Add(time.Hour), Job: &job, Last: now})[0].Fired)
			_, err := s.scheduler().PauseSchedule(s.Context(), "a")
			s.must(err)
			exchange("a", `{"v":5}`, `{"v":6}`, true)
			found, err := s.scheduler().FindSchedules(s.Context(), []string{"a", "b"})
			s.must(err)
			s.equal("paused", true, found[0].Paused)
			s.equal("data", `{"v":6}`, string(found[0].Data))
			s.equal("the last tick", now.Truncate(time.Second), found[0].Last)
			s.equal("none", 0, len(found[1].Data))
		}},
	}
}

func lastTickCases() []testCase {
	return []testCase{
		{name: "the tick that fired last is known", why: "a customer asks when the monitor looked last, and what came of it", run: func(s *suite) {
			d := s.scheduler()
			last := func() time.Time { s.Helper(); return s.findSchedule("a").Last }
			second := s.storeNow().Truncate(time.Second)
			put := func(data string) {
				s.Helper()
				s.schedule("a", data, s.storeNow(), step)
			}
			tick := func(job *driver.Job, at time.Time) driver.FiredTick {
				s.Helper()
				s.wait(step + 5*time.Millisecond)
				claimed := s.claim(time.Minute)
				s.equal("due", []string{"a"}, dueKeys(claimed))
				s.equal("data", s.findSchedule("a").Data, claimed.Due[0].Data)
				return s.fire(driver.DueTick{Key: "a", Tick: claimed.Due[0].Tick, Next: claimed.Now.Add(step), Job: job, Last: at})[0]
			}
			put(`{"v":1}`)
			s.equal("none yet", time.Time{}, last())
			s.equal("fired", driver.FiredTick{Fired: true}, tick(new(plain("one")), second.Add(-time.Minute)))
			s.equal("the first", second.Add(-time.Minute), last())
			s.equal("caught up", driver.FiredTick{Fired: true}, tick(new(plain("three")), second.Add(-20*time.Second+time.Millisecond)))
			s.equal("the latest of some, to the second", second.Add(-20*time.Second), last())
			s.equal("passed over", driver.FiredTick{Fired: true}, tick(nil, second))
			s.equal("one that is passed over does not count", second.Add(-20*time.Second), last())

			s.push(driver.Job{ID: "running", Body: []byte("x"), Unique: "one at a time"})
			held := &driver.Job{ID: "held", Body: []byte("x"), Unique: "one at a time"}
			s.equal("held", driver.FiredTick{Fired: true, Holder: "running"}, tick(held, second.Add(-10*time.Second)))
			s.equal("one whose key is held does", second.Add(-10*time.Second), last())

			same, err := d.PutSchedule(s.Context(), driver.PutSchedule{Key: "a", Data: []byte(`{"v":1}`), Start: driver.Start{From: second, Next: second.Add(time.Hour)}})
			s.must(err)
			s.equal("the same again", false, same.Done)
			put(`{"v":2}`)
			s.equal("it outlives a change", second.Add(-10*time.Second), last())
			_, err = d.PauseSchedule(s.Context(), "a")
			s.must(err)
			s.equal("and a pause", second.Add(-10*time.Second), last())
			_, err = d.DropSchedules(s.Context(), []string{"a"})
			s.must(err)
			put(`{"v":2}`)
			s.equal("a new one has none", time.Time{}, last())
		}},
	}
}

func startCases() []testCase {
	return []testCase{
		{name: "a first tick of a wrong clock is refused", why: "a process whose clock is off must not skip a tick or fire a past one", run: func(s *suite) {
			now := s.storeNow()
			for _, start := range []driver.Start{
				{From: now.Add(time.Minute), Next: now.Add(time.Hour)},
				{From: now.Add(-time.Hour), Next: now.Add(-time.Minute)},
			} {
				put, err := s.scheduler().PutSchedule(s.Context(), driver.PutSchedule{Key: "a", Data: []byte(`{}`), Start: start})
				s.must(err)
				s.equal("stale", true, put.Stale && !put.Done)
				s.equal("the store's clock", true, put.Now.Sub(now) >= 0 && put.Now.Sub(now) < time.Minute)
			}
			s.equal("nothing", time.Duration(-1), s.claim(time.Minute).Next)
		}},
		{name: "a paused schedule is not due", why: "a customer who does not pay is not monitored", run: func(s *suite) {
			d, now := s.scheduler(), s.storeNow()
			s.schedule("a", `{}`, now, step)
			paused, err := d.PauseSchedule(s.Context(), "a")
			s.must(err)
			s.equal("paused", true, paused)
			paused, err = d.PauseSchedule(s.Context(), "none")
			s.must(err)
			s.equal("none", false, paused)
			s.schedule("a", `{"changed":1}`, now, step) // does not resume it
			s.wait(step + 5*time.Millisecond)
			s.equal("next", time.Duration(-1), s.claim(time.Minute).Next)
			found, err := d.FindSchedules(s.Context(), []string{"a"})
			s.must(err)
			s.equal("found", []driver.Schedule{{Key: "a", Data: []byte(`{"changed":1}`), Paused: true}}, found)

			now = s.storeNow()
			resumed, err := d.ResumeSchedule(s.Context(), "a", driver.Start{From: now.Add(-time.Hour), Next: now})
			s.must(err)
			s.equal("stale", true, resumed.Stale && !resumed.Done)
			for i, want := range []bool{true, false} {
				resumed, err = d.ResumeSchedule(s.Context(), "a", driver.Start{From: now, Next: now.Add(step)})
				s.must(err)
				s.equal(fmt.Sprint("resumed ", i), want, resumed.Done)
			}
			s.wait(step + 5*time.Millisecond)
			s.equal("due", []string{"a"}, dueKeys(s.claim(time.Minute)))
		}},
	}
}

func pausedScheduleCases() []testCase {
	return []testCase{
		{name: "a paused schedule in code passes its ticks over", why: "an operator stops a report without a deployment", run: func(s *suite) {
			d := s.scheduler()
			put, err := d.PutSchedule(s.Context(), driver.PutSchedule{Key: "report", Data: []byte(`{"note":1}`)})
			s.must(err)
			s.equal("put", true, put.Done)
			s.equal("never claimed", time.Duration(-1), s.claim(time.Minute).Next)
			fire := func(id string, at time.Time) driver.Fired {
				fired, err := s.d.Fire(s.Context(), driver.Tick{Name: "report", At: at, Job: &driver.Job{ID: id, Body: []byte(id)}})
				s.must(err)
				return fired
			}
			start := fire("early", time.Time{}).Last
			_, err = d.PauseSchedule(s.Context(), "report")
			s.must(err)
			s.wait(20 * time.Millisecond)
			fired := fire("passed", start.Add(time.Millisecond))
			s.equal("passed over", false, fired.Fired)
			s.equal("last", start.Add(time.Millisecond), fired.Last)
			s.equal("found", driver.Schedule{Key: "report", Data: []byte(`{"note":1}`), Paused: true}, s.findSchedule("report"))
			resumed, err := d.ResumeSchedule(s.Context(), "report", driver.Start{})
			s.must(err)
			s.equal("resumed", true, resumed.Done)
			at := start.Add(2 * time.Millisecond)
			s.equal("fired", true, fire("fired", at).Fired)
			s.stats(driver.Stats{Ready: 1})

			s.equal("fired last", at, s.findSchedule("report").Last)
			_, err = d.PauseSchedule(s.Context(), "report")
			s.must(err)
			for i := range 2 {
				s.equal("passed over", false, fire("passed again", at.Add(time.Duration(i+1)*time.Millisecond)).Fired)
			}
			s.equal("fired last, and no later one", at, s.findSchedule("report").Last)
			_, err = d.ResumeSchedule(s.Context(), "report", driver.Start{})
			s.must(err)
			s.equal("fired", true, fire("fired again", at.Add(3*time.Millisecond)).Fired)
			s.equal("fired last", at.Add(3*time.Millisecond), s.findSchedule("report").Last)
			_, err = d.DropSchedules(s.Context(), []string{"report"})
			s.must(err)
			_, err = d.PutSchedule(s.Context(), driver.PutSchedule{Key: "report", Data: []byte(`{"note":2}`)})
			s.must(err)
			s.equal("a new one", driver.Schedule{Key: "report", Data: []byte(`{"note":2}`)}, s.findSchedule("report"))
		}},
		{name: "a tick whose key is held stores nothing", why: "a slow report must not run beside itself", run: func(s *suite) {
			now := s.storeNow()
			s.schedule("a", `{}`, now, step)
			s.push(driver.Job{ID: "running", Body: []byte("x"), Unique: "one at a time"})
			s.wait(step + 5*time.Millisecond)
			s.claim(time.Minute)
			job := driver.Job{ID: "next", Body: []byte("x"), Unique: "one at a time"}
			s.equal("holder", []driver.FiredTick{{Fired: true, Holder: "running"}},
				s.fire(driver.DueTick{Key: "a", Tick: now.Add(step), Next: now.Add(time.Hour), Job: &job}))
			s.stats(driver.Stats{Ready: 1})
		}},
		{name: "a claim is bounded", why: "a process must not take what it cannot fire in time", run: func(s *suite) {
			now := s.storeNow()
			for i := range 5 {
				s.schedule(fmt.Sprint("k", i), `{}`, now, step+time.Duration(i)*time.Millisecond)
			}
			s.wait(step + 20*time.Millisecond)
			claimed, err := s.scheduler().Claim(s.Context(), driver.Claim{Limit: 3, Hold: time.Minute})
			s.must(err)
			s.equal("the longest overdue first", []string{"k0", "k1", "k2"}, dueKeys(claimed))
			s.equal("more is due", time.Duration(0), claimed.Next)
			s.claim(time.Minute)

			big := fmt.Sprintf(`{"big":"%s"}`, strings.Repeat("x", 700<<10))
			for i := range 3 { // each by a clock of its own: a slow store takes a second for one
				s.schedule(fmt.Sprint("big", i), big, s.storeNow(), 3*step)
			}
			s.wait(3*step + 20*time.Millisecond)
			claimed = s.claim(time.Minute)
			s.equal("big ones", 2, len(claimed.Due))
			s.equal("more is due", time.Duration(0), claimed.Next)
		}},
	}
}

func schedulePageCases() []testCase {
	return []testCase{
		{name: "schedules are listed in pages", why: "a dashboard must show all of them", run: func(s *suite) {
			d, now := s.scheduler(), s.storeNow()
			var want []string
			for i := range 600 { // many enough for a store to keep them otherwise than a few
				want = append(want, fmt.Sprintf("schedule-%03d", i))
				s.schedule(want[i], `{}`, now, time.Hour)
			}
			var seen []string
			for cursor := ""; ; {
				page, next, err := d.Schedules(s.Context(), cursor, 50)
				s.must(err)
				for _, entry := range page {
					s.equal("data", `{}`, string(entry.Data))
					seen = append(seen, entry.Key)
				}
				if cursor = next; cursor == "" {
					break
				}
			}
			slices.Sort(seen)
			s.equal("keys", want, slices.Compact(seen))
			n, err := d.DropSchedules(s.Context(), want)
			s.must(err)
			s.equal("dropped", len(want), n)
			page, next, err := d.Schedules(s.Context(), "", 50)
			s.must(err)
			s.equal("none left", 0, len(page)+len(next))
		}},
	}
}

func (s *suite) scheduler() driver.Scheduler {
	s.Helper()
	d, ok := s.d.(driver.Scheduler)
	if !ok {
		s.Fatal("driver is not a driver.Scheduler; set Features.NoSchedule if that is meant")
	}
	return d
}

// storeNow reads the store's clock, to the millisecond.
func (s *suite) storeNow() time.Time { return s.claim(time.Minute).Now }

func (s *suite) claim(hold time.Duration) driver.Claimed {
	s.Helper()
	claimed, err := s.scheduler().Claim(s.Context(), driver.Claim{Limit: 100, Hold: hold})
	s.must(err)
	return claimed
}

func (s *suite) schedule(key, data string, from time.Time, in time.Duration) {
	s.Helper()
	put, err := s.scheduler().PutSchedule(s.Context(), driver.PutSchedule{
		Key: key, Data: []byte(data), Start: driver.Start{From: from, Next: from.Add(in)},
	})
	s.must(err)
	s.equal("schedule is stored", true, put.Done)
}

func (s *suite) findSchedule(key string) driver.Schedule {
	s.Helper()
	found, err := s.scheduler().FindSchedules(s.Context(), []string{key})
	s.must(err)
	return found[0]
}

func (s *suite) fire(ticks ...driver.DueTick) []driver.FiredTick {
	s.Helper()
	fired, err := s.scheduler().FireDue(s.Context(), ticks)
	s.must(err)
	return fired
}

func dueKeys(c driver.Claimed) []string {
	keys := []string{}
	for _, due := range c.Due {
		keys = append(keys, due.Key)
	}
	slices.Sort(keys)
	return keys
}
