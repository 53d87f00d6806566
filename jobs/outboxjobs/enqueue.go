package outboxjobs

import (
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
