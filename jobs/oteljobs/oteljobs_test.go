package oteljobs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/internal/endings"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/oteljobs"
)

type mail struct{ To string }

func (mail) Kind() string { return "mail" }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// collect returns all points by instrument and attributes; of a histogram it is
// the count.
func collect(t testing.TB, reader *metric.ManualReader) (points map[string]int, err error) {
	t.Helper()
	var data metricdata.ResourceMetrics
	err = reader.Collect(context.Background(), &data)
	points = map[string]int{}
	for _, s := range data.ScopeMetrics {
		for _, m := range s.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					points[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = int(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					points[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = int(p.Value)
				}
			case metricdata.Histogram[float64]:
				require.Equal(t, "s", m.Unit)
				for _, p := range d.DataPoints {
					points[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = int(p.Count)
				}
			default:
				t.Fatalf("%s is a %T", m.Name, d)
			}
		}
	}
	return points, err
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, reader := jobstest.New(t), metric.NewManualReader()
		observer, err := oteljobs.Metrics(metric.NewMeterProvider(metric.WithReader(reader)), d, &oteljobs.Options{Queue: "mails"})
		require.NoError(t, err)
		q, err := jobs.New(d, &jobs.Options{Observer: observer, MaxAttempts: 2, Logger: quiet})
		require.NoError(t, err)
		jobs.Handle(q, func(_ context.Context, m mail) error {
			if m.To == "nobody" {
				return errors.New("no such address")
			}
			return nil
		})
		for _, to := range []string{"ann", "bob", "nobody"} {
			_, err := q.Enqueue(t.Context(), mail{To: to}, &jobs.EnqueueOptions{Key: to, Scope: jobs.UniqueFor, Window: time.Hour})
			require.NoError(t, err)
		}
		_, err = q.Enqueue(t.Context(), mail{To: "ann"}, &jobs.EnqueueOptions{Key: "ann"})
		require.NoError(t, err)
		jobstest.Drain(t, d, q)
		observer.Stuck(t.Context(), jobs.Info{Kind: "mail"}, jobs.ErrTimeout)
		observer.LeaseLost(t.Context(), 3)
		observer.Reclaimed(t.Context(), 4, 1)

		points, err := collect(t, reader)
		require.NoError(t, err)
		require.Equal(t, map[string]int{
			"jobs.enqueued kind=mail,outcome=stored,queue=mails":    3,
			"jobs.enqueued kind=mail,outcome=duplicate,queue=mails": 1,
			"jobs.finished kind=mail,outcome=completed,queue=mails": 2,
			"jobs.finished kind=mail,outcome=failed,queue=mails":    1,
			"jobs.finished kind=mail,outcome=dead,queue=mails":      1,
			"jobs.wait kind=mail,queue=mails":                       3,
			"jobs.run kind=mail,queue=mails":                        4,
			"jobs.handlers queue=mails":                             0,
			"jobs.stuck kind=mail,queue=mails":                      1,
			"jobs.lease_lost queue=mails":                           1,
			"jobs.reclaimed outcome=retried,queue=mails":            4,
			"jobs.reclaimed outcome=dead,queue=mails":               1,
			"jobs.depth queue=mails,state=ready":                    0,
			"jobs.depth queue=mails,state=scheduled":                0,
			"jobs.depth queue=mails,state=parked":                   0,
			"jobs.depth queue=mails,state=running":                  0,
			"jobs.depth queue=mails,state=dead":                     1,
			"jobs.depth queue=mails,state=done":                     0,
		}, points, "and nothing else: no tenant")

		d.Fail(jobstest.OpInspect, errors.New("connection refused"))
		points, err = collect(t, reader)
		require.ErrorContains(t, err, "connection refused")
		require.Equal(t, 2, points["jobs.finished kind=mail,outcome=completed,queue=mails"], "the rest is there")
		require.NotContains(t, points, "jobs.depth queue=mails,state=dead")
	})
}

func TestEachOutcomeIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader, spans := metric.NewManualReader(), tracetest.NewSpanRecorder()
		observer, err := oteljobs.Metrics(metric.NewMeterProvider(metric.WithReader(reader)), nil, nil)
		require.NoError(t, err)
		opts := &jobs.Options{Observer: observer}
		oteljobs.Trace(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), opts)
		require.NoError(t, endings.Run(t.Context(), jobstest.New(t), opts))

		points, err := collect(t, reader)
		require.NoError(t, err)
		want := map[string]int{"completed": 2, "failed": 1, "dead": 1, "discarded": 1, "snoozed": 3, "cancelled": 1, "interrupted": 1}
		for outcome, n := range want {
			require.Equal(t, n, points["jobs.finished kind=mail,outcome="+outcome+",queue=default"], outcome)
		}
		got := map[string]int{}
		for _, s := range spans.Ended() {
			attributes := attribute.NewSet(s.Attributes()...)
			outcome, ok := attributes.Value("job.outcome")
			require.True(t, ok)
			got[outcome.AsString()]++
			bad := slices.Contains([]string{"failed", "dead", "discarded"}, outcome.AsString())
			require.Equal(t, bad, s.Status().Code == codes.Error, outcome.AsString())
			require.Equal(t, bad, len(s.Events()) > 0, outcome.AsString())
		}
		require.Equal(t, want, got)
	})
}

// Whatever a program enqueues, the number of points has a bound.
func TestKindsAreBounded(t *testing.T) {
	t.Parallel()
	reader := metric.NewManualReader()
	observer, err := oteljobs.Metrics(metric.NewMeterProvider(metric.WithReader(reader)), nil, nil)
	require.NoError(t, err)
	for n := range 1000 {
		observer.Enqueued(t.Context(), jobs.Info{Kind: fmt.Sprint("kind-", n)}, jobs.Receipt{})
	}
	points, err := collect(t, reader)
	require.NoError(t, err)
	require.Len(t, points, 201)
	require.Equal(t, 800, points["jobs.enqueued kind=other,outcome=stored,queue=default"])
	_, err = oteljobs.Metrics(nil, nil, nil)
	require.Error(t, err)
}

func TestTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		opts := &jobs.Options{Logger: quiet}
		oteljobs.Trace(provider, opts)
		d := jobstest.New(t)
		q, err := jobs.New(d, opts)
		require.NoError(t, err)
		jobs.Handle(q, func(ctx context.Context, m mail) error {
			if info, _ := jobs.InfoFrom(ctx); info.Attempt == 1 {
				panic("not yet")
			}
			_, span := provider.Tracer("test").Start(ctx, "smtp")
			span.End()
			return nil
		})
		ctx, request := provider.Tracer("test").Start(t.Context(), "POST /invoices")
		_, err = q.Enqueue(ctx, mail{To: "ann"}, nil)
		require.NoError(t, err)
		request.End()
		_, err = q.Enqueue(t.Context(), mail{To: "bob"}, &jobs.EnqueueOptions{Delay: time.Hour}) // outside of a trace
		require.NoError(t, err)
		jobstest.Drain(t, d, q)

		var seen []string
		for _, s := range spans.Ended() {
			seen = append(seen, s.Name())
		}
		require.Equal(t, []string{"POST /invoices", "run mail", "smtp", "run mail", "run mail", "smtp", "run mail"}, seen)
		all := spans.Ended()
		for _, attempt := range []sdktrace.ReadOnlySpan{all[1], all[3]} {
			require.Equal(t, request.SpanContext().TraceID(), attempt.SpanContext().TraceID())
			require.Equal(t, request.SpanContext().SpanID(), attempt.Parent().SpanID())
			require.True(t, attempt.Parent().IsRemote())
		}
		require.Equal(t, all[3].SpanContext().SpanID(), all[2].Parent().SpanID(), "what the handler does is within")
		require.NotEqual(t, request.SpanContext().TraceID(), all[4].SpanContext().TraceID())
		require.Contains(t, all[1].Attributes(), attribute.String("job.outcome", "failed"), "it panicked")
		require.Equal(t, codes.Error, all[1].Status().Code)
		require.Equal(t, codes.Unset, all[3].Status().Code)
	})
}

func TestTraceRecordsErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		opts := &jobs.Options{Logger: quiet}
		oteljobs.Trace(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), opts)
		d := jobstest.New(t)
		q, err := jobs.New(d, opts)
		require.NoError(t, err)
		jobs.Handle(q, func(context.Context, mail) error { return jobs.Discard(errors.New("no such address")) })
		_, err = q.Enqueue(t.Context(), mail{To: "nobody"}, nil)
		require.NoError(t, err)
		jobstest.Drain(t, d, q)
		require.Len(t, spans.Ended(), 1)
		require.Equal(t, codes.Error, spans.Ended()[0].Status().Code)
		require.Equal(t, "exception", spans.Ended()[0].Events()[0].Name)
	})
}
