package jobstest

import (
	"fmt"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// flowStorm runs flows of all policies with failures, retries, crashes and
// lost replies, and checks each stage against its flow.
func flowStorm(s *suite) {
	const flows, workers = 40, 4
	policies := []driver.FlowPolicy{driver.FailFast, driver.WaitAll, driver.Ignore}
	for i := range flows {
		s.startFlow(stages(fmt.Sprintf("f%d", i), policies[i%3], 1+i%5, 1+i%3, 1))
	}
	storm := &storm{suite: s, ended: map[string]int{}, begun: map[string]int{}}
	var all sync.WaitGroup
	for n := range workers {
		all.Go(func() { storm.work(fmt.Sprintf("w%d", n)) })
	}
	all.Wait()
	for i := range flows {
		id := fmt.Sprintf("f%d", i)
		f := s.flow(id)
		failed := 0
		for stage, count := range f.Stages {
			if stage <= f.Stage {
				s.equal(id+" is settled", count.Total, count.Done+count.Failed)
				failed += count.Failed
			} else {
				s.equal(id+" did not begin", 0, count.Done+count.Failed+storm.begun[fmt.Sprint(id, " ", stage)])
			}
		}
		want := driver.Done
		if failed > 0 && f.Policy != driver.Ignore {
			want = driver.Failed
			s.equal(id+" failure job", 1, storm.ended[driver.FailureID(id)])
		}
		s.equal(id, want, f.State)
	}
	for job, times := range storm.ended {
		s.equal("ends of "+job, 1, times)
	}
}

type storm struct {
	*suite

	mu    sync.Mutex
	ended map[string]int // by job
	begun map[string]int // by flow and stage
}

func (s *storm) work(worker string) {
	if _, err := s.d.Beat(s.Context(), driver.Beat{Worker: worker, Lease: time.Minute, Join: true}); err != nil {
		s.Errorf("beat: %v", err)
		return
	}
	x := driver.Exchange{Worker: worker, Want: 3}
	for quiet := 0; quiet < 50; {
		x.Seq++
		batch, err := s.d.Exchange(s.Context(), x)
		if err == nil && x.Seq%5 == 0 { // its reply got lost
			batch, err = s.d.Exchange(s.Context(), x)
		}
		if err != nil {
			s.Errorf("exchange: %v", err)
			return
		}
		x.Done = x.Done[:0]
		s.mu.Lock()
		for _, j := range batch.Jobs {
			out := someOutcome(j.ID, int(x.Seq))
			if flow, stage, _, ok := driver.FlowOf(j.ID); ok {
				s.begun[fmt.Sprint(flow, " ", stage)]++
			} else {
				out = finish(j.ID)
			}
			if out.Action == driver.Finish || out.Action == driver.Bury {
				s.ended[j.ID]++
			}
			x.Done = append(x.Done, out)
		}
		s.mu.Unlock()
		if quiet++; len(batch.Jobs) > 0 {
			quiet = 0
		}
		if quiet > 40 {
			s.wait(5 * time.Millisecond)
		}
	}
}

// someOutcome gives the flow jobs of a storm their ends, some of them bad.
func someOutcome(id string, round int) driver.Outcome {
	sum := round
	for _, c := range []byte(id) {
		sum = sum*31 + int(c)
	}
	switch sum & 15 {
	case 0:
		return driver.Outcome{ID: id, Action: driver.Retry, Error: "again"}
	case 1:
		return driver.Outcome{ID: id, Action: driver.Return}
	case 2:
		return bury(id)
	}
	return result(id, fmt.Sprintf("result of %s", id))
}
