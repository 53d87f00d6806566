package jobstest

import (
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func findCases() []testCase {
	return []testCase{
		{"a job is found in every state", "support asks what became of one", func(s *suite) {
			s.push(plain("runs"), plain("died"), plain("done"))
			s.join("w", time.Minute)
			s.take("w", 3)
			s.push(plain("ready"), driver.Job{ID: "later", Body: []byte("x"), Delay: time.Hour})
			s.exchange("w", 0, driver.Outcome{ID: "died", Action: driver.Bury, Error: "no"},
				driver.Outcome{ID: "done", Action: driver.Finish, Keep: time.Hour, Result: []byte("re\x00sult ")})
			s.stats(driver.Stats{Ready: 1, Scheduled: 1, Running: 1, Dead: 1, Done: 1})
			found, err := s.d.(driver.Finder).Find(s.Context(), []string{"done", "none", "ready", "later", "died", "runs"})
			s.must(err)
			s.equal("ids", []string{"done", "none", "ready", "later", "died", "runs"}, ids(found))
			states := []driver.State{driver.Done, "", driver.Ready, driver.Scheduled, driver.Dead, driver.Running}
			for i, state := range states {
				s.equal("state of "+found[i].ID, state, found[i].State)
				timed := state == driver.Done || state == driver.Scheduled || state == driver.Dead
				s.equal("time of "+found[i].ID, timed, !found[i].At.IsZero())
			}
			s.equal("nothing", driver.Stored{ID: "none"}, found[1])
			s.equal("result", "re\x00sult ", string(found[0].Result))
			s.equal("body", "body of done", string(found[0].Body))
			s.equal("error", "no", found[4].Error)
			s.equal("worker", "w", found[5].Worker)
			until := time.Until(found[3].At)
			s.equal("due in an hour", true, until > 55*time.Minute && until < 65*time.Minute)
			for _, state := range states {
				if state == "" {
					continue
				}
				page := s.list(state, 0, 10)
				s.equal("listed: "+string(state), 1, len(page))
				s.equal("state in the list", state, page[0].State)
			}
			s.equal("worker in the list", "w", s.list(driver.Running, 0, 10)[0].Worker)
			s.equal("result in the list", "re\x00sult ", string(s.list(driver.Done, 0, 10)[0].Result))
		}},
		{"nothing of a finished job stays", "a queue is not an archive", func(s *suite) {
			s.push(plain("a"))
			s.join("w", time.Minute)
			s.take("w", 1)
			s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Finish, Result: []byte("unasked")})
			s.equal("found", driver.Stored{ID: "a"}, s.find("a"))
			s.stats(driver.Stats{})
		}},
	}
}
