package jobstest

import (
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func inspectCases() []testCase {
	return []testCase{
		{"lists are ordered and paged", "operators look at the next and at the latest", func(s *suite) {
			s.push(many("j", "", 5)...)
			for i, delay := range []time.Duration{3 * time.Hour, time.Hour, 2 * time.Hour} {
				s.push(driver.Job{ID: []string{"x", "y", "z"}[i], Delay: delay})
			}
			s.equal("ready", []string{"j0001", "j0002"}, ids(s.list(driver.Ready, 1, 2)))
			s.equal("beyond", []string{}, ids(s.list(driver.Ready, 9, 2)))
			due := s.list(driver.Scheduled, 0, 10)
			s.equal("scheduled", []string{"y", "z", "x"}, ids(due))
			until := time.Until(due[0].At)
			s.equal("due in an hour", true, until > 55*time.Minute && until < 65*time.Minute)
			s.equal("ready has no time", true, s.list(driver.Ready, 0, 1)[0].At.IsZero())
			_, err := s.d.List(s.Context(), driver.ListQuery{State: "nonsense", Limit: 1})
			s.equal("unknown state", true, err != nil)
		}},
		{"dead jobs are requeued or deleted", "someone has to decide", func(s *suite) {
			s.push(plain("a"), plain("b"), plain("c"), plain("alive"))
			s.join("w", time.Minute)
			s.take("w", 3)
			for _, id := range []string{"a", "b", "c"} {
				s.exchange("w", 0, driver.Outcome{ID: id, Action: driver.Bury, Error: "no"})
				s.wait(5 * time.Millisecond)
			}
			s.equal("latest first", []string{"c", "b", "a"}, ids(s.list(driver.Dead, 0, 10)))
			n, err := s.d.Resolve(s.Context(), []string{"a", "alive", "unknown", "a"}, driver.Requeue)
			s.must(err)
			s.equal("requeued", 1, n)
			n, err = s.d.Resolve(s.Context(), []string{"b", "a", "alive"}, driver.Delete)
			s.must(err)
			s.equal("deleted", 1, n)
			s.stats(driver.Stats{Ready: 2, Dead: 1})
			batch := s.exchange("w", 5)
			s.equal("order", []string{"alive", "a"}, ids(batch.Jobs))
			s.equal("attempts start over", 0, batch.Jobs[1].Attempts)
			s.equal("body", "body of a", string(batch.Jobs[1].Body))
		}},
		{"an unknown resolution is an error", "doing nothing silently hides a mistake", func(s *suite) {
			_, err := s.d.Resolve(s.Context(), []string{"a"}, "nonsense")
			s.equal("error", true, err != nil)
		}},
	}
}
