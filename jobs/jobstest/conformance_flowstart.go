package jobstest

import (
	"errors"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func flowStartCases() []testCase {
	return []testCase{
		{"a flow is stored once", "the answer to its start may get lost", func(s *suite) {
			p := stages("f", driver.FailFast, 2, 1)
			for i := range 3 {
				stored, err := s.flower().StartFlow(s.Context(), p)
				s.must(err)
				s.equal("stored", driver.FlowStored{Next: 3, Existed: i > 0}, stored)
			}
			s.stats(driver.Stats{Ready: 2})
			s.join("w", time.Minute)
			s.sorted("w")
			s.sorted("w", finish("f~0.0"), finish("f~0.1"))
			s.exchange("w", 0, finish("f~1.0"))
			stored, err := s.flower().StartFlow(s.Context(), p)
			s.must(err)
			s.equal("stored", driver.FlowStored{Next: 3, Existed: true}, stored)
			s.stats(driver.Stats{})
		}},
		{"a job of a flow says since when it waits", "whether there are enough workers is seen by how long jobs wait, and a flow has no other mark of it", func(s *suite) {
			p := stages("f", driver.FailFast, 1, 2)
			p.Jobs[2].Delay = step
			began := s.flowNow(p)
			s.join("w", time.Minute)
			since := func(batch driver.Batch) time.Time {
				s.Helper()
				s.equal("jobs", 1, len(batch.Jobs))
				return batch.Jobs[0].Since
			}
			s.equal("when it was started", began, since(s.exchange("w", 1)))
			s.equal("asked again", began, since(s.again("w", 1)))
			s.wait(20 * time.Millisecond)
			second := since(s.exchange("w", 1, finish("f~0.0")))
			s.equal("when the stage began", true, second.Sub(began) >= 15*time.Millisecond && second.Sub(began) < time.Minute)
			s.wait(step + 5*time.Millisecond)
			delayed := since(s.exchange("w", 1))
			s.equal("when it was due", true, delayed.Sub(second) >= step && delayed.Sub(second) <= step+rounding)
			s.push(plain("other"))
			s.equal("none of a job without a flow", time.Time{}, since(s.exchange("w", 1)))
		}},
		{"nothing runs before a flow is whole", "its producer may die half-way", func(s *suite) {
			p := stages("f", driver.FailFast, 3, 2)
			all := p.Jobs
			part := func(from, to, next int) {
				s.Helper()
				p.From, p.Jobs = from, all[from:to]
				stored, err := s.flower().StartFlow(s.Context(), p)
				s.must(err)
				s.equal("next", next, stored.Next)
			}
			part(0, 2, 2)
			part(3, 5, 2) // a gap: nothing of it is stored
			part(0, 2, 2)
			s.flowIs("f", driver.Waiting, 0, driver.FlowStage{Total: 3}, driver.FlowStage{Total: 2})
			s.stats(driver.Stats{})
			part(1, 4, 4)
			s.stats(driver.Stats{})
			part(4, 5, 5)
			s.stats(driver.Stats{Ready: 3})
			s.flowIs("f", driver.Running, 0, driver.FlowStage{Total: 3}, driver.FlowStage{Total: 2})
			s.join("w", time.Minute)
			s.equal("bodies", `{"v":1,"kind":"kind","args":"f~0.0"}`, string(s.exchange("w", 1).Jobs[0].Body))
		}},
	}
}

func flowOtherCases() []testCase {
	return []testCase{
		{"parts of two flows do not mix", "two callers chose the same id", func(s *suite) {
			p := stages("f", driver.FailFast, 3)
			p.Jobs = p.Jobs[:1]
			_, err := s.flower().StartFlow(s.Context(), p)
			s.must(err)
			_, err = s.flower().StartFlow(s.Context(), stages("f", driver.FailFast, 2))
			s.equal("refused", true, err != nil)
		}},
		{"a flow's id of another tenant is refused", "two customers may choose the same one", func(s *suite) {
			start := func(tenant string, jobs int) error {
				p := stages("f", driver.FailFast, 2)
				p.Tenant, p.Jobs = tenant, p.Jobs[:jobs]
				_, err := s.flower().StartFlow(s.Context(), p)
				return err
			}
			for _, jobs := range []int{1, 2} { // half of it, then all
				s.must(start("acme", jobs))
				for _, other := range []string{"globex", ""} {
					s.equal("refused", true, errors.Is(start(other, 2), driver.ErrIDTaken))
				}
			}
			s.stats(driver.Stats{Ready: 2})
		}},
		{"a deep queue takes no flow", "that is what the limit is for", func(s *suite) {
			s.push(plain("a"))
			p := stages("f", driver.FailFast, 2, 5)
			p.MaxDepth = 2
			_, err := s.flower().StartFlow(s.Context(), p)
			s.equal("ErrQueueFull", true, errors.Is(err, driver.ErrQueueFull))
			s.stats(driver.Stats{Ready: 1})
			p.MaxDepth = 3
			_, err = s.flower().StartFlow(s.Context(), p)
			s.must(err)
			s.stats(driver.Stats{Ready: 3})
		}},
		{"flows are listed, the latest first", "operators look at the latest", func(s *suite) {
			for _, id := range []string{"a", "b", "c"} {
				p := stages(id, driver.WaitAll, 1)
				p.Tenant = "täter 1"
				s.startFlow(p)
				s.wait(5 * time.Millisecond)
			}
			page, err := s.flower().Flows(s.Context(), 1, 5)
			s.must(err)
			s.equal("flows", 2, len(page))
			f := page[0]
			s.equal("started", true, time.Since(f.Started) < time.Hour)
			f.Started = time.Time{}
			s.equal("flow", driver.Flow{
				ID: "b", Name: "name", Tenant: "täter 1", Policy: driver.WaitAll, Keep: time.Hour, State: driver.Running,
				Stages: []driver.FlowStage{{Total: 1}},
			}, f)
			page, err = s.flower().Flows(s.Context(), 3, 5)
			s.must(err)
			s.equal("beyond", 0, len(page))
			s.equal("unknown", driver.Flow{}, s.flow("unknown"))
			jobs, err := s.flower().FlowJobs(s.Context(), driver.FlowQuery{ID: "a", Stage: 1, Limit: 1})
			s.must(err)
			s.equal("no such stage", 0, len(jobs))
		}},
	}
}

// flowNow starts a flow and answers when its first stage began.
func (s *suite) flowNow(p driver.FlowPart) time.Time {
	s.Helper()
	s.startFlow(p)
	return s.flow(p.ID).Started.Truncate(time.Millisecond)
}

// again repeats the worker's last exchange, whose answer got lost.
func (s *suite) again(worker string, want int) driver.Batch {
	s.Helper()
	batch, err := s.d.Exchange(s.Context(), driver.Exchange{Worker: worker, Seq: s.seq[worker], Want: want})
	s.must(err)
	return batch
}
