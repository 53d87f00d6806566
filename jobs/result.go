package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// HandleResult is Handle for handlers with a result. Its JSON, 64 KiB at most,
// is stored when the job finishes, for EnqueueOptions.Keep. A larger one makes
// the job dead.
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
// such job: then it was cancelled, is not kept any more, or never was.
func Result[R any](ctx context.Context, q *Queue, id string) (R, error) {
	var result R
	found, err := q.find(ctx, []string{id})
	if err != nil {
		return result, err
	}
	switch job := found[0]; job.State {
	case "":
		return result, fmt.Errorf("jobs: result of %s: %w", id, ErrNotFound)
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

// Await is Result that waits while the job is pending, until ctx ends. It asks
// the store after 5 ms and then ever less often, once a second at last.
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
