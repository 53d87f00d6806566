// Package oteljobs tells OpenTelemetry about a queue of package jobs: Metrics
// measures it, Trace continues the trace of whoever enqueued a job in its
// handler.
//
//	observer, err := oteljobs.Metrics(meterProvider, driver, nil)
//	opts := &jobs.Options{Observer: observer}
//	oteljobs.Trace(tracerProvider, opts)
//	q, err := jobs.New(driver, opts)
//
// The instruments, with the attributes queue and kind:
//
//	jobs.enqueued    counter: jobs this process enqueued; outcome stored, duplicate or replaced
//	jobs.finished    counter: ends of handlers; see below for the outcome
//	jobs.wait        histogram, s: from a job's due time to its first attempt
//	jobs.run         histogram, s: how long handlers took
//	jobs.stuck       counter: handlers that go on although their context has ended
//
// Without a kind: jobs.handlers, the handlers at work, jobs.lease_lost, and
// jobs.reclaimed, jobs of dead workers with the outcome retried or dead; and
// jobs.depth by state, which is the queue's and the same from each process, read
// at each collection in constant time.
//
// The outcome of a handler is one of jobs.Outcome: completed, failed (another
// attempt follows), dead (none follows), discarded (dead, too), snoozed, cancelled
// or interrupted. To alert on errors, take failed, dead and discarded.
//
// Tenants are no attribute: their number has no bound. Kinds come from the
// program; after 200 of them the rest is called "other".
package oteljobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/internal/measure"
)

const scope = "github.com/ashlar-go/ashlar/jobs/oteljobs"

// Options configure the metrics of a queue. A nil pointer means the zero value.
type Options struct {
	// Queue is the value of the attribute queue. Empty means "default".
	Queue string
}

// Metrics makes the instruments of a queue and returns the observer that feeds
// them, for Options.Observer of the queue. The store is the queue's driver, or
// anything else with its Stats, such as a Queue; nil leaves jobs.depth out. A
// store that does not answer within the collection's context is an error of the
// collection, and nothing else of it is lost. The observer is safe for concurrent
// use; the instruments live as long as the provider.
func Metrics(provider metric.MeterProvider, store interface {
	Stats(ctx context.Context) (driver.Stats, error)
}, opts *Options,
) (*jobs.Observer, error) {
	if provider == nil {
		return nil, errors.New("oteljobs: provider is nil")
	}
	queue := "default"
	if opts != nil && opts.Queue != "" {
		queue = opts.Queue
	}
	meter := provider.Meter(scope)
	m := &metrics{queue: attribute.String("queue", queue)}
	if err := errors.Join(m.make(meter), m.watch(meter, store)); err != nil {
		return nil, fmt.Errorf("oteljobs: %w", err)
	}
	return m.observer(), nil
}

type metrics struct {
	queue attribute.KeyValue

	enqueued, finished, stuck, reclaimed, leaseLost metric.Int64Counter
	wait, run                                       metric.Float64Histogram
	handlers                                        metric.Int64UpDownCounter

	kinds measure.Kinds
}

func (m *metrics) make(meter metric.Meter) error {
	var failed []error
	counter := func(name, what string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithDescription(what))
		failed = append(failed, err)
		return c
	}
	histogram := func(name, what string) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithDescription(what), metric.WithUnit("s"),
			metric.WithExplicitBucketBoundaries(measure.Buckets()...))
		failed = append(failed, err)
		return h
	}
	m.enqueued = counter("jobs.enqueued", "Jobs that this process enqueued.")
	m.finished = counter("jobs.finished", "Handlers that ended in this process, by outcome.")
	m.stuck = counter("jobs.stuck", "Handlers that went on although their context had ended.")
	m.reclaimed = counter("jobs.reclaimed", "Jobs of dead workers that this process found.")
	m.leaseLost = counter("jobs.lease_lost", "Times that this process lost its jobs.")
	m.wait = histogram("jobs.wait", "Time from a job's due time to its first attempt.")
	m.run = histogram("jobs.run", "How long handlers took.")
	var err error
	m.handlers, err = meter.Int64UpDownCounter("jobs.handlers", metric.WithDescription("Handlers at work in this process."))
	return errors.Join(append(failed, err)...)
}

// watch reads the depths of the queue at each collection.
func (m *metrics) watch(meter metric.Meter, store measure.Store) error {
	if store == nil {
		return nil
	}
	_, err := meter.Int64ObservableGauge("jobs.depth", metric.WithDescription("Jobs in the queue, the same from each process."),
		metric.WithInt64Callback(func(ctx context.Context, o metric.Int64Observer) error {
			stats, err := store.Stats(ctx)
			if err != nil {
				return fmt.Errorf("oteljobs: depth: %w", err)
			}
			for state, n := range measure.Depths(stats) {
				o.Observe(int64(n), metric.WithAttributes(m.queue, attribute.String("state", string(state))))
			}
			return nil
		}))
	return err
}

func (m *metrics) observer() *jobs.Observer {
	alone := metric.WithAttributes(m.queue)
	return &jobs.Observer{
		Enqueued: func(ctx context.Context, job jobs.Info, r jobs.Receipt) {
			m.enqueued.Add(ctx, 1, m.with(job, measure.Stored(r)))
		},
		Started: func(ctx context.Context, job jobs.Info, wait time.Duration) {
			m.handlers.Add(ctx, 1, alone)
			if wait >= 0 {
				m.wait.Record(ctx, wait.Seconds(), m.of(job))
			}
		},
		Finished: func(ctx context.Context, job jobs.Info, run time.Duration, _ error, outcome jobs.Outcome) {
			m.handlers.Add(ctx, -1, alone)
			m.finished.Add(ctx, 1, m.with(job, string(outcome)))
			m.run.Record(ctx, run.Seconds(), m.of(job))
		},
		Stuck:     func(ctx context.Context, job jobs.Info, _ error) { m.stuck.Add(ctx, 1, m.of(job)) },
		LeaseLost: func(ctx context.Context, _ int) { m.leaseLost.Add(ctx, 1, alone) },
		Reclaimed: func(ctx context.Context, retried, buried int) {
			m.reclaimed.Add(ctx, int64(retried), metric.WithAttributes(m.queue, attribute.String("outcome", "retried")))
			m.reclaimed.Add(ctx, int64(buried), metric.WithAttributes(m.queue, attribute.String("outcome", "dead")))
		},
	}
}

func (m *metrics) of(job jobs.Info) metric.MeasurementOption {
	return metric.WithAttributes(m.queue, attribute.String("kind", m.kinds.Label(job.Kind)))
}

func (m *metrics) with(job jobs.Info, outcome string) metric.MeasurementOption {
	return metric.WithAttributes(m.queue, attribute.String("kind", m.kinds.Label(job.Kind)), attribute.String("outcome", outcome))
}
