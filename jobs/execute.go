package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// giveBack is how long a job rests that this worker cannot run but another
// may: a new kind in the middle of a deployment.
const giveBack = 5 * time.Second

// maxErrorText bounds what is stored of an error, in bytes.
const maxErrorText = 2 << 10

// errGoexit is the failure of a handler that ended its goroutine, as FailNow of
// package testing does.
var errGoexit = errors.New("jobs: handler called runtime.Goexit")

// execute runs one job and notes in it what becomes of it.
func (q *Queue) execute(a *attempt) {
	a.out = driver.Outcome{ID: a.job.ID, Action: driver.Return}
	if a.base.Err() != nil {
		return // taken under a lease that has ended meanwhile
	}
	run, ctx := q.prepare(a)
	if run == nil {
		return
	}
	a.begin(q.opts.timeout())
	q.opts.observeStarted(ctx, a)
	result, err := []byte(nil), errGoexit
	defer func() { // also after a panic and after Goexit
		if v := recover(); v != nil {
			p := &PanicError{Value: v, Stack: debug.Stack()}
			q.opts.report(context.WithoutCancel(ctx), p, p.Stack)
			err = p
		}
		a.took = time.Since(a.began)
		a.out.Took = a.took
		var end Outcome
		end, err = q.settle(ctx, a, result, err)
		a.finish()
		q.opts.observeFinished(ctx, a, err, end)
	}()
	result, err = run(ctx, a.env.Args)
}

// prepare reads a job and finds its handler and context. A nil handler means
// that the outcome is settled.
func (q *Queue) prepare(a *attempt) (handler, context.Context) {
	env, err := decode(a.job.Body)
	a.env = env
	a.info = q.info(a.job, env)
	switch {
	case err == errCorrupt:
		q.log(a).ErrorContext(a, "jobs: stored job is not readable, moved to the dead")
		a.out = driver.Outcome{ID: a.job.ID, Action: driver.Bury, Error: err.Error()}
		return nil, nil
	case err != nil:
		return q.cannot(a, err.Error())
	}
	run := q.handler(env.Kind)
	if run == nil {
		return q.cannot(a, "no handler for this kind")
	}
	if env.Tenant != "" && (q.opts == nil || q.opts.WithTenant == nil) {
		return q.cannot(a, "job has a tenant but Options.WithTenant is nil")
	}
	if env.Sealed != nil {
		if q.opts == nil || q.opts.Codec == nil {
			return q.cannot(a, "job is sealed but Options.Codec is nil")
		}
		a.env.Args, err = q.opts.Codec.Open(env.Sealed, env.boundArgs(a.job.ID))
		if errors.Is(err, ErrUnknownKey) {
			return q.cannot(a, err.Error())
		}
		if err != nil {
			run = func(context.Context, []byte) ([]byte, error) {
				return nil, fmt.Errorf("jobs: open %s: %w", env.Kind, err)
			}
		}
	} else if q.opts.refusesClear() {
		run = func(context.Context, []byte) ([]byte, error) { return nil, Discard(errInClear) }
	}
	var ctx context.Context = a
	if a.info.Flow != "" {
		ctx = context.WithValue(ctx, flowKey{}, q)
	}
	if env.Tenant != "" {
		ctx = q.opts.WithTenant(ctx, env.Tenant)
	}
	return run, q.opts.extract(ctx, env)
}

// settle notes in a what becomes of a job whose handler returned, and answers
// with the error that says why.
func (q *Queue) settle(ctx context.Context, a *attempt, result []byte, err error) (Outcome, error) {
	if err == nil {
		if result, err = q.opts.sealResult(a, result); err == nil {
			a.out.Action, a.out.Result, a.out.Keep = driver.Finish, result, time.Duration(a.env.Keep)*time.Millisecond
			q.opts.count(ctx, "jobs.finished", 1, "kind", a.env.Kind)
			return completed, nil
		}
	}
	var v *verdict
	errors.As(err, &v)
	end, why := a.outcome(err)
	switch end {
	case interrupted:
		// The handler was told to stop: its error says nothing about the job.
		q.opts.count(ctx, "jobs.returned", 1, "kind", a.env.Kind)
	case snoozed:
		a.out.Delay = v.delay
		q.opts.count(ctx, "jobs.returned", 1, "kind", a.env.Kind)
	case cancelled:
		a.out.Action = driver.Drop
		q.opts.count(ctx, "jobs.cancelled", 1, "kind", a.env.Kind)
	default:
		if why == ErrTimeout {
			err = fmt.Errorf("%w: %w", ErrTimeout, err)
		}
		q.fail(context.WithoutCancel(ctx), a, end, err, v) // what is reported must not depend on the handler's time
	}
	return end, err
}

// fail is the end of an attempt that failed; v is the verdict in err, if any.
func (q *Queue) fail(ctx context.Context, a *attempt, end Outcome, err error, v *verdict) {
	a.out.Error = shorten(err.Error())
	info, log := a.info, q.log(a).With("attempt", a.info.Attempt, "error", err)
	if end != failed {
		a.out.Action = driver.Bury
		q.opts.count(ctx, "jobs.buried", 1, "kind", info.Kind)
		q.opts.report(ctx, fmt.Errorf("jobs: %s %s is dead after %d attempts: %w", info.Kind, info.ID, info.Attempt, err), nil)
		log.ErrorContext(ctx, "jobs: attempt failed, job is dead")
		return
	}
	a.out.Action = driver.Retry
	if v != nil {
		a.out.Delay = v.delay
	} else {
		a.out.Delay = q.opts.backoff(info.Attempt)
	}
	q.opts.count(ctx, "jobs.retried", 1, "kind", info.Kind)
	log.WarnContext(ctx, "jobs: attempt failed", "retry_in", a.out.Delay)
}

// cannot puts a job back for a worker that can run it; no attempt is counted.
func (q *Queue) cannot(a *attempt, why string) (handler, context.Context) {
	a.out.Delay = giveBack + rand.N(giveBack/5)
	q.opts.count(a.base, "jobs.returned", 1, "kind", a.env.Kind)
	q.log(a).WarnContext(a.base, "jobs: job given back for another worker", "reason", why, "retry_in", a.out.Delay)
	return nil, nil
}

func (q *Queue) log(a *attempt) *slog.Logger {
	return q.opts.logger().With("job", a.job.ID, "kind", a.env.Kind)
}

// shorten keeps the beginning of an error's text, as valid UTF-8.
func shorten(text string) string {
	if len(text) > maxErrorText {
		cut := maxErrorText
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "…"
	}
	return strings.ToValidUTF8(text, "�")
}
