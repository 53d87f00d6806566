package jobstest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func flowPolicyCases() []testCase {
	return []testCase{
		{"fail fast: one failure ends the stage, then the flow fails", "the rest would be done for nothing", func(s *suite) {
			p := stages("f", driver.FailFast, 5, 1)
			p.Jobs[4].Delay = time.Hour
			s.startFlow(p)
			s.join("w", time.Minute)
			s.equal("taken", []string{"f~0.0", "f~0.1"}, s.take("w", 2))
			s.equal("taken", []string{"f~0.2"}, s.take("w", 1))
			s.exchange("w", 0, driver.Outcome{ID: "f~0.2", Action: driver.Retry, Delay: time.Hour})
			batch := s.exchange("w", 5, bury("f~0.0"))
			s.equal("nothing new", []string{}, ids(batch.Jobs))
			s.equal("to be cancelled", []string{"f~0.1"}, batch.Cancel)
			s.flowIs("f", driver.Running, 0, driver.FlowStage{Total: 5, Failed: 4}, driver.FlowStage{Total: 1})
			s.stats(driver.Stats{Running: 1, Dead: 1})
			s.equal("the failure's job", []string{"f~failure"}, s.sorted("w", driver.Outcome{ID: "f~0.1", Action: driver.Drop}))
			s.flowIs("f", driver.Failed, 0, driver.FlowStage{Total: 5, Failed: 5}, driver.FlowStage{Total: 1})
			f := s.flow("f")
			s.equal("culprit", "f~0.0", f.Culprit)
			s.equal("error", "no: f~0.0", f.Error)
			s.sorted("w", finish("f~failure"))
			s.stats(driver.Stats{Dead: 1})
		}},
		{"wait for all: the others go on, then the flow fails", "each page is worth having", func(s *suite) {
			s.startFlow(stages("f", driver.WaitAll, 3, 1))
			s.join("w", time.Minute)
			s.take("w", 1)
			s.equal("the others", []string{"f~0.1", "f~0.2"}, s.sorted("w", bury("f~0.0")))
			s.flowIs("f", driver.Running, 0, driver.FlowStage{Total: 3, Failed: 1}, driver.FlowStage{Total: 1})
			s.equal("the failure's job", []string{"f~failure"}, s.sorted("w", finish("f~0.1"), finish("f~0.2")))
			s.flowIs("f", driver.Failed, 0, driver.FlowStage{Total: 3, Done: 2, Failed: 1}, driver.FlowStage{Total: 1})
		}},
		{"ignore: the flow goes on without a result", "nine of ten pages are a report, too", func(s *suite) {
			s.startFlow(stages("f", driver.Ignore, 2, 1))
			s.join("w", time.Minute)
			s.take("w", 2)
			s.equal("next", []string{"f~1.0"}, s.sorted("w", bury("f~0.0"), result("f~0.1", "x")))
			inputs, err := s.flower().FlowJobs(s.Context(), driver.FlowQuery{ID: "f", Stage: 0, Limit: 10})
			s.must(err)
			s.equal("inputs", []driver.FlowJob{
				{ID: "f~0.0", Kind: "kind", State: driver.Failed, Error: "no: f~0.0"},
				{ID: "f~0.1", Kind: "kind", State: driver.Done, Result: []byte("x")},
			}, inputs)
			s.sorted("w", bury("f~1.0"))
			s.flowIs("f", driver.Done, 1, driver.FlowStage{Total: 2, Done: 1, Failed: 1}, driver.FlowStage{Total: 1, Failed: 1})
			s.stats(driver.Stats{Dead: 2})
		}},
	}
}

func flowFailureCases() []testCase {
	return []testCase{
		{"a flow without a job for failures just fails", "it is optional", func(s *suite) {
			p := stages("f", driver.FailFast, 1, 1)
			p.OnFailure = nil
			s.startFlow(p)
			s.join("w", time.Minute)
			s.take("w", 1)
			s.equal("nothing", []string{}, s.sorted("w", bury("f~0.0")))
			s.flowIs("f", driver.Failed, 0, driver.FlowStage{Total: 1, Failed: 1}, driver.FlowStage{Total: 1})
		}},
		{"a job that kills its workers fails its flow", "the flow must not wait for ever", func(s *suite) {
			s.startFlow(stages("f", driver.FailFast, 2, 1))
			for i := range 2 {
				worker := fmt.Sprintf("w%d", i)
				s.join(worker, step)
				s.equal("taken", []string{"f~0.0"}, s.take(worker, 1))
				s.wait(2 * step)
			}
			s.join("lives", time.Minute)
			s.equal("the failure's job", []string{"f~failure"}, s.take("lives", 5))
			s.flowIs("f", driver.Failed, 0, driver.FlowStage{Total: 2, Failed: 2}, driver.FlowStage{Total: 1})
			s.stats(driver.Stats{Running: 1, Dead: 1})
		}},
		{"a dead worker's cancelled job ends with it", "nobody is left to answer", func(s *suite) {
			s.startFlow(stages("f", driver.FailFast, 2, 1))
			s.join("dies", 5*step)
			s.take("dies", 1)
			s.join("lives", time.Minute)
			s.equal("taken", []string{"f~0.1"}, s.take("lives", 1))
			s.equal("not ended", []string{}, s.sorted("lives", bury("f~0.1")))
			s.wait(6 * step)
			s.join("lives", time.Minute)
			s.equal("the failure's job", []string{"f~failure"}, s.take("lives", 5))
			s.flowIs("f", driver.Failed, 0, driver.FlowStage{Total: 2, Failed: 2}, driver.FlowStage{Total: 1})
		}},
		{"a cancelled job has failed", "its stage cannot be complete", func(s *suite) {
			s.startFlow(stages("f", driver.WaitAll, 2, 1))
			n, err := s.d.Resolve(s.Context(), []string{"f~0.0"}, driver.Cancel)
			s.must(err)
			s.equal("cancelled", 1, n)
			s.join("w", time.Minute)
			s.equal("the other", []string{"f~0.1"}, s.take("w", 5))
			s.equal("the failure's job", []string{"f~failure"}, s.sorted("w", finish("f~0.1")))
			s.equal("error", "cancelled", s.flow("f").Error)
		}},
		{"results of a stage are bounded", "the next one reads all of them", func(s *suite) {
			const size = 64 << 10
			const n = driver.MaxResults/size + 1
			s.startFlow(stages("f", driver.Ignore, n, 1))
			s.join("w", time.Minute)
			taken, text := s.take("w", driver.MaxBatch), strings.Repeat("x", size)
			s.equal("taken", n, len(taken))
			for part := range slices.Chunk(taken, 50) {
				var done []driver.Outcome
				for _, id := range part {
					done = append(done, result(id, text))
				}
				s.exchange("w", 0, done...)
			}
			s.flowIs("f", driver.Running, 1, driver.FlowStage{Total: n, Done: n - 1, Failed: 1}, driver.FlowStage{Total: 1})
			s.equal("the next stage has room", []string{}, s.sorted("w", driver.Outcome{ID: s.take("w", 1)[0], Action: driver.Finish, Result: []byte(text)}))
			s.equal("state", driver.Done, s.flow("f").State)
		}},
	}
}
