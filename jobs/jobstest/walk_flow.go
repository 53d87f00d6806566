package jobstest

import (
	"maps"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// startFlow stores a small flow, perhaps in two parts, perhaps twice.
func (w *walk) startFlow() error {
	flower, ok := w.d.(driver.Flower)
	if !ok {
		return nil
	}
	p := driver.FlowPart{ID: w.name("f"), Tenant: "acme", Keep: time.Hour}
	p.Policy = one(w, []driver.FlowPolicy{driver.FailFast, driver.WaitAll, driver.Ignore})
	for stage := range 1 + w.rand.IntN(3) {
		p.Sizes = append(p.Sizes, 1+w.rand.IntN(3))
		for i := range p.Sizes[stage] {
			p.Jobs = append(p.Jobs, w.flowJob(driver.FlowJobID(p.ID, stage, i)))
		}
	}
	if w.chance(2) {
		p.OnFailure = new(w.flowJob(driver.FailureID(p.ID)))
	}
	whole := p.Jobs
	if cut := w.rand.IntN(len(whole)); cut > 0 && w.chance(3) {
		p.Jobs = whole[:cut]
		stored, err := flower.StartFlow(w.ctx, p)
		w.logf("a part of flow %s: %+v, %v", p.ID, stored, err)
		if err != nil {
			return err
		}
		if err := w.equal("stored", driver.FlowStored{Next: cut}, stored); err != nil {
			return err
		}
		p.From, p.Jobs = cut, whole[cut:]
	}
	stored, err := flower.StartFlow(w.ctx, p)
	w.logf("flow %s %q of %v, on failure %t: %+v, %v", p.ID, p.Policy, p.Sizes, p.OnFailure != nil, stored, err)
	if err != nil {
		return err
	}
	if err := w.equal("stored", driver.FlowStored{Next: len(whole), Existed: p.From > 0}, stored); err != nil {
		return err
	}
	p.From, p.Jobs, w.token = 0, whole, true
	w.m.startFlow(p)
	if !w.chance(4) {
		return nil
	}
	stored, err = flower.StartFlow(w.ctx, p)
	w.logf("the same again: %+v, %v", stored, err)
	if err != nil {
		return err
	}
	return w.equal("stored again", driver.FlowStored{Next: len(whole), Existed: true}, stored)
}

// flowJob makes a job of a flow.
func (w *walk) flowJob(id string) driver.Job {
	j := w.freshJob(id)
	j.Unique, j.Scope, j.Window = "", "", 0
	return j
}

func (w *walk) cancelFlow() error {
	flower, ok := w.d.(driver.Flower)
	if !ok {
		return nil
	}
	id := one(w, append(slices.Sorted(maps.Keys(w.m.flows)), "never"))
	found, err := flower.CancelFlow(w.ctx, id)
	w.logf("cancel flow %s: %t, %v", id, found, err)
	if err != nil {
		return err
	}
	return w.equal("cancelled flow", w.m.cancelFlow(id), found)
}

// lookAtFlows compares all that the driver shows of flows. Which of two jobs
// that failed in one call was the first is its choice.
func (w *walk) lookAtFlows() error {
	flower, ok := w.d.(driver.Flower)
	if !ok {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(w.m.flows)) {
		c := w.m.flows[id]
		got, err := flower.Flow(w.ctx, id)
		if err != nil {
			return err
		}
		if got.State == "" && w.m.forgettable(c) {
			delete(w.m.flows, id)
			continue
		}
		if c.culprit != "" && c.ended[got.Culprit] == driver.Failed {
			c.culprit = got.Culprit
		}
		if ended := !got.Ended.IsZero(); ended != (c.state != driver.Running) {
			return w.differ("flow %s is %s, and has ended: %t", id, c.state, ended)
		}
		got.Started, got.Ended = time.Time{}, time.Time{}
		if err := w.equal("flow", c.shown(), got); err != nil {
			return err
		}
		for stage := range c.Sizes {
			if err := w.lookAtStage(flower, c, stage); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walk) lookAtStage(flower driver.Flower, c *course, stage int) error {
	page, err := flower.FlowJobs(w.ctx, driver.FlowQuery{ID: c.ID, Stage: stage, Limit: driver.MaxBatch})
	if err != nil {
		return err
	}
	var want []driver.FlowJob
	for _, j := range c.stageOf(stage) {
		job := driver.FlowJob{ID: j.ID, Kind: j.Kind, State: c.ended[j.ID], Error: c.errs[j.ID]}
		switch {
		case job.State == "" && stage > c.stage:
			job.State = driver.Waiting
		case job.State == "":
			job.State, job.Error = driver.Running, ""
		case job.State == driver.Done:
			job.Error, job.Result = "", []byte(c.results[j.ID])
		}
		want = append(want, job)
	}
	return w.equal("jobs of the flow", showSteps(want), showSteps(page))
}

func showSteps(list []driver.FlowJob) (lines []string) {
	for _, j := range list {
		lines = append(lines, j.ID+" "+j.Kind+" "+string(j.State)+" "+j.Error+" "+string(j.Result))
	}
	return lines
}

// flowsEnded is so when no job is left.
func (w *walk) flowsEnded() error {
	for id, c := range w.m.flows {
		if c.state == driver.Running {
			return w.differ("flow %s does not end: stage %d of %v, ended %v", id, c.stage, c.Sizes, c.ended)
		}
	}
	return nil
}
