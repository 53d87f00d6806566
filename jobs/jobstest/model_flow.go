package jobstest

import (
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// course is a flow as the model sees it: which of its jobs have ended, and how.
type course struct {
	driver.FlowPart

	state   driver.State
	stage   int
	ending  driver.State
	ended   map[string]driver.State // jobs of the present and earlier stages: Done or Failed
	errs    map[string]string       // of failed ones
	results map[string]string
	culprit string
	over    time.Time // when it ended
}

// stageOf are the jobs of a stage.
func (c *course) stageOf(stage int) []driver.Job {
	first := 0
	for _, n := range c.Sizes[:stage] {
		first += n
	}
	return c.Jobs[first : first+c.Sizes[stage]]
}

// startFlow begins a flow that was stored whole.
func (m *model) startFlow(p driver.FlowPart) {
	c := &course{FlowPart: p, state: driver.Running, ended: map[string]driver.State{}, errs: map[string]string{}, results: map[string]string{}}
	m.flows[p.ID] = c
	m.beginStage(c, 0)
}

func (m *model) beginStage(c *course, stage int) {
	c.stage = stage
	for _, j := range c.stageOf(stage) {
		m.pushStep(j)
	}
}

// pushStep pushes a job of a flow. Its place among others is the driver's choice.
func (m *model) pushStep(j driver.Job) {
	step := &expected{Job: j}
	m.jobs[j.ID] = step
	m.wait(step, j.Delay, m.began)
}

// flowOf is the flow to which the end of a job means something.
func (m *model) flowOf(id string) *course {
	name, stage, _, ok := driver.FlowOf(id)
	c := m.flows[name]
	if !ok || c == nil || c.state != driver.Running || stage != c.stage {
		return nil
	}
	return c
}

// stepEnded tells the flow of a job that it has finished (Done), with a result,
// or that it died or was cancelled (Failed), with an error.
func (m *model) stepEnded(id string, how driver.State, text string) {
	c := m.flowOf(id)
	if c == nil || c.ended[id] != "" {
		return
	}
	c.ended[id] = how
	if how == driver.Done {
		c.results[id] = text
	} else {
		c.errs[id] = text
		if c.culprit == "" && c.ending == "" {
			c.culprit = id
		}
		if c.Policy == driver.FailFast && c.ending == "" {
			m.endFlow(c, driver.Failed)
		}
	}
	m.advance(c)
}

// stepRequeued tells it that a dead job has another chance.
func (m *model) stepRequeued(id string) {
	c := m.flowOf(id)
	if c == nil || c.ended[id] != driver.Failed || c.ending != "" {
		return
	}
	delete(c.ended, id)
	if c.culprit == id {
		c.culprit = ""
	}
}

// endFlow cancels the jobs of the stage that have not ended.
func (m *model) endFlow(c *course, as driver.State) {
	c.ending = as
	for _, step := range c.stageOf(c.stage) {
		switch j := m.jobs[step.ID]; j.state {
		case driver.Ready:
			m.forget(j)
		case driver.Running:
			j.canceled = true
		}
	}
}

func (m *model) advance(c *course) {
	defer func() {
		if c.state != driver.Running && c.over.IsZero() {
			c.over = time.Now()
		}
	}()
	failed := false
	for _, j := range c.stageOf(c.stage) {
		switch {
		case c.state != driver.Running || c.ended[j.ID] == "":
			return
		case c.ended[j.ID] == driver.Failed:
			failed = true
		}
	}
	switch {
	case c.ending == driver.Cancelled:
		c.state = driver.Cancelled
	case failed && c.Policy != driver.Ignore:
		c.state = driver.Failed
		if c.OnFailure != nil {
			m.pushStep(*c.OnFailure)
		}
	case c.stage+1 < len(c.Sizes):
		m.beginStage(c, c.stage+1)
	default:
		c.state = driver.Done
	}
}

// cancelFlow tells whether there is something to cancel.
func (m *model) cancelFlow(id string) bool {
	c := m.flows[id]
	if c == nil || c.state != driver.Running {
		return false
	}
	m.endFlow(c, driver.Cancelled)
	m.advance(c)
	return true
}

// shown is what the driver must show of a flow, but for its times.
func (c *course) shown() driver.Flow {
	f := driver.Flow{
		ID: c.ID, Tenant: c.Tenant, Policy: c.Policy, Keep: time.Hour,
		State: c.state, Stage: c.stage, Culprit: c.culprit, Error: c.errs[c.culprit],
	}
	for stage, total := range c.Sizes {
		count := driver.FlowStage{Total: total}
		for _, j := range c.stageOf(stage) {
			switch c.ended[j.ID] {
			case driver.Done:
				count.Done++
			case driver.Failed:
				count.Failed++
			}
		}
		f.Stages = append(f.Stages, count)
	}
	return f
}
