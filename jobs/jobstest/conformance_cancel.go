package jobstest

import (
	"context"
	"errors"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func cancelCases() []testCase {
	return []testCase{
		{"a waiting job is cancelled at once", "nobody wants it any more", func(s *suite) {
			s.push(plain("ready"), driver.Job{ID: "later", Delay: time.Hour, Unique: "key"})
			s.push(driver.Job{ID: "window", Unique: "other", Scope: driver.UniqueFor, Window: time.Hour})
			s.equal("found", 3, s.resolve(driver.Cancel, "ready", "none", "later", "window"))
			s.stats(driver.Stats{})
			s.equal("found", 0, s.resolve(driver.Cancel, "ready"))
			s.equal("keys are free", []string{"", ""}, s.push(driver.Job{ID: "a", Unique: "key"}, driver.Job{ID: "b", Unique: "other"}))
			s.push(plain("ready"))
			s.stats(driver.Stats{Ready: 3})
		}},
		{"the worker of a running job is told", "only it can end the handler", func(s *suite) {
			s.push(plain("a"), plain("b"))
			s.join("w", time.Minute)
			s.join("other", time.Minute)
			s.take("w", 2)
			s.equal("found", 1, s.resolve(driver.Cancel, "a"))
			s.stats(driver.Stats{Running: 2})
			s.equal("others are not", 0, len(s.exchange("other", 0).Cancel))
			s.equal("told", []string{"a"}, s.exchange("w", 0).Cancel)
			s.equal("once", 0, len(s.exchange("w", 0).Cancel))
			for range 2 { // the answer of an exchange may be lost: each beat tells
				s.equal("beat", []string{"a"}, s.beat("w").Cancel)
				s.equal("another's", 0, len(s.beat("other").Cancel))
			}
			s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Drop})
			s.equal("gone", driver.State(""), s.state("a"))
			s.equal("settled", 0, len(s.beat("w").Cancel))
			s.push(plain("a")) // of the same name
			s.take("w", 1)
			s.equal("not cancelled", 0, len(s.beat("w").Cancel))
		}},
		{"a cancelled job does not run again", "a retry would be a surprise", func(s *suite) {
			s.push(many("j", "", 7)...)
			s.join("w", time.Minute)
			held := s.take("w", 7)
			s.equal("found", 5, s.resolve(driver.Cancel, held[:5]...))
			s.exchange("w", 0,
				driver.Outcome{ID: held[0], Action: driver.Retry}, driver.Outcome{ID: held[1], Action: driver.Return},
				driver.Outcome{ID: held[2], Action: driver.Bury, Error: "failed all the same"},
				driver.Outcome{ID: held[3], Action: driver.Finish, Keep: time.Hour},
			)
			s.equal("retried", driver.State(""), s.state(held[0]))
			s.equal("returned", driver.State(""), s.state(held[1]))
			s.equal("buried", driver.Dead, s.state(held[2]))
			s.equal("finished before it heard", driver.Done, s.state(held[3]))
			s.equal("neither dead nor done ones", 0, s.resolve(driver.Cancel, held[2:4]...))
			s.leave("w")
			s.equal("its worker left", driver.State(""), s.state(held[4]))
			s.stats(driver.Stats{Ready: 2, Dead: 1, Done: 1})
			s.equal("requeued", 1, s.resolve(driver.Requeue, held[2]))
			s.join("w2", time.Minute)
			s.take("w2", 5)
			s.equal("not cancelled any more", 0, len(s.beat("w2").Cancel))
		}},
		{"a cancelled job dies with its worker", "it must not come back by a crash", func(s *suite) {
			s.push(driver.Job{ID: "a", Unique: "key"}, plain("b"))
			s.join("dies", step)
			s.take("dies", 2)
			s.resolve(driver.Cancel, "a")
			s.wait(2 * step)
			s.join("w", time.Minute)
			s.equal("gone", driver.State(""), s.state("a"))
			s.equal("the key is free", []string{""}, s.push(driver.Job{ID: "c", Unique: "key"}))
			s.equal("the rest", []string{"b", "c"}, s.take("w", 5))
		}},
		{"dropped is gone", "its worker heard that it is cancelled", func(s *suite) {
			s.push(driver.Job{ID: "a", Unique: "key", Scope: driver.UniqueFor, Window: time.Hour})
			s.join("w", time.Minute)
			s.take("w", 1)
			s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Drop})
			s.equal("gone", driver.State(""), s.state("a"))
			s.equal("the key is free", []string{""}, s.push(driver.Job{ID: "b", Unique: "key"}))
		}},
	}
}

func nudgeCases() []testCase {
	return []testCase{
		{"a cancelled job nudges its worker", "seconds count when a job does harm", func(s *suite) {
			nudger, ok := s.d.(driver.Nudger)
			if !ok {
				s.Fatal("driver is not a driver.Nudger; set Features.NoNudge if that is meant")
			}
			s.push(plain("a"))
			s.join("w", time.Minute)
			s.take("w", 1)
			ctx, cancel := context.WithCancel(s.Context())
			defer cancel()
			nudged, ended := make(chan struct{}, 1000), make(chan error, 1)
			go func() { ended <- nudger.Nudges(ctx, func() { nudged <- struct{}{} }) }()
			for range 200 { // until somebody listens; a hint may get lost
				s.resolve(driver.Cancel, "a")
				select {
				case <-nudged:
					cancel()
					s.equal("ends with its context", true, errors.Is(<-ended, context.Canceled))
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
			s.Fatalf("never nudged\nwhy this matters: %s", s.why)
		}},
	}
}
