package jobstest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func boundCases() []testCase {
	return []testCase{
		{"a list that is too long is refused", "a store must not stop half-way", func(s *suite) {
			const most = driver.MaxBatch
			refused := func(what string, err error) {
				s.Helper()
				s.equal(what+" refused", true, err != nil)
			}
			_, err := s.d.Push(s.Context(), driver.Push{Jobs: many("j", "", most+1)})
			refused("push", err)
			_, err = s.d.Push(s.Context(), driver.Push{Jobs: many("j", "", most+1), MaxDepth: 10 * most})
			refused("push with a depth", err)
			s.stats(driver.Stats{})
			jobs := many("j", "", most)
			s.push(jobs...)
			s.join("w", time.Minute)
			taken := s.take("w", most)
			s.equal("as many as are allowed", most, len(taken))
			x := driver.Exchange{Worker: "w", Seq: s.seq["w"] + 1}
			for _, id := range append(taken, "none") {
				x.Done = append(x.Done, driver.Outcome{ID: id, Action: driver.Finish})
				x.Notes = append(x.Notes, driver.Note{ID: id})
			}
			x.Notes, x.Done = x.Notes[:1], x.Done[:most+1]
			_, err = s.d.Exchange(s.Context(), x)
			refused("outcomes", err)
			s.stats(driver.Stats{Running: most})
			x.Notes, x.Done = make([]driver.Note, most+1), nil
			_, err = s.d.Exchange(s.Context(), x)
			refused("notes", err)
			s.finish("w", taken...)
			s.stats(driver.Stats{})
		}},
		{"what is not stored does not count for the depth", "the repetition of a lost call must not be told that the queue is full", func(s *suite) {
			full := func(depth int, batch ...driver.Job) bool {
				s.Helper()
				_, err := s.d.Push(s.Context(), driver.Push{Jobs: batch, MaxDepth: depth})
				if err != nil && !errors.Is(err, driver.ErrQueueFull) {
					s.must(err)
				}
				return err != nil
			}
			unique := func(id, key string) driver.Job { return driver.Job{ID: id, Unique: key} }
			s.equal("just so many", false, full(3, plain("a"), plain("b"), unique("c", "key")))
			s.equal("the same again", false, full(3, plain("a"), plain("b"), unique("c", "key")))
			s.equal("one is new", true, full(3, plain("a"), plain("d")))
			s.equal("a key that is held", false, full(3, unique("d", "key"), unique("e", "key")))
			s.equal("into a queue that is deeper", false, full(1, plain("a"), unique("d", "key")))
			s.equal("a key that is free", true, full(3, unique("d", "other")))
			s.equal("twice in a call", false, full(4, plain("d"), plain("d"), unique("c", "key")))
			s.equal("a key twice in a call", false, full(5, unique("e", "new"), unique("f", "new"), unique("e", "new")))
			s.equal("both new", true, full(6, unique("g", "1"), unique("h", "2")))
			s.stats(driver.Stats{Ready: 5})
			replace := func(id string) driver.Job {
				return driver.Job{ID: id, Unique: "latest", Scope: driver.Replace, Body: []byte(id)}
			}
			s.equal("a replacement", false, full(6, replace("r1"), replace("r2")))
			s.stats(driver.Stats{Ready: 6})
		}},
	}
}

func pageBounds() []testCase {
	return []testCase{
		{"a page without a limit is refused", "what a store makes of it is its own: all of the jobs, or none", func(s *suite) {
			s.push(many("j", "", 3)...)
			for _, page := range [][2]int{{0, 0}, {0, -1}, {-1, 1}, {0, driver.MaxBatch + 1}} {
				for _, state := range []driver.State{driver.Ready, driver.Scheduled, driver.Parked, driver.Running, driver.Dead, driver.Done} {
					_, err := s.d.List(s.Context(), driver.ListQuery{State: state, Offset: page[0], Limit: page[1]})
					s.equal(fmt.Sprint("refused ", state, page), true, err != nil)
				}
			}
			s.equal("the longest", 3, len(s.list(driver.Ready, 0, driver.MaxBatch)))
		}},
		{"a tenant that is too long is refused", "a route has room for so many bytes; what is cut off is another tenant", func(s *suite) {
			long := plain("long")
			long.Tenant = strings.Repeat("t", driver.MaxTenant+1)
			_, err := s.d.Push(s.Context(), driver.Push{Jobs: []driver.Job{plain("a"), long}})
			s.equal("push refused", true, err != nil)
			_, err = s.d.Push(s.Context(), driver.Push{Jobs: []driver.Job{plain("a"), long}, MaxDepth: 10})
			s.equal("push with a depth refused", true, err != nil)
			s.stats(driver.Stats{})
			started, err := s.d.Fire(s.Context(), driver.Tick{Name: "cron"})
			s.must(err)
			s.wait(20 * time.Millisecond)
			_, err = s.d.Fire(s.Context(), driver.Tick{Name: "cron", At: started.Last.Add(time.Millisecond), Job: &long})
			s.equal("fire refused", true, err != nil)
			long.Tenant = long.Tenant[1:]
			s.push(plain("a"), long)
			s.stats(driver.Stats{Ready: 2})
			fired, err := s.d.Fire(s.Context(), driver.Tick{Name: "cron", At: started.Last.Add(time.Millisecond), Job: new(plain("tick"))})
			s.must(err)
			s.equal("the tick is still to be fired", true, fired.Fired)
		}},
	}
}

// flowPageBounds are those of the lists of flows.
func flowPageBounds() []testCase {
	return []testCase{
		{"a page of flows without a limit is refused", "what a store makes of it is its own: all of them, or none", func(s *suite) {
			for _, page := range [][2]int{{0, 0}, {0, -1}, {-1, 1}, {0, driver.MaxBatch + 1}} {
				_, err := s.flower().Flows(s.Context(), page[0], page[1])
				s.equal(fmt.Sprint("flows refused ", page), true, err != nil)
				_, err = s.flower().FlowJobs(s.Context(), driver.FlowQuery{ID: "f", Offset: page[0], Limit: page[1]})
				s.equal(fmt.Sprint("jobs refused ", page), true, err != nil)
			}
		}},
	}
}

// findBounds are those of what can be looked up.
func findBounds() []testCase {
	return []testCase{
		{"a list of ids that is too long is refused", "a store must not stop half-way", func(s *suite) {
			_, err := s.d.(driver.Finder).Find(s.Context(), make([]string, driver.MaxBatch+1))
			s.equal("refused", true, err != nil)
		}},
	}
}
