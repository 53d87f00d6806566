package oteljobs

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/ashlar-go/ashlar/jobs"
)

// errPanicked stands for the error of a handler that did not return.
var errPanicked = errors.New("oteljobs: the handler did not return")

// Trace sets opts.Trace, so that jobs carry the trace of whoever enqueues them,
// and adds to opts.OnWork a span around each attempt: "run <kind>", a child of
// the span in which the job was enqueued, with the job's id, attempt and flow.
// Call it before jobs.New. A nil provider or nil opts panics.
//
// A span carries no tenant and no arguments, and job.outcome, which is one of
// jobs.Outcome, as far as the handler's return tells: that the result is too
// large shows later, in the metric. The error of an attempt that is failed, dead or discarded is
// recorded in it: keep secrets out of errors.
func Trace(provider trace.TracerProvider, opts *jobs.Options) {
	tracer, format := provider.Tracer(scope), propagation.TraceContext{}
	opts.Trace.Inject = func(ctx context.Context) (parent, state string) {
		carrier := propagation.MapCarrier{}
		format.Inject(ctx, carrier)
		return carrier["traceparent"], carrier["tracestate"]
	}
	opts.Trace.Extract = func(ctx context.Context, parent, state string) context.Context {
		return format.Extract(ctx, propagation.MapCarrier{"traceparent": parent, "tracestate": state})
	}
	opts.OnWork = append(opts.OnWork, func(ctx context.Context, next func(context.Context) error) error {
		job, _ := jobs.InfoFrom(ctx)
		ctx, span := tracer.Start(ctx, "run "+job.Kind, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			attribute.String("job.id", job.ID), attribute.String("job.kind", job.Kind), attribute.Int("job.attempt", job.Attempt),
		))
		returned := false
		defer span.End() // which adds a panic by itself, and goes on with it
		defer func() {
			if !returned {
				span.SetAttributes(attribute.String("job.outcome", string(jobs.OutcomeOf(ctx, errPanicked))))
				span.SetStatus(codes.Error, "attempt failed")
			}
		}()
		if job.Flow != "" {
			span.SetAttributes(attribute.String("job.flow", job.Flow))
		}
		err := next(ctx)
		returned = true
		outcome := jobs.OutcomeOf(ctx, err)
		span.SetAttributes(attribute.String("job.outcome", string(outcome)))
		switch outcome {
		case "failed", "dead", "discarded":
			span.RecordError(err)
			span.SetStatus(codes.Error, "attempt failed")
		}
		return err
	})
}
