package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Flow looks a flow up: how far it is, by stage, and how it ended. ErrNotFound
// means that there is none, or none of the tenant in ctx.
func (q *Queue) Flow(ctx context.Context, id string) (FlowInfo, error) {
	f, err := q.flow(ctx, id)
	if err != nil {
		return FlowInfo{}, fmt.Errorf("jobs: flow %s: %w", id, err)
	}
	return f, nil
}

func (q *Queue) flow(ctx context.Context, id string) (FlowInfo, error) {
	flower, err := q.flower()
	if err != nil {
		return FlowInfo{}, err
	}
	f, err := flower.Flow(ctx, id)
	if tenant := q.contextTenant(ctx); err == nil && (f.State == "" || tenant != "" && f.Tenant != tenant) {
		return FlowInfo{}, ErrNotFound
	}
	return f, err
}

// hasFlow is false for a flow that ctx may not reach. Without a tenant in ctx
// it asks nobody.
func (q *Queue) hasFlow(ctx context.Context, id string) (bool, error) {
	if q.contextTenant(ctx) == "" {
		return true, nil
	}
	_, err := q.Flow(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (q *Queue) flower() (driver.Flower, error) {
	flower, ok := q.driver.(driver.Flower)
	if !ok {
		return nil, fmt.Errorf("the driver cannot: %w", errors.ErrUnsupported)
	}
	return flower, nil
}

// Flows pages through the flows, those started last first. Limit is 1 to 500.
// With a tenant in ctx it lists the flows of the tenant, as List does jobs.
func (q *Queue) Flows(ctx context.Context, offset, limit int) ([]FlowInfo, error) {
	flower, err := q.flower()
	if err != nil {
		return nil, fmt.Errorf("jobs: flows: %w", err)
	}
	if limit < 1 || limit > driver.MaxBatch || offset < 0 {
		return nil, fmt.Errorf("jobs: flows: want a limit of 1 to %d and an offset of at least 0", driver.MaxBatch)
	}
	flows, err := narrow(ctx, q, offset, limit,
		func(offset, limit int) ([]FlowInfo, error) { return flower.Flows(ctx, offset, limit) },
		func(f FlowInfo) string { return f.Tenant })
	if err != nil {
		return nil, fmt.Errorf("jobs: flows: %w", err)
	}
	return flows, nil
}

// FlowJobs pages through the jobs of one stage of a flow, in the order in which
// Start was given them. Limit is 1 to 500. Finished ones have the state Done and
// failed ones Failed, until their flow is forgotten; those of later stages are
// Waiting. A flow that does not exist, or is another tenant's than that of ctx,
// has no jobs.
func (q *Queue) FlowJobs(ctx context.Context, id string, stage, offset, limit int) ([]Entry, error) {
	flower, err := q.flower()
	if err != nil {
		return nil, fmt.Errorf("jobs: flow jobs: %w", err)
	}
	if limit < 1 || limit > driver.MaxBatch || offset < 0 {
		return nil, fmt.Errorf("jobs: flow jobs: want a limit of 1 to %d and an offset of at least 0", driver.MaxBatch)
	}
	if found, err := q.hasFlow(ctx, id); !found {
		return nil, err
	}
	jobs, err := flower.FlowJobs(ctx, driver.FlowQuery{ID: id, Stage: stage, Offset: offset, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("jobs: flow jobs: %w", err)
	}
	live := map[string]Entry{}
	var ids []string
	for _, j := range jobs {
		if j.State == driver.Running || j.State == driver.Failed {
			ids = append(ids, j.ID)
		}
	}
	found, err := q.Find(ctx, ids...)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	for _, e := range found {
		live[e.Info.ID] = e
	}
	entries := make([]Entry, len(jobs))
	for i, j := range jobs {
		e := live[j.ID]
		e.Info.ID, e.Info.Kind, e.Info.Flow = j.ID, j.Kind, id
		if j.State != driver.Running || e.State == "" {
			e.State, e.Error, e.Result = j.State, j.Error, j.Result
		}
		entries[i] = e
	}
	return entries, nil
}

// CancelFlow ends a flow: jobs of it that wait are forgotten, those that run
// are cancelled as by Cancel. It has ended when the last of these has. OnFailure
// is not enqueued. False answers a flow that has ended or does not exist, or is
// another tenant's than that of ctx.
func (q *Queue) CancelFlow(ctx context.Context, id string) (bool, error) {
	flower, err := q.flower()
	if err != nil {
		return false, fmt.Errorf("jobs: cancel flow: %w", err)
	}
	if found, err := q.hasFlow(ctx, id); !found {
		return false, err
	}
	found, err := flower.CancelFlow(ctx, id)
	if err != nil {
		return false, fmt.Errorf("jobs: cancel flow %s: %w", id, err)
	}
	return found, nil
}

type flowKey struct{}

// Inputs returns, in the handler of a flow's job, the results of the stage
// before, in the order of its jobs; none in the first stage. A job without a
// result, or one that failed in a flow with the policy Ignore, leaves its place
// at the zero R: with a pointer type that is nil.
//
// The results of a stage are 16 MiB at most: a job whose result exceeds that
// has failed.
func Inputs[R any](ctx context.Context) ([]R, error) {
	info, _ := InfoFrom(ctx)
	q, ok := ctx.Value(flowKey{}).(*Queue)
	_, stage, _, ours := driver.FlowOf(info.ID)
	if !ok || !ours {
		return nil, errors.New("jobs: inputs: the context is not that of a flow's job")
	}
	if stage == 0 {
		return nil, nil
	}
	results, err := results[R](ctx, q, info.Flow, info.Tenant, stage-1)
	if err != nil {
		return nil, fmt.Errorf("jobs: inputs: %w", err)
	}
	return results, nil
}

// Outputs returns the results of the last stage of a flow, as Inputs does. It
// answers ErrPending while the flow has not ended, ErrFlowFailed, with the text
// of the first failure, if it failed, ErrCancelled if it was cancelled, and
// ErrNotFound if there is no such flow, or none any more.
func Outputs[R any](ctx context.Context, q *Queue, id string) ([]R, error) {
	fail := func(err error) ([]R, error) { return nil, fmt.Errorf("jobs: outputs of flow %s: %w", id, err) }
	f, err := q.flow(ctx, id)
	switch {
	case err != nil:
		return fail(err)
	case f.State == Failed:
		return fail(fmt.Errorf("%w: %s: %s", ErrFlowFailed, f.Culprit, f.Error))
	case f.State == Cancelled:
		return fail(ErrCancelled)
	case f.State != Done:
		return fail(ErrPending)
	}
	results, err := results[R](ctx, q, id, f.Tenant, len(f.Stages)-1)
	if err != nil {
		return fail(err)
	}
	return results, nil
}

// results reads the results of a stage.
func results[R any](ctx context.Context, q *Queue, id, tenant string, stage int) ([]R, error) {
	flower, err := q.flower()
	if err != nil {
		return nil, err
	}
	var all []R
	for {
		page, err := flower.FlowJobs(ctx, driver.FlowQuery{ID: id, Stage: stage, Offset: len(all), Limit: driver.MaxBatch})
		if err != nil {
			return nil, err
		}
		for _, job := range page {
			var result R
			if job.State == driver.Done && len(job.Result) > 0 {
				if err := q.openResult(job.Kind, tenant, job.ID, job.Result, &result); err != nil {
					return nil, fmt.Errorf("result of %s: %w", job.ID, err)
				}
			}
			all = append(all, result)
		}
		if len(page) < driver.MaxBatch {
			return all, nil
		}
	}
}
