package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"
)

// payload has 200 bytes, as in most published comparisons.
type payload struct {
	Text string `json:"text"`
}

func (payload) Kind() string { return "bench" }

var filler = payload{Text: strings.Repeat("x", 187)}

// contender is a job queue at its defaults, with handlers that do nothing.
type contender interface {
	// process returns jobs per second, from the first to the last handler.
	process(ctx context.Context, s setting) (float64, error)

	// enqueue returns jobs per second of so many callers, one job a call.
	enqueue(ctx context.Context, n, callers int) (float64, error)
}

// setting is how a contender is run.
type setting struct {
	n, concurrency int
	delay          time.Duration // added to each round trip
}

// benchJobs compares the queue with asynq, and with River where that measures
// the same thing.
func benchJobs(ctx context.Context, l *lab) error {
	ours, asynq, river := &ashlarJobs{l: l}, &asynqJobs{l}, &riverJobs{l}
	compare := func(bench string, ours, theirs contender, mine, other setting) error {
		return l.ratio(ctx, bench,
			func(ctx context.Context) (float64, error) { return ours.process(ctx, mine) },
			func(ctx context.Context) (float64, error) { return theirs.process(ctx, other) })
	}
	process := func(bench string, theirs contender, mine, other setting) error {
		return compare(bench, ours, theirs, mine, other)
	}
	turns := func(bench string, mine, other setting) error { // of twenty tenants; asynq's have none
		return compare(bench, &ashlarJobs{l: l, tenants: 20}, asynq, mine, other)
	}
	const ms2 = 2 * time.Millisecond
	return errors.Join(
		process("jobs.process_c16_rate_vs_asynq", asynq, setting{60_000, 16, 0}, setting{20_000, 16, 0}),
		process("jobs.process_c64_rate_vs_asynq", asynq, setting{60_000, 64, 0}, setting{20_000, 64, 0}),
		// asynq takes one job a round trip: a few seconds are enough of it.
		process("jobs.process_2ms_rate_vs_asynq", asynq, setting{60_000, 64, ms2}, setting{1_500, 64, ms2}),
		turns("jobs.process_c16_tenants_rate_vs_asynq", setting{60_000, 16, 0}, setting{20_000, 16, 0}),
		turns("jobs.process_c64_tenants_rate_vs_asynq", setting{60_000, 64, 0}, setting{20_000, 64, 0}),
		turns("jobs.process_2ms_tenants_rate_vs_asynq", setting{60_000, 64, ms2}, setting{1_500, 64, ms2}),
		process("jobs.process_c64_rate_vs_river", river, setting{60_000, 64, 0}, setting{2_000, 64, 0}),
		l.benchEnqueue(ctx, ours, asynq, river),
		l.benchRedis(ctx, ours, asynq),
		l.benchLatency(ctx, ours, river),
		l.reading(ctx, "jobs.skewed_makespan_vs_ideal", "x", l.skewed),
		l.benchSchedules(ctx, ours),
	)
}

func (l *lab) benchEnqueue(ctx context.Context, ours *ashlarJobs, asynq *asynqJobs, river contender) error {
	enqueue := func(c contender, n, callers int) measure {
		return func(ctx context.Context) (float64, error) { return c.enqueue(ctx, n, callers) }
	}
	many := func(ctx context.Context) (float64, error) { return ours.enqueueMany(ctx, 40_000) }
	return errors.Join(
		l.ratio(ctx, "jobs.enqueue16_rate_vs_asynq", enqueue(ours, 30_000, 16), enqueue(asynq, 30_000, 16)),
		l.enqueueAlone(ctx, "jobs.enqueue1_rate_vs_asynq", ours, asynq),
		l.ratio(ctx, "jobs.enqueue_many_rate_vs_asynq16", many, enqueue(asynq, 30_000, 16)),
		l.ratio(ctx, "jobs.enqueue16_rate_vs_river", enqueue(ours, 30_000, 16), enqueue(river, 5_000, 16)),
		l.ratio(ctx, "jobs.enqueue1_rate_vs_river", enqueue(ours, 10_000, 1), enqueue(river, 1_500, 1)),
	)
}

// benchRedis measures what a job costs the server.
func (l *lab) benchRedis(ctx context.Context, ours *ashlarJobs, asynq redisContender) error {
	cpu := func(c redisContender) measure {
		return func(ctx context.Context) (float64, error) { return l.cpuPerJob(ctx, c, setting{20_000, 64, 0}) }
	}
	bytes := func(c redisContender) measure {
		return func(ctx context.Context) (float64, error) { return l.bytesPerJob(ctx, c, 20_000) }
	}
	return errors.Join(
		l.ratio(ctx, "jobs.redis_cpu_per_job_vs_asynq", cpu(ours), cpu(asynq)),
		l.ratio(ctx, "jobs.bytes_per_job_vs_asynq", bytes(ours), bytes(asynq)),
		l.reading(ctx, "jobs.idle_commands_per_s", "/s", ours.idleCommands),
	)
}

// stopwatch measures from the first tick to the n-th.
type stopwatch struct {
	n           int64
	done        func()
	seen        atomic.Int64
	first, last atomic.Int64
}

func (s *stopwatch) tick() {
	switch s.seen.Add(1) {
	case 1:
		s.first.Store(time.Now().UnixNano())
	case s.n:
		s.last.Store(time.Now().UnixNano())
		s.done()
	}
}

func (s *stopwatch) rate() (float64, error) {
	if s.last.Load() == 0 {
		return 0, errors.New("not all jobs ran")
	}
	return float64(s.n-1) / time.Duration(s.last.Load()-s.first.Load()).Seconds(), nil
}

// calls spreads n calls over callers and returns calls per second.
func calls(ctx context.Context, n, callers int, one func(context.Context) error) (float64, error) {
	var left atomic.Int64
	left.Store(int64(n))
	failed := make(chan error, callers)
	start := time.Now()
	for range callers {
		go func() {
			for left.Add(-1) >= 0 {
				if err := one(ctx); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	var err error
	for range callers {
		err = errors.Join(err, <-failed)
	}
	return float64(n) / time.Since(start).Seconds(), err
}
