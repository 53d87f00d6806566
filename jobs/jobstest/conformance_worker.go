package jobstest

import (
	"fmt"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func (s *suite) workers() []driver.Worker {
	s.Helper()
	overseer, ok := s.d.(driver.Overseer)
	if !ok {
		s.Fatal("driver is not a driver.Overseer; set Features.NoWorkers if that is meant")
	}
	list, err := overseer.Workers(s.Context())
	s.must(err)
	return list
}

// says are what workers say of themselves, in the order of the list.
func says(list []driver.Worker) []string {
	var texts []string
	for _, w := range list {
		texts = append(texts, w.ID+": "+string(w.About))
	}
	return texts
}

// say renews a lease, or begins one, with something that the worker says.
func (s *suite) say(worker string, lease time.Duration, about string, running ...driver.Run) {
	s.Helper()
	_, err := s.d.Beat(s.Context(), driver.Beat{Worker: worker, Lease: lease, Join: s.seq[worker] == 0, About: []byte(about), Running: running})
	s.must(err)
	s.exchange(worker, 0)
}

// near tells whether a time is an instant of the store's clock, give or take
// what calls take on a busy machine.
func (s *suite) near(what string, want, got time.Time) {
	s.Helper()
	if d := got.Sub(want).Abs(); d > 10*time.Second {
		s.Fatalf("%s: want about %s, got %s\nwhy this matters: %s", what, want, got, s.why)
	}
}

func workerCases() []testCase {
	return []testCase{
		{"workers are listed as of their latest beat", "who works, and on what", func(s *suite) {
			s.equal("nobody", 0, len(s.workers()))
			s.push(many("j", "", 3)...)
			s.say("b", time.Hour, `{"two":"words"}`)
			s.say("a", time.Minute, "first")
			s.equal("both", []string{"a: first", `b: {"two":"words"}`}, says(s.workers()))
			s.take("b", 2)
			s.equal("held when it beat", 0, s.workers()[1].Held)
			s.say("b", 2*time.Hour, "")
			list := s.workers()
			s.equal("renewed", []string{"a: first", "b: "}, says(list))
			b := list[1]
			s.equal("held", 2, b.Held)
			s.equal("lease", 2*time.Hour, b.Lease)
			s.near("beat", time.Now(), b.Beat)
			s.near("end", time.Now().Add(2*time.Hour), time.Now().Add(b.Left))
		}},
		{"a worker that dies is listed until its jobs are given back", "one that hangs looks like it, and must be seen", func(s *suite) {
			s.push(plain("a"))
			s.say("dies", step, "old")
			s.take("dies", 1)
			s.wait(2 * step)
			list := s.workers()
			s.equal("late", []string{"dies: old"}, says(list))
			s.equal("ran out", true, list[0].Left < 0)
			s.join("heir", time.Minute)
			s.equal("gone", []string{"heir: "}, says(s.workers()))
		}},
		{"a worker that leaves is listed until it has left", "a drain can be watched", func(s *suite) {
			s.push(plain("a"), plain("b"))
			s.say("w", time.Minute, "works")
			s.take("w", 2)
			s.say("w", time.Minute, "drains")
			s.finish("w", "a")
			s.equal("drains", []string{"w: drains"}, says(s.workers()))
			s.leave("w")
			s.equal("gone", 0, len(s.workers()))
			s.equal("given back", driver.Ready, s.state("b"))
		}},
		{"many workers are bounded", "a list is for people", func(s *suite) {
			for i := range driver.MaxWorkers + 5 {
				_, err := s.d.Beat(s.Context(), driver.Beat{Worker: fmt.Sprintf("w%04d", i), Lease: time.Hour + time.Duration(i)*time.Second, Join: true})
				s.must(err)
			}
			list := s.workers()
			s.equal("number", driver.MaxWorkers, len(list))
			s.equal("first", "w0000", list[0].ID)
			s.equal("last", fmt.Sprintf("w%04d", driver.MaxWorkers-1), list[len(list)-1].ID)
		}},
	}
}

func startedCases() []testCase {
	return []testCase{
		{"a job knows since when it runs", "a long one can be told from one that hangs", func(s *suite) {
			s.push(plain("long"), driver.Job{ID: "other", Tenant: "a@b c", Unique: "k", Body: []byte("x")})
			s.say("w", time.Minute, "")
			s.take("w", 2)
			for _, id := range []string{"long", "other"} {
				s.equal("not told", time.Time{}, s.find(id).Started)
				s.say("w", time.Minute, "", driver.Run{ID: id, For: time.Hour}, driver.Run{ID: "unknown", For: time.Hour})
				first := s.find(id).Started
				s.near("an hour ago", time.Now().Add(-time.Hour), first)
				s.say("w", time.Minute, "", driver.Run{ID: id, For: time.Second})
				s.equal("the first one counts", first, s.find(id).Started)
				s.equal("listed", first, s.list(driver.Running, map[string]int{"long": 0, "other": 1}[id], 1)[0].Started)
			}
			// What is held is found as before: by a repeated exchange, and by its ends.
			again, err := s.d.Exchange(s.Context(), driver.Exchange{Worker: "w", Seq: s.seq["w"]})
			s.must(err)
			s.equal("of the latest exchange", 0, len(again.Jobs))
			s.exchange("w", 0, driver.Outcome{ID: "long", Action: driver.Return}, driver.Outcome{ID: "other", Action: driver.Finish})
			s.equal("returned", time.Time{}, s.find("long").Started)
			s.equal("finished", driver.State(""), s.state("other"))
			s.equal("the key is free", []string{""}, s.push(driver.Job{ID: "third", Unique: "k", Body: []byte("x"), Delay: time.Hour}))
			s.take("w", 1)
			s.equal("taken again", time.Time{}, s.find("long").Started)
			_, err = s.d.Beat(s.Context(), driver.Beat{Worker: "w", Lease: time.Minute, Running: make([]driver.Run, driver.MaxBatch+1)})
			s.equal("too many", true, err != nil)
		}},
		{"a repeated exchange gives what began meanwhile", "its answer got lost, the beat's did not", func(s *suite) {
			s.push(plain("a"), plain("b"))
			s.say("w", time.Minute, "")
			s.equal("taken", []string{"a", "b"}, s.take("w", 2))
			_, err := s.d.Beat(s.Context(), driver.Beat{Worker: "w", Lease: time.Minute, Running: []driver.Run{{ID: "a", For: time.Hour}}})
			s.must(err)
			again, err := s.d.Exchange(s.Context(), driver.Exchange{Worker: "w", Seq: s.seq["w"], Want: 2})
			s.must(err)
			s.equal("again", 2, len(again.Jobs))
		}},
		{"a worker cannot tell of the jobs of others", "its books may be old", func(s *suite) {
			s.push(plain("a"))
			s.say("w", time.Minute, "")
			s.say("other", time.Minute, "")
			s.take("w", 1)
			s.say("other", time.Minute, "", driver.Run{ID: "a", For: time.Hour})
			s.equal("not told", time.Time{}, s.find("a").Started)
			s.equal("one holds it", "w", s.find("a").Worker)
		}},
	}
}

func failureCases() []testCase {
	return []testCase{
		{"the latest failures are remembered", "the last error is often not the first", func(s *suite) {
			s.push(plain("a"))
			s.say("w", time.Minute, "")
			texts := []string{"", "two\nlines; 1,2,3,4; \x00", strings.Repeat("é", 1000), "four", "five"}
			for i, text := range texts {
				s.equal("taken", []string{"a"}, s.take("w", 1))
				s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Retry, Error: text, Took: time.Duration(i) * time.Second})
				got := s.find("a")
				s.equal("attempts", i+1, got.Attempts)
				s.equal("last", text, got.Error)
				s.equal("number", min(i+1, driver.MaxFailures), len(got.Failures))
				for n, f := range got.Failures {
					s.near("time", time.Now(), f.At)
					want := driver.Failure{Attempt: i + 1 - n, At: f.At, Took: time.Duration(i-n) * time.Second, Error: texts[i-n]}
					s.equal("failure", want, f)
				}
				s.equal("listed", got.Failures, s.list(driver.Ready, 0, 1)[0].Failures)
			}
			batch := s.exchange("w", 1)
			s.equal("a worker needs the last", "five", batch.Jobs[0].Error)
			s.equal("and no more", 0, len(batch.Jobs[0].Failures))
			s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Bury, Error: "six", Took: time.Hour})
			dead := s.find("a")
			s.equal("of the last attempt", driver.Failure{Attempt: 6, At: dead.At, Took: time.Hour, Error: "six"}, dead.Failures[0])
			s.equal("requeued", 1, s.resolve(driver.Requeue, "a"))
			s.equal("all before it", 0, len(s.find("a").Failures))
		}},
		{"a worker that died is the last failure of its job", "the others are not forgotten with it", func(s *suite) {
			s.push(plain("a"))
			s.say("w", time.Minute, "")
			s.take("w", 1)
			s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Retry, Error: "no"})
			for i := range 2 {
				dies := fmt.Sprint("dies", i)
				s.say(dies, step, "")
				s.equal("taken", []string{"a"}, s.take(dies, 1))
				s.wait(2 * step)
				s.join("heir", time.Minute)
			}
			dead := s.find("a")
			s.equal("state", driver.Dead, dead.State)
			s.equal("number", 2, len(dead.Failures))
			s.equal("attempt", 2, dead.Failures[0].Attempt)
			s.equal("says why", dead.Error, dead.Failures[0].Error)
			s.equal("before it", "no", dead.Failures[1].Error)
		}},
		{"a kept job knows what it took", "the slow ones are looked for", func(s *suite) {
			s.push(plain("a"), plain("b"))
			s.say("w", time.Minute, "")
			s.take("w", 2)
			s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Finish, Keep: time.Hour, Result: []byte("5 +6"), Took: 90 * time.Second},
				driver.Outcome{ID: "b", Action: driver.Finish, Keep: time.Hour})
			a, b := s.find("a"), s.find("b")
			s.equal("took", 90*time.Second, a.Took)
			s.equal("result", "5 +6", string(a.Result))
			s.equal("not known", time.Duration(0), b.Took)
			s.equal("no result", 0, len(b.Result))
			s.near("finished", time.Now(), b.At)
		}},
	}
}
