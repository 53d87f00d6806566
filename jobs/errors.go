package jobs

import (
	"errors"
	"fmt"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

var (
	// ErrTooLarge means that a job's arguments exceed Options.MaxPayload.
	// Store the data elsewhere and enqueue its key.
	ErrTooLarge = errors.New("jobs: payload too large")

	// ErrFull means that the store refused the job for want of memory.
	// Nothing was stored; running workers make room.
	ErrFull = driver.ErrFull

	// ErrQueueFull means that the queue holds Options.MaxDepth unfinished jobs.
	// Nothing was stored.
	ErrQueueFull = driver.ErrQueueFull

	// ErrNoTenant means that Options.Tenant is set and found no tenant in the
	// context. Nothing was sent. EnqueueOptions.NoTenant opts out.
	ErrNoTenant = errors.New("jobs: no tenant in context")

	// ErrIDTaken means that EnqueueOptions.ID or Flow.ID is that of another
	// tenant's job or flow. Nothing was stored.
	ErrIDTaken = driver.ErrIDTaken

	// ErrLeaseLost is the cause (context.Cause) with which a handler's context
	// ends when this process could not renew its lease in time: the job may
	// be given to another process at any moment. Drivers return it to a worker
	// whose lease is gone.
	ErrLeaseLost = driver.ErrLeaseLost

	// ErrShutdown is the cause with which a handler's context ends when
	// Options.DrainTimeout has passed since Run was told to stop. The job is
	// given back and no attempt is counted.
	ErrShutdown = errors.New("jobs: shutting down")

	// ErrCancelled is the cause with which a handler's context ends when its
	// job was cancelled (Queue.Cancel).
	ErrCancelled = errors.New("jobs: cancelled")

	// ErrNoSchedule means that there is no schedule of that name, or none of the
	// tenant in the context.
	ErrNoSchedule = errors.New("jobs: no such schedule")

	// ErrInCode answers Unschedule for a schedule that a process has in its code
	// and ran within the last two hours. Nothing was removed.
	ErrInCode = errors.New("jobs: the schedule is in the code of a process that runs")

	// ErrTimeout is the cause with which a handler's context ends after
	// Options.Timeout.
	ErrTimeout = errors.New("jobs: handler timed out")

	// ErrUnknownKey means that a Keyring has no key of the name that a job was
	// sealed with. The job is given back for a worker that has it.
	ErrUnknownKey = errors.New("jobs: unknown key")

	// ErrNotFound answers Result for a job, and Flow and Outputs for a flow,
	// that is not in the store, any more, or not the tenant's in the context.
	ErrNotFound = errors.New("jobs: no such job")

	// ErrPending answers Result for a job that is not finished.
	ErrPending = errors.New("jobs: job is not finished")

	// ErrDead answers Result for a job that is dead, or that failed in its flow.
	ErrDead = errors.New("jobs: job is dead")

	// ErrFlowFailed answers Outputs for a flow that failed.
	ErrFlowFailed = errors.New("jobs: flow has failed")

	// ErrRunning is returned by a second Run of the same Queue.
	ErrRunning = errors.New("jobs: queue is already running")
)

// PanicError is the failure of a handler that panicked. The process goes on
// and the job is retried like after any other error.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // where, as of runtime/debug.Stack
}

// Error leaves the stack out: it goes to Options.Errors.
func (e *PanicError) Error() string { return fmt.Sprintf("jobs: handler panicked: %v", e.Value) }

// Unwrap returns the panic's value if it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
