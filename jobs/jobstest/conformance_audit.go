package jobstest

import (
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func auditCases() []testCase {
	audit := func(s *suite, holding ...string) driver.Pulse {
		s.Helper()
		pulse, err := s.d.Beat(s.Context(), driver.Beat{Worker: "w", Lease: time.Minute, Audit: true, Holding: holding})
		s.must(err)
		slices.Sort(pulse.Unknown)
		slices.Sort(pulse.Lost)
		return pulse
	}
	return []testCase{
		{"a beat tells how many jobs are held", "a worker notices that the books differ", func(s *suite) {
			s.push(many("j", "", 5)...)
			s.join("w", time.Minute)
			s.equal("none", driver.Pulse{}, s.beat("w"))
			s.take("w", 3)
			s.equal("three", driver.Pulse{Held: 3}, s.beat("w"))
			s.join("other", time.Minute)
			s.take("other", 1)
			s.finish("w", "j0000")
			s.equal("two", driver.Pulse{Held: 2}, s.beat("w"))
			s.join("w", time.Minute) // of one that lost the answer to its first
			s.equal("still two", driver.Pulse{Held: 2}, s.beat("w"))
		}},
		{"an audit finds both kinds of differences", "no job may be stuck with a worker that forgot it, nor run without being held", func(s *suite) {
			s.push(many("j", "", 4)...)
			s.join("w", time.Minute)
			s.join("other", time.Minute)
			s.take("w", 3)
			s.take("other", 1)
			s.equal("equal", driver.Pulse{Held: 3}, audit(s, "j0002", "j0000", "j0001"))
			s.equal("different", driver.Pulse{Held: 3, Unknown: []string{"j0000", "j0002"}, Lost: []string{"j0003", "x"}}, audit(s, "j0001", "x", "j0003"))
			s.equal("all unknown", driver.Pulse{Held: 3, Unknown: []string{"j0000", "j0001", "j0002"}}, audit(s))
			s.stats(driver.Stats{Running: 4}) // it only tells
			s.exchange("w", 0, driver.Outcome{ID: "j0000", Action: driver.Return})
			s.equal("repaired", driver.Pulse{Held: 2}, audit(s, "j0002", "j0001"))
		}},
		{"no crash limit means never", "zero is no limit everywhere", func(s *suite) {
			s.push(plain("a"))
			for _, worker := range []string{"w1", "w2", "w3"} {
				_, err := s.d.Beat(s.Context(), driver.Beat{Worker: worker, Lease: step, Join: true})
				s.must(err)
				s.equal("taken", []string{"a"}, s.take(worker, 1))
				s.wait(2 * step)
			}
			pulse, err := s.d.Beat(s.Context(), driver.Beat{Worker: "w4", Lease: time.Minute, Join: true})
			s.must(err)
			s.equal("pulse", driver.Pulse{Reclaimed: 1}, pulse)
			s.equal("crashes", 3, s.exchange("w4", 1).Jobs[0].Crashes)
		}},
		{"one worker a beat is given back", "a beat must stay short", func(s *suite) {
			s.push(many("j", "", 3)...)
			for _, worker := range []string{"w1", "w2", "w3"} {
				s.join(worker, step)
				s.take(worker, 1)
			}
			s.wait(2 * step)
			s.join("w", time.Minute)
			s.stats(driver.Stats{Ready: 1, Running: 2})
			s.beat("w")
			s.beat("w")
			s.stats(driver.Stats{Ready: 3})
		}},
	}
}

func historyCases() []testCase {
	return []testCase{
		{"tallies add up by the minute", "the charts of a queue cost its jobs nothing", func(s *suite) {
			historian, ok := s.d.(driver.Historian)
			if !ok {
				s.Fatal("driver is not a driver.Historian; set Features.NoHistory if that is meant")
			}
			began := time.Now()
			history := func(since time.Time) (sum driver.Tally, minutes int) {
				s.Helper()
				all, err := historian.History(s.Context(), since)
				s.must(err)
				for i, m := range all {
					s.equal("whole minutes", m.At.UTC().Truncate(time.Minute), m.At)
					s.equal("oldest first", true, i == 0 || all[i-1].At.Before(m.At))
					sum.Finished += m.Finished
					sum.Failed += m.Failed
					sum.Buried += m.Buried
					for b := range sum.Wait {
						sum.Wait[b] += m.Wait[b]
						sum.Run[b] += m.Run[b]
					}
				}
				return sum, len(all)
			}
			sum, minutes := history(time.Time{})
			s.equal("nothing", driver.Tally{}, sum)
			s.equal("minutes", 0, minutes)
			beat := func(worker string, t *driver.Tally) {
				s.Helper()
				_, err := s.d.Beat(s.Context(), driver.Beat{Worker: worker, Lease: time.Minute, Join: true, Tally: t})
				s.must(err)
			}
			beat("w1", &driver.Tally{Finished: 3, Failed: 2, Buried: 1, Wait: driver.Histogram{0: 1, 19: 2}, Run: driver.Histogram{5: 3}})
			beat("w2", nil)
			beat("w2", &driver.Tally{})
			beat("w2", &driver.Tally{Finished: 1_000_000_007, Run: driver.Histogram{5: 1, 6: 4}})
			want := driver.Tally{
				Finished: 1_000_000_010, Failed: 2, Buried: 1,
				Wait: driver.Histogram{0: 1, 19: 2}, Run: driver.Histogram{5: 4, 6: 4},
			}
			sum, minutes = history(time.Time{})
			s.equal("sum", want, sum)
			s.equal("minutes", true, minutes == 1 || minutes == 2)
			sum, _ = history(began)
			s.equal("since it began", want, sum)
			_, minutes = history(time.Now().Add(2 * time.Minute))
			s.equal("later", 0, minutes)
		}},
	}
}
