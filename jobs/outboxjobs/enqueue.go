package outboxjobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/tenancy"
)

// eventType marks the events that are jobs.
const eventType = "ashlar.job"

// maxPayload bounds a job's arguments: the default of jobs.Options.MaxPayload.
const maxPayload = 256 << 10

// event is a job in the outbox, as JSON.
type event struct {
	Kind string     `json:"kind"`
	Job  driver.Job `json:"job"`
}

// EventType implements tenancy.Event.
func (event) EventType() string { return eventType }

// Enqueue emits a job that is enqueued once the unit of work has committed. It
// belongs to the unit's tenant, or to none in a system unit or with
// EnqueueOptions.NoTenant. EnqueueOptions.Delay counts from its arrival in the
// queue. A job whose EnqueueOptions.Key is held by then is dropped silently.
//
// It needs no queue and knows none: the job carries no trace, is stored as plain
// JSON whatever codec the queue has, and is bounded by 256 KiB. EnqueueTo does
// better where the program has the queue at hand.
//
// An error is a mistake in args or opts, such as jobs.ErrTooLarge; nothing was
// emitted and the unit may go on. It sends nothing and costs no round trip. Like
// tx itself it is not for concurrent use.
func Enqueue(tx *tenancy.Tx, args jobs.Args, opts *jobs.EnqueueOptions) error {
	if tx == nil {
		return errors.New("outboxjobs: enqueue: no transaction")
	}
	tenant := tx.ID()
	if opts != nil && opts.NoTenant {
		tenant = ""
	}
	job, err := jobs.NewJob(tenant, args, opts, maxPayload)
	if err != nil {
		return fmt.Errorf("outboxjobs: %w", err)
	}
	tx.Emit(event{Kind: args.Kind(), Job: job})
	return nil
}

// EnqueueTo is Enqueue of the job that q.Enqueue would make: with the trace of
// ctx, sealed by the queue's codec, within its MaxPayload. The tenant of ctx must
// be the unit's. The relay may run in another process and may carry the job into
// any queue whose workers have the codec.
func EnqueueTo(ctx context.Context, tx *tenancy.Tx, q *jobs.Queue, args jobs.Args, opts *jobs.EnqueueOptions) error {
	if tx == nil || q == nil {
		return errors.New("outboxjobs: enqueue: no transaction or no queue")
	}
	job, err := q.NewJob(ctx, args, opts)
	if err != nil {
		return fmt.Errorf("outboxjobs: %w", err)
	}
	if job.Tenant != "" && job.Tenant != tx.ID() {
		return fmt.Errorf("outboxjobs: enqueue %s: %w", job.Kind, tenancy.ErrTenantMismatch)
	}
	tx.Emit(event{Kind: job.Kind, Job: job})
	return nil
}
