package jobstest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func exchangeCases() []testCase {
	return []testCase{
		{"want limits what is taken", "a worker has so many slots", func(s *suite) {
			s.push(many("j", "", 5)...)
			s.join("w", time.Minute)
			batch := s.exchange("w", 0)
			s.equal("want 0", 0, len(batch.Jobs))
			s.equal("ready", 5, batch.Ready)
			batch = s.exchange("w", 2)
			s.equal("want 2", []string{"j0000", "j0001"}, ids(batch.Jobs))
			s.equal("ready", 3, batch.Ready)
		}},
		{"a failed attempt is counted and comes back later", "retries need backoff", func(s *suite) {
			s.push(plain("a"))
			s.join("w", time.Minute)
			s.take("w", 1)
			text := "line one\nzweite Zeile: ß \x01"
			batch := s.exchange("w", 1, driver.Outcome{ID: "a", Action: driver.Retry, Delay: 2 * step, Error: text})
			s.equal("too early", []string{}, ids(batch.Jobs))
			s.equal("due within", true, batch.Next > 0 && batch.Next <= 2*step+rounding)
			s.stats(driver.Stats{Scheduled: 1})
			s.wait(2*step + 20*time.Millisecond)
			again := s.exchange("w", 1).Jobs
			s.equal("ids", []string{"a"}, ids(again))
			s.equal("attempts", 1, again[0].Attempts)
			s.equal("error", text, again[0].Error)
			s.equal("body", "body of a", string(again[0].Body))
		}},
		{"returned jobs come back ahead of others, in their order", "a tenant's jobs start in the order in which they came", func(s *suite) {
			s.push(plain("c"), plain("b"), plain("a"), plain("z"))
			s.join("w", time.Minute)
			s.equal("taken", []string{"c", "b", "a"}, s.take("w", 3))
			back := []driver.Outcome{{ID: "c", Action: driver.Return}, {ID: "b", Action: driver.Return}, {ID: "a", Action: driver.Return}}
			s.equal("again", []string{"c", "b", "a", "z"}, ids(s.exchange("w", 4, back...).Jobs))
		}},
		{"more returned jobs than one exchange tells of keep their order", "a worker that shuts down may have so many", func(s *suite) {
			s.push(many("a", "", 500)...)
			s.push(many("b", "", 200)...)
			s.join("w", time.Minute)
			for _, want := range []int{150, 250} { // jobs are left, or there are none
				all := slices.Concat(s.take("w", 400), s.take("w", want), s.take("w", max(want-200, 0)), s.take("w", max(want-200, 0)))
				var back []driver.Outcome
				for _, id := range all {
					back = append(back, driver.Outcome{ID: id, Action: driver.Return})
				}
				s.exchange("w", 0, back[:500]...)
				s.exchange("w", 0, back[500:]...)
				s.equal("order", all[:3], s.take("w", 3))
				s.exchange("w", 0, back[1:3]...)
				s.exchange("w", 0, driver.Outcome{ID: all[0], Action: driver.Finish})
				s.equal("order, again", all[1:500], s.take("w", 499))
				s.exchange("w", 0, back[1:500]...)
			}
		}},
		{"a buried job waits for a decision", "nothing is thrown away silently", func(s *suite) {
			s.push(plain("a"), plain("b"))
			s.join("w", time.Minute)
			s.take("w", 2)
			s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Bury, Error: "no"})
			s.stats(driver.Stats{Running: 1, Dead: 1})
			dead, err := s.d.List(s.Context(), driver.ListQuery{State: driver.Dead, Limit: 10})
			s.must(err)
			s.equal("listed", []string{"a"}, ids(dead))
			s.equal("error", "no", dead[0].Error)
			s.equal("attempts", 1, dead[0].Attempts)
			s.equal("time of death", true, !dead[0].At.IsZero())
		}},
		{"a returned job is next", "shutdown must not send a job to the end", func(s *suite) {
			s.push(many("j", "", 4)...)
			s.join("w", time.Minute)
			s.take("w", 2)
			batch := s.exchange("w", 2, driver.Outcome{ID: "j0001", Action: driver.Return})
			s.equal("order", []string{"j0001", "j0002"}, ids(batch.Jobs))
			s.equal("attempts", 0, batch.Jobs[0].Attempts)
			batch = s.exchange("w", 5, driver.Outcome{ID: "j0001", Action: driver.Return, Delay: time.Minute})
			s.equal("rests", []string{"j0003"}, ids(batch.Jobs))
			s.stats(driver.Stats{Running: 3, Scheduled: 1})
		}},
	}
}

// shared makes an exchange that may bring each of a tenant's jobs, and checks that
// it does not bring more.
func (s *suite) shared(worker string, want, each int, done ...driver.Outcome) []string {
	s.Helper()
	s.seq[worker]++
	batch, err := s.d.Exchange(s.Context(), driver.Exchange{Worker: worker, Seq: s.seq[worker], Want: want, Each: each, Done: done})
	s.must(err)
	of := map[string]int{}
	for _, job := range batch.Jobs {
		of[job.Tenant]++
	}
	for tenant, n := range of {
		s.equal(fmt.Sprintf("%d jobs of tenant %q, too many", n, tenant), true, each == 0 || n <= each)
	}
	return ids(batch.Jobs)
}

