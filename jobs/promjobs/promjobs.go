// Package promjobs tells Prometheus about a queue of package jobs.
//
//	observer, err := promjobs.New(registry, driver, nil)
//	q, err := jobs.New(driver, &jobs.Options{Observer: observer})
//
// What one process did, with the labels queue and kind:
//
//	jobs_enqueued_total{outcome}  jobs it enqueued: stored, duplicate or replaced
//	jobs_finished_total{outcome}  ends of handlers, see below
//	jobs_wait_seconds             histogram: from a job's due time to its first attempt
//	jobs_run_seconds              histogram: how long handlers took
//	jobs_stuck_total              handlers that go on although their context has ended
//
// Without a kind: jobs_handlers, the handlers at work, jobs_lease_lost_total, and
// jobs_reclaimed_total{outcome}, jobs of dead workers that were given back
// (retried) or were not (dead).
//
// And what is true of the queue, whichever process is asked, read at each scrape
// in constant time: jobs_depth{state}, and jobs_store_up, which is 0 when the
// store did not answer; then there is no jobs_depth. Take the max over processes,
// not the sum.
//
// The outcome of a handler is one of jobs.Outcome: completed, failed (another
// attempt follows), dead (none follows), discarded (dead, too), snoozed, cancelled
// or interrupted. To alert on errors, take failed, dead and discarded.
//
// There is no label for tenants: their number has no bound. Kinds come from the
// program; after 200 of them the rest is called "other".
package promjobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/internal/measure"
)

// Options configure the metrics of a queue. A nil pointer means the zero value.
type Options struct {
	// Queue is the value of the label queue. Two queues on one registry need
	// two names. Empty means "default".
	Queue string

	// Buckets are the upper bounds of the histograms in seconds, ascending. Nil
	// means 5 ms to half an hour in 15 steps.
	Buckets []float64

	// Timeout is how long a scrape waits for the store. Zero means a second.
	// Negative is an error.
	Timeout time.Duration
}

// New registers the metrics of a queue and returns the observer that feeds them,
// for Options.Observer of the queue. The store is the queue's driver, or anything
// else with its Stats, such as a Queue; nil leaves jobs_depth and jobs_store_up
// out. An error is that of the registry, for example because it has a queue of
// that name, and then nothing is registered. The observer is safe for concurrent
// use.
func New(registry prometheus.Registerer, store interface {
	Stats(ctx context.Context) (driver.Stats, error)
}, opts *Options,
) (*jobs.Observer, error) {
	if registry == nil {
		return nil, errors.New("promjobs: registry is nil")
	}
	if opts == nil {
		opts = &Options{}
	}
	if opts.Timeout < 0 {
		return nil, errors.New("promjobs: Options.Timeout is negative")
	}
	if !slices.IsSorted(opts.Buckets) {
		return nil, errors.New("promjobs: Options.Buckets are not in ascending order")
	}
	m := newMetrics(opts)
	m.store = store
	if err := registry.Register(m); err != nil {
		return nil, fmt.Errorf("promjobs: %w", err)
	}
	return m.observer(), nil
}

// metrics is everything about one queue, as one collector: it is registered as a
// whole or not at all.
type metrics struct {
	enqueued, finished, stuck, reclaimed *prometheus.CounterVec
	wait, run                            *prometheus.HistogramVec
	handlers                             prometheus.Gauge
	leaseLost                            prometheus.Counter
	depth, up                            *prometheus.Desc

	store   measure.Store // nil: none
	timeout time.Duration
	kinds   measure.Kinds
}

func newMetrics(opts *Options) *metrics {
	queue := opts.Queue
	if queue == "" {
		queue = "default"
	}
	buckets := opts.Buckets
	if buckets == nil {
		buckets = measure.Buckets()
	}
	timeout := opts.Timeout
	if timeout == 0 {
		timeout = time.Second
	}
	labels := prometheus.Labels{"queue": queue}
	counter := func(name, help string, by ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, by)
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, ConstLabels: labels, Buckets: buckets}, []string{"kind"})
	}
	return &metrics{
		enqueued:  counter("jobs_enqueued_total", "Jobs that this process enqueued.", "kind", "outcome"),
		finished:  counter("jobs_finished_total", "Handlers that ended in this process, by outcome.", "kind", "outcome"),
		stuck:     counter("jobs_stuck_total", "Handlers that went on although their context had ended.", "kind"),
		reclaimed: counter("jobs_reclaimed_total", "Jobs of dead workers that this process found.", "outcome"),
		wait:      histogram("jobs_wait_seconds", "Time from a job's due time to its first attempt."),
		run:       histogram("jobs_run_seconds", "How long handlers took."),
		handlers:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "jobs_handlers", Help: "Handlers at work in this process.", ConstLabels: labels}),
		leaseLost: prometheus.NewCounter(prometheus.CounterOpts{Name: "jobs_lease_lost_total", Help: "Times that this process lost its jobs.", ConstLabels: labels}),
		depth:     prometheus.NewDesc("jobs_depth", "Jobs in the queue, the same from each process.", []string{"state"}, labels),
		up:        prometheus.NewDesc("jobs_store_up", "Whether the store answered this scrape.", nil, labels),
		timeout:   timeout,
	}
}

func (m *metrics) observer() *jobs.Observer {
	return &jobs.Observer{
		Enqueued: func(_ context.Context, job jobs.Info, r jobs.Receipt) {
			m.enqueued.WithLabelValues(m.kinds.Label(job.Kind), measure.Stored(r)).Inc()
		},
		Started: func(_ context.Context, job jobs.Info, wait time.Duration) {
			m.handlers.Inc()
			if wait >= 0 {
				m.wait.WithLabelValues(m.kinds.Label(job.Kind)).Observe(wait.Seconds())
			}
		},
		Finished: func(_ context.Context, job jobs.Info, run time.Duration, _ error, outcome jobs.Outcome) {
			m.handlers.Dec()
			kind := m.kinds.Label(job.Kind)
			m.finished.WithLabelValues(kind, string(outcome)).Inc()
			m.run.WithLabelValues(kind).Observe(run.Seconds())
		},
		Stuck: func(_ context.Context, job jobs.Info, _ error) {
			m.stuck.WithLabelValues(m.kinds.Label(job.Kind)).Inc()
		},
		LeaseLost: func(context.Context, int) { m.leaseLost.Inc() },
		Reclaimed: func(_ context.Context, retried, buried int) {
			m.reclaimed.WithLabelValues("retried").Add(float64(retried))
			m.reclaimed.WithLabelValues("dead").Add(float64(buried))
		},
	}
}

func (m *metrics) parts() []prometheus.Collector {
	return []prometheus.Collector{m.enqueued, m.finished, m.stuck, m.reclaimed, m.wait, m.run, m.handlers, m.leaseLost}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, p := range m.parts() {
		p.Describe(ch)
	}
	ch <- m.depth
	ch <- m.up
}

// Collect implements prometheus.Collector. A store that does not answer must not
// spoil the scrape of everything else in the program.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, p := range m.parts() {
		p.Collect(ch)
	}
	if m.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.timeout)
	defer cancel()
	stats, err := m.store.Stats(ctx)
	gauge := func(desc *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...)
	}
	if err != nil {
		gauge(m.up, 0)
		return
	}
	gauge(m.up, 1)
	for state, n := range measure.Depths(stats) {
		gauge(m.depth, n, string(state))
	}
}
