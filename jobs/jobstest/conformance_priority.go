package jobstest

import (
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func priorityCases() []testCase {
	of := func(id string, p driver.Priority, tenant string) driver.Job {
		return driver.Job{ID: id, Priority: p, Tenant: tenant, Body: []byte(id)}
	}
	return []testCase{
		{"a higher priority goes first", "a password reset must not wait for a newsletter", func(s *suite) {
			s.push(of("low", driver.PriorityLow, ""), of("normal", driver.PriorityNormal, "t"))
			s.push(of("urgent", driver.PriorityUrgent, "t"), of("high", driver.PriorityHigh, ""))
			s.equal("listed", []string{"urgent", "high", "normal", "low"}, ids(s.list(driver.Ready, 0, 10)))
			s.join("w", time.Minute)
			s.equal("taken", []string{"urgent", "high"}, s.take("w", 2))
			s.push(of("urgent2", driver.PriorityUrgent, "other"))
			s.equal("then", []string{"urgent2", "normal", "low"}, s.take("w", 5))
		}},
		{"a priority outlives retries, delays and returns", "the second attempt is as urgent as the first", func(s *suite) {
			s.push(of("retried", driver.PriorityHigh, ""), of("returned", driver.PriorityLow, ""))
			s.push(driver.Job{ID: "delayed", Priority: driver.PriorityUrgent, Delay: step})
			s.join("w", time.Minute)
			s.equal("taken", []string{"retried", "returned"}, s.take("w", 2))
			s.push(of("normal", driver.PriorityNormal, ""))
			s.exchange("w", 0, driver.Outcome{ID: "returned", Action: driver.Return}, driver.Outcome{ID: "retried", Action: driver.Retry})
			s.wait(2 * step)
			s.equal("order", []string{"delayed", "retried", "normal", "returned"}, s.take("w", 5))
		}},
		{"a returned job is ahead of every tenant's", "it had its turn already", func(s *suite) {
			for i := range 8 {
				s.push(of(fmt.Sprintf("job%d", i), driver.PriorityNormal, fmt.Sprintf("tenant%d", 8-i)))
			}
			s.join("w", time.Minute)
			first := s.take("w", 4)
			s.exchange("w", 0, driver.Outcome{ID: first[3], Action: driver.Return})
			s.equal("next", first[3:], s.take("w", 1))
			s.exchange("w", 0, driver.Outcome{ID: first[3], Action: driver.Return})
			s.equal("again", first[3:], s.take("w", 1))
		}},
		{"a deep queue refuses all or nothing", "a producer must learn that nobody keeps up", func(s *suite) {
			s.push(many("j", "", 3)...)
			s.push(driver.Job{ID: "later", Delay: time.Hour})
			s.join("w", time.Minute)
			s.take("w", 2)
			full := func(depth int, batch ...driver.Job) bool {
				s.Helper()
				_, err := s.d.Push(s.Context(), driver.Push{Jobs: batch, MaxDepth: depth})
				if err != nil && !errors.Is(err, driver.ErrQueueFull) {
					s.must(err)
				}
				return err != nil
			}
			s.equal("one too many", true, full(5, plain("a"), plain("b")))
			s.stats(driver.Stats{Ready: 1, Scheduled: 1, Running: 2})
			s.equal("just so many", false, full(5, plain("a")))
			s.exchange("w", 0, driver.Outcome{ID: "j0000", Action: driver.Bury}, driver.Outcome{ID: "j0001", Action: driver.Finish, Keep: time.Hour})
			s.stats(driver.Stats{Ready: 2, Scheduled: 1, Dead: 1, Done: 1})
			s.equal("finished and dead ones do not count", false, full(5, plain("b"), plain("c")))
			s.equal("no limit", false, full(0, plain("d")))
		}},
	}
}
