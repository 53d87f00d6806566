package jobstest

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func (f *flow) shown() driver.Flow {
	s := driver.Flow{
		ID: f.ID, Name: f.Name, Tenant: f.Tenant, Policy: f.Policy, Keep: f.Keep,
		State: f.state, Stage: f.stage, Started: f.started, Ended: f.ended, Culprit: f.culprit, Error: f.err,
	}
	for i, total := range f.Sizes {
		jobs := f.stageJobs(i)
		s.Stages = append(s.Stages, driver.FlowStage{
			Total: total, Done: count(jobs, driver.Done), Failed: count(jobs, driver.Failed),
		})
	}
	return s
}

// Flow implements driver.Flower.
func (d *Driver) Flow(ctx context.Context, id string) (driver.Flow, error) {
	var found driver.Flow
	err := d.call(ctx, OpInspect, func() error {
		if f := d.flows[id]; f != nil {
			found = f.shown()
		}
		return nil
	})
	return found, err
}

// Flows implements driver.Flower.
func (d *Driver) Flows(ctx context.Context, offset, limit int) ([]driver.Flow, error) {
	if err := paged("flows", offset, limit); err != nil {
		return nil, err
	}
	var page []driver.Flow
	err := d.call(ctx, OpInspect, func() error {
		all := slices.SortedFunc(maps.Values(d.flows), func(a, b *flow) int {
			return cmp.Or(b.started.Compare(a.started), cmp.Compare(b.ID, a.ID))
		})
		all = all[min(offset, len(all)):]
		for _, f := range all[:min(limit, len(all))] {
			page = append(page, f.shown())
		}
		return nil
	})
	return page, err
}

// FlowJobs implements driver.Flower.
func (d *Driver) FlowJobs(ctx context.Context, q driver.FlowQuery) ([]driver.FlowJob, error) {
	if err := paged("flow jobs", q.Offset, q.Limit); err != nil {
		return nil, err
	}
	var page []driver.FlowJob
	err := d.call(ctx, OpInspect, func() error {
		f := d.flows[q.ID]
		if f == nil || q.Stage < 0 || q.Stage >= len(f.Sizes) {
			return nil
		}
		jobs := f.stageJobs(q.Stage)
		jobs = jobs[min(q.Offset, len(jobs)):]
		for _, step := range jobs[:min(q.Limit, len(jobs))] {
			page = append(page, driver.FlowJob{
				ID: step.ID, Kind: step.Kind, State: step.state, Error: step.err, Result: slices.Clone(step.result),
			})
		}
		return nil
	})
	return page, err
}
