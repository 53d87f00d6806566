package jobstest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// flow is a flow of any state.
type flow struct {
	driver.FlowPart

	state   driver.State
	stage   int
	jobs    []*flowJob // of all stages
	results int        // bytes, of this stage
	ending  driver.State
	started time.Time
	touched time.Time // by StartFlow
	ended   time.Time
	culprit string
	err     string
}

type flowJob struct {
	driver.Job
	state  driver.State
	since  time.Time // when it could have run
	err    string
	result []byte
}

// stageJobs are the jobs of one stage.
func (f *flow) stageJobs(stage int) []*flowJob {
	first := 0
	for _, n := range f.Sizes[:stage] {
		first += n
	}
	return f.jobs[min(first, len(f.jobs)):min(first+f.Sizes[stage], len(f.jobs))]
}

func count(jobs []*flowJob, state driver.State) int {
	n := 0
	for _, j := range jobs {
		if j.state == state {
			n++
		}
	}
	return n
}

// unfinishedFlow is how long a flow waits for its next part.
const unfinishedFlow = time.Hour

// StartFlow implements driver.Flower.
func (d *Driver) StartFlow(ctx context.Context, p driver.FlowPart) (driver.FlowStored, error) {
	if err := cmp.Or(bounded("start flow", len(p.Jobs)), fits("start flow", p.Jobs...)); err != nil {
		return driver.FlowStored{}, err
	}
	if p.OnFailure != nil {
		if err := fits("start flow", *p.OnFailure); err != nil {
			return driver.FlowStored{}, err
		}
	}
	var stored driver.FlowStored
	err := d.call(ctx, OpPush, func() error {
		f := d.flows[p.ID]
		if stored.Existed = f != nil; !stored.Existed {
			f = &flow{FlowPart: p, state: driver.Waiting, started: now()}
			f.Sizes, f.Jobs = slices.Clone(p.Sizes), nil
		}
		stored.Next = f.Total()
		switch {
		case f.Tenant != p.Tenant:
			return fmt.Errorf("jobstest: flow: %w", driver.ErrIDTaken)
		case f.state != driver.Waiting:
			return nil
		case !slices.Equal(f.Sizes, p.Sizes):
			return fmt.Errorf("jobstest: flow: another flow with the id %s is being stored", p.ID)
		}
		if p.From > len(f.jobs) {
			stored.Next = len(f.jobs)
			return nil
		}
		fresh := p.Jobs[min(len(f.jobs)-p.From, len(p.Jobs)):]
		whole := len(f.jobs)+len(fresh) == f.Total()
		if whole && p.MaxDepth > 0 && d.unfinished()+f.Sizes[0] > p.MaxDepth {
			return fmt.Errorf("jobstest: flow: %w", driver.ErrQueueFull)
		}
		d.flows[p.ID], f.touched = f, now()
		for _, job := range fresh {
			job.Body = slices.Clone(job.Body)
			f.jobs = append(f.jobs, &flowJob{Job: job, state: driver.Waiting})
		}
		stored.Next = len(f.jobs)
		if whole {
			f.state = driver.Running
			d.begin(f, 0)
		}
		return nil
	})
	return stored, err
}

// begin pushes the jobs of a stage.
func (d *Driver) begin(f *flow, stage int) {
	f.stage, f.results = stage, 0
	for _, step := range f.stageJobs(stage) {
		step.state, step.since = driver.Running, now().Add(step.Delay).Truncate(time.Millisecond)
		if step.At.After(step.since) {
			step.since = step.At.UTC().Truncate(time.Millisecond)
		}
		d.store([]driver.Job{step.Job})
	}
}

// step finds what a job is to its flow; nil if it is nothing to it (any more).
func (d *Driver) step(id string) (*flow, *flowJob) {
	name, stage, index, ok := driver.FlowOf(id)
	f := d.flows[name]
	if !ok || f == nil || f.state != driver.Running || stage != f.stage {
		return nil, nil
	}
	return f, f.stageJobs(stage)[index]
}

// stepDone tells the flow of a job, if it has one, that the job is finished.
func (d *Driver) stepDone(id string, result []byte) {
	f, step := d.step(id)
	if f == nil || step.state != driver.Running {
		return
	}
	if len(result) > 0 && f.results+len(result) > driver.MaxResults {
		d.stepFailed(id, "the results of its stage are too large")
		return
	}
	f.results += len(result)
	step.state, step.result = driver.Done, slices.Clone(result)
	d.advance(f)
}

// stepFailed tells it that the job died or was cancelled.
func (d *Driver) stepFailed(id, why string) {
	f, step := d.step(id)
	if f == nil || step.state != driver.Running {
		return
	}
	step.state, step.err = driver.Failed, why
	if f.culprit == "" && f.ending == "" {
		f.culprit, f.err = id, why
	}
	if f.Policy == driver.FailFast && f.ending == "" {
		d.endFlow(f, driver.Failed)
	}
	d.advance(f)
}

// stepRequeued tells it that a dead job has another chance.
func (d *Driver) stepRequeued(id string) {
	f, step := d.step(id)
	if f == nil || step.state != driver.Failed || f.ending != "" {
		return
	}
	step.state, step.err = driver.Running, ""
	if f.culprit == id {
		f.culprit, f.err = "", ""
	}
}

// endFlow cancels what is left of a flow.
func (d *Driver) endFlow(f *flow, as driver.State) {
	f.ending = as
	for _, step := range f.stageJobs(f.stage) {
		if j := d.jobs[step.ID]; j != nil && step.state == driver.Running {
			d.cancel(j)
		}
	}
}

// advance goes on when all jobs of the stage are settled.
func (d *Driver) advance(f *flow) {
	jobs := f.stageJobs(f.stage)
	if f.state != driver.Running || count(jobs, driver.Running) > 0 {
		return
	}
	switch failed := count(jobs, driver.Failed); {
	case f.ending == driver.Cancelled:
		f.state = driver.Cancelled
	case failed > 0 && f.Policy != driver.Ignore:
		f.state = driver.Failed
		if f.OnFailure != nil {
			d.store([]driver.Job{*f.OnFailure})
		}
	case f.stage+1 < len(f.Sizes):
		d.begin(f, f.stage+1)
		return
	default:
		f.state = driver.Done
	}
	f.ended = now()
}

// CancelFlow implements driver.Flower.
func (d *Driver) CancelFlow(ctx context.Context, id string) (bool, error) {
	found := false
	err := d.call(ctx, OpResolve, func() error {
		f := d.flows[id]
		if f == nil || !f.ended.IsZero() {
			return nil
		}
		found = true
		if f.state == driver.Waiting {
			f.state, f.ended = driver.Cancelled, now()
			return nil
		}
		d.endFlow(f, driver.Cancelled)
		d.advance(f)
		return nil
	})
	return found, err
}

// sweepFlows forgets flows that were kept long enough or never became whole.
func (d *Driver) sweepFlows() {
	for id, f := range d.flows {
		switch {
		case f.state == driver.Waiting && now().Sub(f.touched) >= unfinishedFlow:
			delete(d.flows, id)
		case !f.ended.IsZero() && now().Sub(f.ended) >= f.Keep && !d.remains(f):
			delete(d.flows, id)
		}
	}
}

// remains tells whether a job of a flow is still there.
func (d *Driver) remains(f *flow) bool {
	for _, step := range f.jobs {
		if d.jobs[step.ID] != nil {
			return true
		}
	}
	return d.jobs[driver.FailureID(f.ID)] != nil
}
