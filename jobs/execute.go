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

// execute runs one job and tells settle what becomes of it. base ends, with a
// cause, when the job must be given up.
func (q *Queue) execute(base context.Context, s driver.Stored, settle func(driver.Outcome)) {
	env, err := decode(s.Body)
	switch {
	case err == errCorrupt:
		q.log(s, env).ErrorContext(base, "jobs: stored job is not readable, moved to the dead")
		settle(driver.Outcome{ID: s.ID, Action: driver.Bury, Error: err.Error()})
		return
	case err != nil:
		settle(q.cannot(base, s, env, err.Error()))
		return
	}
	run := q.handler(env.Kind)
	if run == nil {
		settle(q.cannot(base, s, env, "no handler for this kind"))
		return
	}
	ctx := context.WithValue(base, infoKey{}, q.info(s, env))
	if env.Tenant != "" {
		if q.opts == nil || q.opts.WithTenant == nil {
			settle(q.cannot(base, s, env, "job has a tenant but Options.WithTenant is nil"))
			return
		}
		ctx = q.opts.WithTenant(ctx, env.Tenant)
	}
	if d := q.opts.timeout(); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, ErrTimeout)
		defer cancel()
	}
	err = errGoexit
	defer func() { // also after a panic and after Goexit
		if v := recover(); v != nil {
			p := &PanicError{Value: v, Stack: debug.Stack()}
			q.opts.report(context.WithoutCancel(ctx), p, p.Stack)
			err = p
		}
		settle(q.outcome(base, ctx, s, env, err))
	}()
	err = run(ctx, env.Args)
}

func (q *Queue) outcome(base, ctx context.Context, s driver.Stored, env envelope, err error) driver.Outcome {
	switch {
	case err == nil:
		q.opts.count(ctx, "jobs.finished", 1, "kind", env.Kind)
		return driver.Outcome{ID: s.ID, Action: driver.Finish}
	case base.Err() != nil:
		// The handler was told to stop: its error says nothing about the job.
		q.opts.count(ctx, "jobs.returned", 1, "kind", env.Kind)
		return driver.Outcome{ID: s.ID, Action: driver.Return}
	}
	return q.failed(ctx, s, env, err)
}

func (q *Queue) failed(ctx context.Context, s driver.Stored, env envelope, err error) driver.Outcome {
	if context.Cause(ctx) == ErrTimeout {
		err = fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	ctx = context.WithoutCancel(ctx) // what is reported must not depend on the handler's time
	info := q.info(s, env)
	out := driver.Outcome{ID: info.ID, Action: driver.Retry, Error: shorten(err.Error())}
	log := q.log(s, env).With("attempt", info.Attempt, "error", err)
	if info.Attempt >= info.MaxAttempts {
		out.Action = driver.Bury
		q.opts.count(ctx, "jobs.buried", 1, "kind", info.Kind)
		q.opts.report(ctx, fmt.Errorf("jobs: %s %s is dead after %d attempts: %w", info.Kind, info.ID, info.Attempt, err), nil)
		log.ErrorContext(ctx, "jobs: last attempt failed, job is dead")
		return out
	}
	out.Delay = q.opts.backoff(info.Attempt)
	q.opts.count(ctx, "jobs.retried", 1, "kind", info.Kind)
	log.WarnContext(ctx, "jobs: attempt failed", "retry_in", out.Delay)
	return out
}

// cannot puts a job back for a worker that can run it; no attempt is counted.
func (q *Queue) cannot(ctx context.Context, s driver.Stored, env envelope, why string) driver.Outcome {
	delay := giveBack + rand.N(giveBack/5)
	q.opts.count(ctx, "jobs.returned", 1, "kind", env.Kind)
	q.log(s, env).WarnContext(ctx, "jobs: job given back for another worker", "reason", why, "retry_in", delay)
	return driver.Outcome{ID: s.ID, Action: driver.Return, Delay: delay}
}

func (q *Queue) log(s driver.Stored, env envelope) *slog.Logger {
	return q.opts.logger().With("job", s.ID, "kind", env.Kind)
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
