package outboxjobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// Options configure a Sink. A nil pointer means the zero value.
type Options struct {
	// Accept says which kinds of the jobs that Enqueue emitted belong to this
	// queue, for programs with several: each has a sink of its own that sees
	// all events. Nil means every kind.
	Accept func(kind string) bool

	// Map turns other events into jobs, such as an alert for each
	// "incident.opened". They belong to the event's tenant and have ids made
	// from the event's; EnqueueOptions.ID is ignored. It must always answer the
	// same for the same event. Nil means that other events make no jobs.
	Map func(outbox.Event) ([]jobs.Item, error)

	// Drop is asked about an event that cannot become jobs: Map returned an
	// error, a job is too large, or an emitted job is not readable. True leaves
	// the event out for good, so write it down first. Nil or false keeps it,
	// and what comes behind it waits until the program can read it: the relay
	// names it in its log, once a minute, and counts outbox.errors.
	Drop func(outbox.Event, error) bool
}

// Sink is the jobs queue as the target of an outbox.Relay. Make one with
// NewSink. It is safe for concurrent use.
type Sink struct {
	log  driver.Positioner
	opts Options
}

var _ outbox.Sink = (*Sink)(nil)

// NewSink returns the sink of the queue in a store, whose driver must be a
// driver.Positioner, as redisjobs and jobstest are. It does no I/O.
func NewSink(store driver.Driver, opts *Options) (*Sink, error) {
	if store == nil {
		return nil, errors.New("outboxjobs: driver is nil")
	}
	log, ok := store.(driver.Positioner)
	if !ok {
		return nil, fmt.Errorf("outboxjobs: driver %T is not a driver.Positioner: it cannot store jobs and a position in one step", store)
	}
	s := &Sink{log: log}
	if opts != nil {
		s.opts = *opts
	}
	return s, nil
}

// Position implements outbox.Sink.
func (s *Sink) Position(ctx context.Context) (string, error) {
	position, err := s.log.Position(ctx)
	if err != nil {
		return "", fmt.Errorf("outboxjobs: %w", err)
	}
	return position, nil
}

// Deliver implements outbox.Sink. Where the queue is full it answers
// jobs.ErrFull and the relay comes again.
func (s *Sink) Deliver(ctx context.Context, from, to string, events []outbox.Event) (bool, error) {
	var batch []driver.Job
	for _, e := range events {
		found, err := s.jobsOf(e)
		if err != nil && s.opts.Drop != nil && s.opts.Drop(e, err) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("outboxjobs: event %s (%s): %w", e.ID, e.Type, err)
		}
		batch = append(batch, found...)
	}
	moved, err := s.log.PushAt(ctx, from, to, batch)
	if err != nil {
		return false, fmt.Errorf("outboxjobs: %w", err)
	}
	return moved, nil
}

func (s *Sink) jobsOf(e outbox.Event) ([]driver.Job, error) {
	if e.Type == eventType {
		var in event
		if err := json.Unmarshal(e.Payload, &in); err != nil {
			return nil, fmt.Errorf("not readable as a job: %w", err)
		}
		if s.opts.Accept != nil && !s.opts.Accept(in.Kind) {
			return nil, nil
		}
		if in.Kind != in.Job.Kind || in.Job.Tenant != "" && in.Job.Tenant != e.Tenant {
			return nil, fmt.Errorf("job %.40q is of another kind or tenant than its event", in.Job.ID)
		}
		return []driver.Job{in.Job}, jobs.CheckJob(in.Job)
	}
	if s.opts.Map == nil {
		return nil, nil
	}
	items, err := s.opts.Map(e)
	if err != nil {
		return nil, err
	}
	batch := make([]driver.Job, len(items))
	for i, item := range items {
		opts := jobs.EnqueueOptions{}
		if item.Options != nil {
			opts = *item.Options
		}
		opts.ID = fmt.Sprintf("%s.%d", e.ID, i)
		tenant := e.Tenant
		if opts.NoTenant {
			tenant = ""
		}
		if batch[i], err = jobs.NewJob(tenant, item.Args, &opts, maxPayload); err != nil {
			return nil, err
		}
	}
	return batch, nil
}
