package jobstest

import (
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// stages makes a flow with as many jobs in each stage.
func stages(id string, policy driver.FlowPolicy, sizes ...int) driver.FlowPart {
	p := driver.FlowPart{ID: id, Name: "name", Policy: policy, Keep: time.Hour, Sizes: sizes}
	for stage, n := range sizes {
		for i := range n {
			id := driver.FlowJobID(p.ID, stage, i)
			p.Jobs = append(p.Jobs, driver.Job{ID: id, Kind: "kind", Body: []byte(`{"v":1,"kind":"kind","args":"` + id + `"}`)})
		}
	}
	p.OnFailure = &driver.Job{ID: driver.FailureID(p.ID), Kind: "failure", Body: []byte(`{"v":1,"kind":"failure"}`)}
	return p
}

func (s *suite) flower() driver.Flower {
	s.Helper()
	f, ok := s.d.(driver.Flower)
	if !ok {
		s.Fatal("driver is not a driver.Flower; set Features.NoFlows if that is meant")
	}
	return f
}

// startFlow stores a whole flow, in as many parts as it takes.
func (s *suite) startFlow(p driver.FlowPart) {
	s.Helper()
	all := p.Jobs
	for p.From = 0; p.From < len(all); {
		p.Jobs = all[p.From:min(p.From+driver.MaxBatch, len(all))]
		stored, err := s.flower().StartFlow(s.Context(), p)
		s.must(err)
		p.From = stored.Next
	}
}

func (s *suite) flow(id string) driver.Flow {
	s.Helper()
	f, err := s.flower().Flow(s.Context(), id)
	s.must(err)
	return f
}

// flowIs compares what most cases are about.
func (s *suite) flowIs(id string, state driver.State, stage int, stages ...driver.FlowStage) {
	s.Helper()
	f := s.flow(id)
	s.equal("state", state, f.State)
	s.equal("stage", stage, f.Stage)
	s.equal("stages", stages, f.Stages)
	s.equal("has ended", state != driver.Running && state != driver.Waiting, !f.Ended.IsZero())
}

func result(id, text string) driver.Outcome {
	return driver.Outcome{ID: id, Action: driver.Finish, Result: []byte(text)}
}

func bury(id string) driver.Outcome {
	return driver.Outcome{ID: id, Action: driver.Bury, Error: "no: " + id}
}

func finish(id string) driver.Outcome { return driver.Outcome{ID: id, Action: driver.Finish} }

// sorted takes jobs whose order does not matter.
func (s *suite) sorted(worker string, done ...driver.Outcome) []string {
	s.Helper()
	list := ids(s.exchange(worker, driver.MaxBatch, done...).Jobs)
	slices.Sort(list)
	return list
}

func flowCases() []testCase {
	return slices.Concat(
		flowStageCases(), flowSizeCases(), flowStartCases(), flowOtherCases(), flowPolicyCases(),
		flowFailureCases(), flowCancelCases(), flowRequeueCases(), flowEndCases(),
	)
}

func flowStageCases() []testCase {
	return []testCase{
		{"stages run one after another, with the results of the one before", "a report needs its pages", func(s *suite) {
			s.startFlow(stages("f", driver.FailFast, 2, 1, 1))
			s.join("w", time.Minute)
			s.equal("first stage", []string{"f~0.0", "f~0.1"}, s.sorted("w"))
			s.flowIs("f", driver.Running, 0, driver.FlowStage{Total: 2}, driver.FlowStage{Total: 1}, driver.FlowStage{Total: 1})
			s.equal("half of it", []string{}, s.sorted("w", result("f~0.1", `"b"`)))
			s.equal("second stage", []string{"f~1.0"}, s.sorted("w", result("f~0.0", "a b\n\x00c")))
			s.flowIs("f", driver.Running, 1, driver.FlowStage{Total: 2, Done: 2}, driver.FlowStage{Total: 1}, driver.FlowStage{Total: 1})
			inputs, err := s.flower().FlowJobs(s.Context(), driver.FlowQuery{ID: "f", Stage: 0, Limit: 10})
			s.must(err)
			s.equal("inputs", []driver.FlowJob{
				{ID: "f~0.0", Kind: "kind", State: driver.Done, Result: []byte("a b\n\x00c")},
				{ID: "f~0.1", Kind: "kind", State: driver.Done, Result: []byte(`"b"`)},
			}, inputs)
			inputs, err = s.flower().FlowJobs(s.Context(), driver.FlowQuery{ID: "f", Stage: 0, Offset: 1, Limit: 1})
			s.must(err)
			s.equal("a page", []string{"f~0.1"}, flowIDs(inputs))
			s.equal("third stage", []string{"f~2.0"}, s.sorted("w", finish("f~1.0")))
			s.equal("nothing", []string{}, s.sorted("w", finish("f~2.0")))
			s.flowIs("f", driver.Done, 2, driver.FlowStage{Total: 2, Done: 2}, driver.FlowStage{Total: 1, Done: 1}, driver.FlowStage{Total: 1, Done: 1})
			s.stats(driver.Stats{})
		}},
		{"a stage begins once, whatever is repeated", "the reply of the last finish may get lost", func(s *suite) {
			s.startFlow(stages("f", driver.FailFast, 1, 2))
			s.join("w", time.Minute)
			s.take("w", 1)
			x := driver.Exchange{Worker: "w", Seq: 77, Want: 5, Done: []driver.Outcome{finish("f~0.0"), finish("f~0.0")}}
			for range 3 {
				batch, err := s.d.Exchange(s.Context(), x)
				s.must(err)
				s.equal("jobs", 2, len(batch.Jobs))
			}
			x.Seq++
			x.Done = append(x.Done, finish("f~1.0"))
			for range 2 {
				batch, err := s.d.Exchange(s.Context(), x)
				s.must(err)
				s.equal("jobs", 0, len(batch.Jobs))
			}
			s.flowIs("f", driver.Running, 1, driver.FlowStage{Total: 1, Done: 1}, driver.FlowStage{Total: 2, Done: 1})
			s.stats(driver.Stats{Running: 1})
		}},
	}
}

func flowSizeCases() []testCase {
	return []testCase{
		{"a delay counts from the beginning of the stage", "it is the pause between two stages", func(s *suite) {
			p := stages("f", driver.FailFast, 1, 1)
			p.Jobs[1].Delay = 2 * step
			s.startFlow(p)
			s.wait(3 * step)
			s.join("w", time.Minute)
			s.take("w", 1)
			batch := s.exchange("w", 1, finish("f~0.0"))
			s.equal("not yet", []string{}, ids(batch.Jobs))
			s.equal("due within", true, batch.Next > 0 && batch.Next <= 2*step+rounding)
			s.wait(2*step + 20*time.Millisecond)
			s.equal("now", []string{"f~1.0"}, s.take("w", 1))
		}},
		{"stages may be larger than a call", "reports have thousands of pages", func(s *suite) {
			const first, second = 2*driver.MaxBatch + 200, driver.MaxBatch + 100
			s.startFlow(stages("f", driver.FailFast, first, second, 1))
			s.join("w", time.Minute)
			seen := map[string]int{}
			var done []driver.Outcome
			for len(seen) < first+second+1 {
				batch := s.exchange("w", driver.MaxBatch, done...)
				done = nil
				for _, j := range batch.Jobs {
					if _, stage, _, _ := driver.FlowOf(j.ID); stage > 0 && len(seen) < first {
						s.Fatalf("%s came before the end of the first stage\nwhy this matters: %s", j.ID, s.why)
					}
					seen[j.ID]++
					done = append(done, finish(j.ID))
				}
				if len(done) == 0 {
					s.Fatalf("%d jobs came, want %d\nwhy this matters: %s", len(seen), first+second+1, s.why)
				}
			}
			s.exchange("w", 0, done...)
			s.flowIs("f", driver.Done, 2, driver.FlowStage{Total: first, Done: first}, driver.FlowStage{Total: second, Done: second}, driver.FlowStage{Total: 1, Done: 1})
			s.stats(driver.Stats{})
		}},
		{"a dead worker's job runs again and counts once", "a crash must neither stall a flow nor skip a job", func(s *suite) {
			s.startFlow(stages("f", driver.FailFast, 2, 1))
			s.join("dies", step)
			s.equal("taken", 2, len(s.take("dies", 2)))
			s.equal("one is done", []string{}, s.sorted("dies", finish("f~0.0")))
			s.wait(2 * step)
			s.join("lives", time.Minute)
			s.equal("again", []string{"f~0.1"}, s.take("lives", 5))
			s.flowIs("f", driver.Running, 0, driver.FlowStage{Total: 2, Done: 1}, driver.FlowStage{Total: 1})
			s.equal("next", []string{"f~1.0"}, s.sorted("lives", finish("f~0.1")))
		}},
	}
}

func flowIDs(jobs []driver.FlowJob) []string {
	var list []string
	for _, j := range jobs {
		list = append(list, j.ID)
	}
	return list
}
