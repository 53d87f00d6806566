package jobstest

import (
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func refusedScheduleCases() []testCase {
	return []testCase{
		{name: "data that is no JSON object is refused", why: "a store may keep the last tick in it", run: func(s *suite) {
			d, now := s.scheduler(), s.storeNow()
			for _, data := range []string{"", "text", `"text"`, "[]", "1", "null"} {
				for _, start := range []driver.Start{{}, {From: now, Next: now.Add(time.Hour)}} {
					_, err := d.PutSchedule(s.Context(), driver.PutSchedule{Key: "a", Data: []byte(data), Start: start})
					s.equal(fmt.Sprintf("%q is refused", data), true, err != nil)
				}
			}
			s.equal("nothing is stored", 0, len(s.findSchedule("a").Data))
			s.schedule("a", `{"v":1}`, now, time.Hour)
			_, err := d.PutSchedule(s.Context(), driver.PutSchedule{Key: "a", Data: []byte("text"), Old: []byte(`{"v":1}`)})
			s.equal("as an exchange, too", true, err != nil)
			s.equal("what was stored stays", `{"v":1}`, string(s.findSchedule("a").Data))
		}},
		{name: "a page of schedules without a limit is refused", why: "what a store makes of it is its own: all of them, or none", run: func(s *suite) {
			d := s.scheduler()
			for _, limit := range []int{0, -1, driver.MaxBatch + 1} {
				_, _, err := d.Schedules(s.Context(), "", limit)
				s.equal(fmt.Sprint("list refused ", limit), true, err != nil)
				_, err = d.Claim(s.Context(), driver.Claim{Limit: limit, Hold: time.Minute})
				s.equal(fmt.Sprint("claim refused ", limit), true, err != nil)
			}
		}},
	}
}

func droppedScheduleCases() []testCase {
	return []testCase{
		{name: "a dropped schedule in code forgets its last tick", why: "one that is added later under the same name has not fired yet", run: func(s *suite) {
			d := s.scheduler()
			note := func() {
				s.Helper()
				put, err := d.PutSchedule(s.Context(), driver.PutSchedule{Key: "report", Data: []byte(`{"note":1}`)})
				s.must(err)
				s.equal("noted", true, put.Done)
			}
			fire := func(id string, at time.Time) driver.Fired {
				s.Helper()
				fired, err := s.d.Fire(s.Context(), driver.Tick{Name: "report", At: at, Job: &driver.Job{ID: id, Body: []byte(id)}})
				s.must(err)
				return fired
			}
			drop := func() {
				s.Helper()
				n, err := d.DropSchedules(s.Context(), []string{"report"})
				s.must(err)
				s.equal("dropped", 1, n)
				note()
				s.equal("a new one", driver.Schedule{Key: "report", Data: []byte(`{"note":1}`)}, s.findSchedule("report"))
			}
			note()
			start := fire("start", time.Time{}).Last
			s.wait(20 * time.Millisecond)
			s.equal("fired", true, fire("one", start.Add(time.Millisecond)).Fired)
			s.equal("last", start.Add(time.Millisecond), s.findSchedule("report").Last)
			// A tick that is passed over leaves word of the one that fired before it.
			_, err := d.PauseSchedule(s.Context(), "report")
			s.must(err)
			s.equal("passed over", false, fire("two", start.Add(2*time.Millisecond)).Fired)
			s.equal("last", start.Add(time.Millisecond), s.findSchedule("report").Last)
			drop()
			again := fire("start again", time.Time{})
			s.equal("it starts at the present", true, again.Last.After(start.Add(2*time.Millisecond)))
			s.equal("none has fired", time.Time{}, s.findSchedule("report").Last)
			s.wait(20 * time.Millisecond)
			s.equal("and is not paused", true, fire("three", again.Last.Add(time.Millisecond)).Fired)
			s.equal("last", again.Last.Add(time.Millisecond), s.findSchedule("report").Last)
			drop()
		}},
	}
}

func runningDropCases() []testCase {
	return []testCase{
		{name: "a dropped schedule in code goes on where it runs", why: "its processes fire the next tick, once", run: func(s *suite) {
			d := s.scheduler()
			fire := func(id string, at time.Time, known bool) driver.Fired {
				s.Helper()
				t := driver.Tick{Name: "report", At: at, Known: known}
				if id != "" {
					t.Job = &driver.Job{ID: id, Body: []byte(id)}
				}
				fired, err := s.d.Fire(s.Context(), t)
				s.must(err)
				return fired
			}
			drop := func(want int) {
				s.Helper()
				n, err := d.DropSchedules(s.Context(), []string{"report"})
				s.must(err)
				s.equal("dropped", want, n)
			}
			start := fire("", time.Time{}, true).Last // known, and yet it is new: the store lost it
			_, err := d.PutSchedule(s.Context(), driver.PutSchedule{Key: "report", Data: []byte(`{"note":1}`)})
			s.must(err)
			s.wait(20 * time.Millisecond)
			s.equal("fired", true, fire("one", start.Add(time.Millisecond), true).Fired)
			drop(1)
			drop(0)
			s.equal("none has fired", time.Time{}, s.findSchedule("report").Last)
			again := fire("one again", start.Add(time.Millisecond), true)
			s.equal("not a second time", driver.Fired{Last: start.Add(time.Millisecond), Now: again.Now}, again)
			s.equal("none has fired", time.Time{}, s.findSchedule("report").Last)
			s.equal("nor is the next one lost", true, fire("two", start.Add(2*time.Millisecond), true).Fired)
			s.equal("once", false, fire("two again", start.Add(2*time.Millisecond), true).Fired)
			drop(0)
			s.equal("nor is the next one lost", true, fire("three", start.Add(3*time.Millisecond), true).Fired)
			drop(0)
			// For a process that has just come it is a new one, and from then on for all.
			began := fire("", time.Time{}, false)
			s.equal("it starts at the present", began.Now, began.Last)
			s.equal("for all", false, fire("four", start.Add(4*time.Millisecond), true).Fired)
			s.stats(driver.Stats{Ready: 3})
		}},
	}
}
