package jobstest

import (
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func flowCancelCases() []testCase {
	return []testCase{
		{"a cancelled flow drops what waits and cancels what runs", "it was a mistake to start it", func(s *suite) {
			s.startFlow(stages("f", driver.WaitAll, 3, 1))
			s.join("w", time.Minute)
			s.take("w", 1)
			found, err := s.flower().CancelFlow(s.Context(), "f")
			s.must(err)
			s.equal("found", true, found)
			s.stats(driver.Stats{Running: 1})
			s.equal("to be cancelled", []string{"f~0.0"}, s.exchange("w", 5).Cancel)
			s.equal("state", driver.Running, s.flow("f").State)
			s.equal("nothing follows", []string{}, s.sorted("w", driver.Outcome{ID: "f~0.0", Action: driver.Drop}))
			s.flowIs("f", driver.Cancelled, 0, driver.FlowStage{Total: 3, Failed: 3}, driver.FlowStage{Total: 1})
			found, err = s.flower().CancelFlow(s.Context(), "f")
			s.must(err)
			s.equal("has ended", false, found)
			found, err = s.flower().CancelFlow(s.Context(), "unknown")
			s.must(err)
			s.equal("unknown", false, found)
		}},
		{"a flow that is not whole can be cancelled", "its producer will not come back", func(s *suite) {
			p := stages("f", driver.FailFast, 2, 1)
			all := p.Jobs
			p.Jobs = all[:2]
			_, err := s.flower().StartFlow(s.Context(), p)
			s.must(err)
			found, err := s.flower().CancelFlow(s.Context(), "f")
			s.must(err)
			s.equal("found", true, found)
			p.From, p.Jobs = 2, all[2:]
			stored, err := s.flower().StartFlow(s.Context(), p)
			s.must(err)
			s.equal("too late", driver.FlowStored{Next: 3, Existed: true}, stored)
			s.flowIs("f", driver.Cancelled, 0, driver.FlowStage{Total: 2}, driver.FlowStage{Total: 1})
			s.stats(driver.Stats{})
		}},
		{"many waiting jobs are cancelled", "large stages need more than one step", func(s *suite) {
			const n = 3*driver.MaxBatch + 7
			s.startFlow(stages("f", driver.FailFast, n, 1))
			s.join("w", time.Minute)
			s.equal("taken", 2, len(s.take("w", 2)))
			batch := s.exchange("w", 0, bury("f~0.0"))
			for range 20 {
				if batch.Ready == 0 {
					break
				}
				batch = s.exchange("w", 0)
			}
			s.flowIs("f", driver.Running, 0, driver.FlowStage{Total: n, Failed: n - 1}, driver.FlowStage{Total: 1})
			s.stats(driver.Stats{Running: 1, Dead: 1})
			s.equal("the failure's job", []string{"f~failure"}, s.sorted("w", finish("f~0.1")))
			s.exchange("w", 0, finish("f~failure"))
			s.startFlow(stages("g", driver.FailFast, n))
			found, err := s.flower().CancelFlow(s.Context(), "g")
			s.must(err)
			s.equal("found", true, found)
			s.exchange("w", 0)
			s.stats(driver.Stats{Dead: 1})
		}},
		{"a parked job of a failed stage is dropped", "it would come back when the limit lets it", func(s *suite) {
			c, ok := s.d.(driver.Controller)
			if !ok {
				s.Fatal("driver is not a driver.Controller")
			}
			p := stages("f", driver.FailFast, 3, 1)
			for i := range p.Jobs {
				p.Jobs[i].Tenant = "t"
			}
			s.must(c.Configure(s.Context(), []driver.Change{{Target: driver.Target{Tenant: "t"}, Limit: &driver.Limit{Running: 1}}}))
			s.startFlow(p)
			s.join("w", time.Minute)
			s.equal("taken", []string{"f~0.0"}, s.take("w", 5))
			s.equal("the failure's job", []string{"f~failure"}, s.sorted("w", bury("f~0.0")))
			s.stats(driver.Stats{Running: 1, Dead: 1})
		}},
	}
}

func flowRequeueCases() []testCase {
	return []testCase{
		{"a requeued job counts while its stage goes on", "the cause of its death was removed", func(s *suite) {
			s.startFlow(stages("f", driver.WaitAll, 2, 1))
			s.join("w", time.Minute)
			s.take("w", 2)
			s.exchange("w", 0, bury("f~0.0"))
			n, err := s.d.Resolve(s.Context(), []string{"f~0.0"}, driver.Requeue)
			s.must(err)
			s.equal("requeued", 1, n)
			s.flowIs("f", driver.Running, 0, driver.FlowStage{Total: 2}, driver.FlowStage{Total: 1})
			s.equal("no culprit", "", s.flow("f").Culprit)
			s.equal("again", []string{"f~0.0"}, s.sorted("w", finish("f~0.1")))
			s.equal("next", []string{"f~1.0"}, s.sorted("w", finish("f~0.0")))
		}},
		{"a requeued job of an ended flow runs for itself", "the flow has had its end", func(s *suite) {
			s.startFlow(stages("f", driver.FailFast, 1, 1))
			s.join("w", time.Minute)
			s.take("w", 1)
			s.sorted("w", bury("f~0.0"))
			s.exchange("w", 0, finish("f~failure"))
			_, err := s.d.Resolve(s.Context(), []string{"f~0.0"}, driver.Requeue)
			s.must(err)
			s.equal("again", []string{"f~0.0"}, s.sorted("w"))
			s.equal("nothing follows", []string{}, s.sorted("w", finish("f~0.0")))
			s.flowIs("f", driver.Failed, 0, driver.FlowStage{Total: 1, Failed: 1}, driver.FlowStage{Total: 1})
			s.stats(driver.Stats{})
		}},
	}
}

func flowEndCases() []testCase {
	return []testCase{
		{"an ended flow is kept, then forgotten", "its id may be used again", func(s *suite) {
			p := stages("f", driver.FailFast, 1)
			p.Keep = step
			s.startFlow(p)
			s.join("w", time.Minute)
			s.take("w", 1)
			s.exchange("w", 0, finish("f~0.0"))
			s.equal("kept", driver.Done, s.flow("f").State)
			s.wait(2 * step)
			s.join("w", time.Minute)
			s.equal("forgotten", driver.Flow{}, s.flow("f"))
			page, err := s.flower().Flows(s.Context(), 0, 5)
			s.must(err)
			s.equal("listed", 0, len(page))
			s.startFlow(p)
			s.equal("anew", []string{"f~0.0"}, s.take("w", 1))
		}},
		{"a flow is kept while one of its jobs is there", "a new one must not get into its way", func(s *suite) {
			p := stages("f", driver.FailFast, 2)
			p.Keep = step
			s.startFlow(p)
			s.join("w", time.Minute)
			s.take("w", 1)
			s.sorted("w", bury("f~0.0"))
			s.exchange("w", 0, finish("f~failure"))
			s.wait(2 * step)
			s.join("w", time.Minute)
			s.equal("kept", driver.Failed, s.flow("f").State)
			stored, err := s.flower().StartFlow(s.Context(), p)
			s.must(err)
			s.equal("stored", driver.FlowStored{Next: 2, Existed: true}, stored)
			_, err = s.d.Resolve(s.Context(), []string{"f~0.0"}, driver.Delete)
			s.must(err)
			s.wait(2 * step)
			s.join("w", time.Minute)
			s.equal("forgotten", driver.Flow{}, s.flow("f"))
		}},
		{"many flows on many workers: each job and each stage once", "that is what a flow is for", flowStorm},
	}
}