func shareCases() []testCase {
	return []testCase{
		{"an exchange hands out no more than Each of a tenant", "what a worker holds of a large tenant is ahead of what comes", func(s *suite) {
			s.join("w", time.Minute)
			s.push(many("alone", "large", 100)...)
			taken := s.shared("w", 50, 7)
			s.equal("one tenant's", ids(s.list(driver.Running, 0, 100)), taken)
			s.equal("as many as it may have", 7, len(taken))
			rest := s.shared("w", 100, 0)
			s.equal("no bound", 93, len(rest))

			for i := range 10 {
				s.push(many(fmt.Sprint("t", i, "-"), fmt.Sprint("tenant", i), 10)...)
			}
			s.push(many("none", "", 10)...)
			taken = s.shared("w", 60, 6)
			s.equal("all that are wanted, in turns", 60, len(taken))

			var back []driver.Outcome
			for _, id := range append(taken, rest[:20]...) {
				back = append(back, driver.Outcome{ID: id, Action: driver.Return})
			}
			s.equal("what came back counts", true, len(s.shared("w", 60, 5, back...)) >= 5)
		}},
		{"Each bounds what a large worker leaves, wherever that is cut", "many jobs come back at one point of the order", func(s *suite) {
			s.push(many("a", "large", 500)...)
			s.push(many("b", "large", 400)...)
			s.join("leaves", time.Minute)
			s.equal("taken", 700, len(s.take("leaves", 500))+len(s.take("leaves", 200)))
			s.leave("leaves")
			s.join("w", time.Minute)
			s.take("w", 500)
			for range 20 {
				s.equal("one", 1, len(s.shared("w", 10, 1)))
			}
		}},
	}
}

// shareWeightCases are of drivers with weights.
func shareWeightCases() []testCase {
	return []testCase{
		{"Each bounds jobs that were placed by a weight since lifted", "they stand closer than others", func(s *suite) {
			s.join("w", time.Minute)
			s.configure(driver.Change{Target: acme, Weight: new(4)})
			s.push(some("acme", 60)...)
			s.push(some("globex", 60)...)
			s.configure(driver.Change{Target: acme, Weight: new(1)})
			for range 5 {
				s.take("w", 1)
				s.equal("some", true, len(s.shared("w", 20, 6)) >= 6)
			}
		}},
	}
}

func replayCases() []testCase {
	return []testCase{
		{"a repeated exchange is answered again, not done again", "the answer may get lost after the deed", func(s *suite) {
			s.push(many("j", "", 4)...)
			s.join("w", time.Minute)
			x := driver.Exchange{Worker: "w", Seq: 1, Want: 2}
			for range 2 {
				batch, err := s.d.Exchange(s.Context(), x)
				s.must(err)
				s.equal("ids", []string{"j0000", "j0001"}, ids(batch.Jobs))
			}
			s.stats(driver.Stats{Ready: 2, Running: 2})
			x = driver.Exchange{Worker: "w", Seq: 2, Want: 1, Done: []driver.Outcome{{ID: "j0000", Action: driver.Retry}, {ID: "j0001", Action: driver.Finish}}}
			for range 3 {
				batch, err := s.d.Exchange(s.Context(), x)
				s.must(err)
				s.equal("one job", 1, len(batch.Jobs))
			}
			s.stats(driver.Stats{Ready: 2, Running: 1})
		}},
		{"what a worker does not hold it cannot settle", "a slow worker must not finish another one's job", func(s *suite) {
			s.push(plain("a"))
			s.join("w1", time.Minute)
			s.join("w2", time.Minute)
			s.take("w1", 1)
			for _, action := range []driver.Action{driver.Finish, driver.Retry, driver.Bury, driver.Return} {
				s.exchange("w2", 0, driver.Outcome{ID: "a", Action: action})
				s.exchange("w2", 0, driver.Outcome{ID: "unknown", Action: action})
			}
			s.stats(driver.Stats{Running: 1})
		}},
		{"each job goes to one worker", "that is what a queue is for", func(s *suite) {
			const workers, total = 6, 300
			s.push(many("j", "", total)...)
			var mu sync.Mutex
			var all sync.WaitGroup
			taken := map[string]int{}
			for n := range workers {
				all.Go(func() { takeAll(s, fmt.Sprintf("w%d", n), &mu, taken) })
			}
			all.Wait()
			s.equal("jobs seen", total, len(taken))
			for id, times := range taken {
				s.equal(id, 1, times)
			}
			s.stats(driver.Stats{})
		}},
	}
}

// takeAll works until the queue is empty. It runs beside others, so it may not
// end the test itself.
func takeAll(s *suite, worker string, mu *sync.Mutex, taken map[string]int) {
	if _, err := s.d.Beat(s.Context(), driver.Beat{Worker: worker, Lease: time.Minute, Join: true}); err != nil {
		s.Errorf("beat: %v", err)
		return
	}
	var done []driver.Outcome
	for seq := uint64(1); ; seq++ {
		batch, err := s.d.Exchange(s.Context(), driver.Exchange{Worker: worker, Seq: seq, Want: 7, Done: done})
		if err != nil {
			s.Errorf("exchange: %v", err)
			return
		}
		done = nil
		mu.Lock()
		for _, j := range batch.Jobs {
			taken[j.ID]++
			done = append(done, driver.Outcome{ID: j.ID, Action: driver.Finish})
		}
		mu.Unlock()
		if len(done) == 0 && batch.Ready == 0 {
			return
		}
	}
}
