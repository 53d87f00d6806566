package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// HandleResult is Handle for handlers with a result. Its JSON, 64 KiB at most,
// is stored when the job finishes, for EnqueueOptions.Keep: without Keep it is
// forgotten with the job, unless a flow hands it on. A larger one makes the job
// dead.
func HandleResult[A Args, R any](q *Queue, h func(context.Context, A) (R, error)) {
	if h == nil {
		panic("jobs: Handle: handler is nil")
	}
	register(q, func(ctx context.Context, args A) ([]byte, error) {
		result, err := h(ctx, args)
		if err != nil {
			return nil, err
		}
		data, err := json.Marshal(result)
		if err != nil {
			return nil, Discard(fmt.Errorf("jobs: encode result: %w", err))
		}
		return data, nil
	})
}

// Result returns the result of a finished job, or the zero R if its handler
// has none. It answers ErrPending while the job is not finished, ErrDead, with
// the text of its last error, if it is dead, and ErrNotFound if there is no
// such job: then it was cancelled, is not kept any more, or never was, or not
// for the tenant in ctx. A job without EnqueueOptions.Keep is not kept at all: it
// is pending until it is finished and not found from then on.
//
// The jobs of a flow are found as long as the flow is, without Keep; those of
// later stages are pending, those that failed or were cancelled dead.
func Result[R any](ctx context.Context, q *Queue, id string) (R, error) {
	var result R
	found, err := q.find(ctx, []string{id})
	if err != nil {
		return result, err
	}
	switch job := found[0]; job.State {
	case "":
		result, err = memberResult[R](ctx, q, id)
		if errors.Is(err, ErrNotFound) {
			err = fmt.Errorf("%w, or it is finished and was not kept (EnqueueOptions.Keep)", ErrNotFound)
		}
		if err != nil {
			return result, fmt.Errorf("jobs: result of %s: %w", id, err)
		}
		return result, nil
	case Dead:
		return result, fmt.Errorf("jobs: result of %s: %w: %s", id, ErrDead, job.Error)
	case Done:
		if len(job.Result) == 0 {
			return result, nil
		}
		env, err := decode(job.Body)
		if err == nil {
			err = q.openResult(env.Kind, env.Tenant, id, job.Result, &result)
		}
		if err != nil {
			return result, fmt.Errorf("jobs: result of %s: %w", id, err)
		}
		return result, nil
	}
	return result, fmt.Errorf("jobs: result of %s: %w", id, ErrPending)
}

// memberResult is Result for a job of a flow that is not in the store by
// itself: it waits for its stage, or the flow remembers its end.
func memberResult[R any](ctx context.Context, q *Queue, id string) (R, error) {
	var result R
	name, stage, index, ours := driver.FlowOf(id)
	flower, err := q.flower()
	if !ours || err != nil {
		return result, ErrNotFound
	}
	flow, err := q.flow(ctx, name)
	if err != nil {
		return result, err
	}
	page, err := flower.FlowJobs(ctx, driver.FlowQuery{ID: name, Stage: stage, Offset: index, Limit: 1})
	switch {
	case err != nil:
		return result, err
	case len(page) == 0:
		return result, ErrNotFound
	}
	switch job := page[0]; {
	case job.State == Failed:
		return result, fmt.Errorf("%w: %s", ErrDead, job.Error)
	case job.State != Done && flow.Ended.IsZero():
		return result, ErrPending
	case job.State != Done: // of a stage that was not reached
		return result, ErrNotFound
	case len(job.Result) > 0:
		err = q.openResult(job.Kind, flow.Tenant, id, job.Result, &result)
	}
	return result, err
}

// Await is Result that waits while the job is pending, until ctx ends. It asks
// the store after 5 ms and then ever less often, once a second at last. A job
// whose result is awaited needs EnqueueOptions.Keep.
func Await[R any](ctx context.Context, q *Queue, id string) (R, error) {
	for d := 5 * time.Millisecond; ; d = min(2*d, time.Second) {
		result, err := Result[R](ctx, q, id)
		if !errors.Is(err, ErrPending) {
			return result, err
		}
		nap(ctx, d, nil)
		if ctx.Err() != nil {
			return result, fmt.Errorf("jobs: result of %s: %w", id, context.Cause(ctx))
		}
	}
}
