package jobstest

import (
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func resultCases() []testCase {
	return []testCase{
		{"a result is kept as long as asked for", "whoever waits for it may be slow", func(s *suite) {
			s.push(plain("short"), plain("long"), driver.Job{ID: "unique", Unique: "key"})
			s.join("w", time.Minute)
			s.take("w", 3)
			keep := func(id string, d time.Duration) driver.Outcome {
				return driver.Outcome{ID: id, Action: driver.Finish, Keep: d, Result: []byte("of " + id)}
			}
			s.exchange("w", 0, keep("short", 2*step), keep("long", time.Hour), keep("unique", time.Hour))
			s.beat("w")
			s.stats(driver.Stats{Done: 3})
			s.equal("empty result", "of short", string(s.find("short").Result))
			s.equal("the id is taken", []string{""}, s.push(plain("long")))
			s.stats(driver.Stats{Done: 3})
			s.equal("the key is free", []string{""}, s.push(driver.Job{ID: "next", Unique: "key"}))
			s.wait(2*step + 20*time.Millisecond)
			s.beat("w")
			s.equal("forgotten", driver.State(""), s.state("short"))
			s.equal("kept", driver.Done, s.state("long"))
			s.equal("deleted", 1, s.resolve(driver.Delete, "long", "short", "next"))
			s.equal("not requeued", 0, s.resolve(driver.Requeue, "unique"))
			s.stats(driver.Stats{Ready: 1, Done: 1})
		}},
		{"kept jobs are listed latest first", "operators look at the latest", func(s *suite) {
			s.push(plain("b"), plain("a"), plain("c"))
			s.join("w", time.Minute)
			for range 3 {
				id := s.take("w", 1)[0]
				s.exchange("w", 0, driver.Outcome{ID: id, Action: driver.Finish, Keep: time.Hour})
				s.wait(5 * time.Millisecond)
			}
			s.equal("order", []string{"c", "a", "b"}, ids(s.list(driver.Done, 0, 10)))
			s.equal("page", []string{"a"}, ids(s.list(driver.Done, 1, 1)))
		}},
		{"the latest note of a running job counts", "operators see how far a long job is", func(s *suite) {
			s.push(plain("a"), plain("b"))
			s.join("w", time.Minute)
			s.join("other", time.Minute)
			s.take("w", 2)
			note := func(worker string, done []driver.Outcome, notes ...driver.Note) {
				s.Helper()
				s.seq[worker]++
				_, err := s.d.Exchange(s.Context(), driver.Exchange{Worker: worker, Seq: s.seq[worker], Done: done, Notes: notes})
				s.must(err)
			}
			note("w", nil, driver.Note{ID: "a", Data: []byte("1 of 3")}, driver.Note{ID: "none", Data: []byte("x")})
			note("w", nil, driver.Note{ID: "a", Data: []byte("2 of 3")})
			note("other", nil, driver.Note{ID: "a", Data: []byte("not mine")})
			s.equal("latest", "2 of 3", string(s.find("a").Progress))
			s.equal("listed", "2 of 3", string(s.list(driver.Running, 0, 1)[0].Progress))
			s.equal("none", "", string(s.find("b").Progress))
			note("w", []driver.Outcome{{ID: "a", Action: driver.Return}}, driver.Note{ID: "a", Data: []byte("too late")})
			s.take("w", 1)
			s.equal("a new attempt begins without", "", string(s.find("a").Progress))
			note("w", nil, driver.Note{ID: "a", Data: []byte("again")})
			s.leave("w")
			s.take("other", 1)
			s.equal("so does another worker", "", string(s.find("a").Progress))
		}},
	}
}
