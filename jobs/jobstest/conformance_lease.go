package jobstest

import (
	"errors"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func leaseCases() []testCase {
	return []testCase{
		{"no exchange without a lease", "nobody would give its jobs back", func(s *suite) {
			s.lost("stranger")
			_, err := s.d.Beat(s.Context(), driver.Beat{Worker: "stranger", Lease: time.Minute})
			s.equal("renewal", true, errors.Is(err, driver.ErrLeaseLost))
		}},
		{"the jobs of a dead worker come first", "they were next already", func(s *suite) {
			s.push(many("j", "", 4)...)
			s.join("dies", step)
			s.equal("taken", []string{"j0000", "j0001"}, s.take("dies", 2))
			s.wait(2 * step)
			pulse, err := s.d.Beat(s.Context(), driver.Beat{Worker: "lives", Lease: time.Minute, Join: true, MaxCrashes: 2})
			s.must(err)
			s.equal("pulse", driver.Pulse{Reclaimed: 2}, pulse)
			s.lost("dies")
			batch := s.exchange("lives", 3)
			s.equal("order", []string{"j0000", "j0001", "j0002"}, ids(batch.Jobs))
			s.equal("crashes", 1, batch.Jobs[0].Crashes)
			s.equal("attempts", 0, batch.Jobs[0].Attempts)
		}},
		{"a renewed lease protects", "a long job is not a dead worker", func(s *suite) {
			s.push(plain("a"))
			s.join("w", 3*step)
			s.take("w", 1)
			for range 4 {
				s.wait(step)
				_, err := s.d.Beat(s.Context(), driver.Beat{Worker: "w", Lease: 3 * step})
				s.must(err)
				s.join("other", time.Minute)
			}
			s.finish("w", "a")
			s.stats(driver.Stats{})
		}},
		{"a lease that nobody took over can be renewed", "a slow network is no reason to run jobs twice", func(s *suite) {
			s.push(plain("a"))
			s.join("w", step)
			s.take("w", 1)
			s.wait(2 * step)
			_, err := s.d.Beat(s.Context(), driver.Beat{Worker: "w", Lease: time.Minute})
			s.must(err)
			s.finish("w", "a")
			s.stats(driver.Stats{})
		}},
		{"a job that kills its workers is buried", "one poisonous job must not stop the queue", func(s *suite) {
			s.push(plain("a"))
			s.join("w1", step)
			s.take("w1", 1)
			s.wait(2 * step)
			s.join("w2", step)
			s.equal("taken", []string{"a"}, s.take("w2", 1))
			s.wait(2 * step)
			pulse, err := s.d.Beat(s.Context(), driver.Beat{Worker: "w3", Lease: time.Minute, Join: true, MaxCrashes: 2})
			s.must(err)
			s.equal("pulse", driver.Pulse{Buried: 1}, pulse)
			s.stats(driver.Stats{Dead: 1})
			dead, err := s.d.List(s.Context(), driver.ListQuery{State: driver.Dead, Limit: 1})
			s.must(err)
			s.equal("crashes", 2, dead[0].Crashes)
			s.equal("says why", true, dead[0].Error != "")
		}},
		{"a worker that leaves gives back at once", "a deployment must not wait for leases", func(s *suite) {
			s.push(plain("a"))
			s.join("w1", time.Minute)
			s.join("w2", time.Minute)
			s.take("w1", 1)
			_, err := s.d.Beat(s.Context(), driver.Beat{Worker: "w1"})
			s.must(err)
			s.lost("w1")
			batch := s.exchange("w2", 1)
			s.equal("taken", []string{"a"}, ids(batch.Jobs))
			s.equal("crashes", 0, batch.Jobs[0].Crashes)
			_, err = s.d.Beat(s.Context(), driver.Beat{Worker: "w1"}) // twice is once
			s.must(err)
		}},
	}
}
