package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"
)

// giveBack is how long a job rests that this worker cannot run but another
// may: a new kind in the middle of a deployment.
const giveBack = 5 * time.Second

// maxErrorText bounds what is stored of an error, in bytes.
const maxErrorText = 2 << 10

// execute runs one job and says what becomes of it. base ends, with a cause,
// when the job must be given up.
func (q *Queue) execute(base context.Context, s Stored) Outcome {
	env, err := decode(s.Body)
	log := q.opts.logger().With("job", s.ID, "kind", env.Kind)
	switch {
	case err == errCorrupt:
		log.ErrorContext(base, "jobs: stored job is not readable, moved to the dead")
		return Outcome{ID: s.ID, Action: Bury, Error: err.Error()}
	case err != nil:
		return q.cannot(base, log, s, env, err.Error())
	}
	run := q.handler(env.Kind)
	if run == nil {
		return q.cannot(base, log, s, env, "no handler for this kind")
	}
	info := q.info(s, env)
	ctx := context.WithValue(base, infoKey{}, info)
	if env.Tenant != "" {
		if q.opts == nil || q.opts.WithTenant == nil {
			return q.cannot(base, log, s, env, "job has a tenant but Options.WithTenant is nil")
		}
		ctx = q.opts.WithTenant(ctx, env.Tenant)
	}
	if d := q.opts.timeout(); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, ErrTimeout)
		defer cancel()
	}
	err = q.protect(ctx, run, env.Args)
	if err == nil {
		q.opts.count(ctx, "jobs.finished", 1, "kind", env.Kind)
		return Outcome{ID: s.ID, Action: Finish}
	}
	if cause := context.Cause(base); cause != nil {
		// The handler was told to stop: its error says nothing about the job.
		q.opts.count(ctx, "jobs.returned", 1, "kind", env.Kind)
		return Outcome{ID: s.ID, Action: Return}
	}
	return q.failed(ctx, log, info, err)
}

// protect turns a panic into an error.
func (q *Queue) protect(ctx context.Context, run handler, args []byte) (err error) {
	defer func() {
		if v := recover(); v != nil {
			p := &PanicError{Value: v, Stack: debug.Stack()}
			q.opts.report(ctx, p, p.Stack)
			err = p
		}
	}()
	return run(ctx, args)
}

func (q *Queue) failed(ctx context.Context, log *slog.Logger, info Info, err error) Outcome {
	if cause := context.Cause(ctx); cause == ErrTimeout {
		err = fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	out := Outcome{ID: info.ID, Action: Retry, Error: shorten(err.Error())}
	log = log.With("attempt", info.Attempt, "error", err)
	if info.Attempt >= info.MaxAttempts {
		out.Action = Bury
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
func (q *Queue) cannot(ctx context.Context, log *slog.Logger, s Stored, env envelope, why string) Outcome {
	delay := giveBack + rand.N(giveBack/5)
	q.opts.count(ctx, "jobs.returned", 1, "kind", env.Kind)
	log.WarnContext(ctx, "jobs: job given back for another worker", "reason", why, "retry_in", delay)
	return Outcome{ID: s.ID, Action: Return, Delay: delay}
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
