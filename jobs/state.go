package jobs

import "github.com/ashlar-go/ashlar/jobs/driver"

// State names what a job waits for.
type State = driver.State

// The states. A job is in exactly one.
const (
	Ready     = driver.Ready     // for a worker
	Scheduled = driver.Scheduled // for its time: delayed or to be retried
	Parked    = driver.Parked    // for a pause or a limit of its tenant or kind to end
	Running   = driver.Running   // for its handler
	Dead      = driver.Dead      // for a decision: Requeue or Delete
	Done      = driver.Done      // for nothing: finished, kept for its result

	Waiting   = driver.Waiting   // flows only: a job for its stage, a flow for the rest of its jobs
	Failed    = driver.Failed    // flows only: a job that died or was cancelled, a flow that ended because of it
	Cancelled = driver.Cancelled // flows only: ended by CancelFlow
)

// Stats counts the jobs of a queue by state.
type Stats = driver.Stats

// Minute is what a queue did in a minute, Tally what it counts, Histogram how
// it counts durations.
type (
	Minute    = driver.Minute
	Tally     = driver.Tally
	Histogram = driver.Histogram
)

// Failure is a failed attempt of a job.
type Failure = driver.Failure

// Priority orders the jobs of a queue, see EnqueueOptions.Priority.
type Priority = driver.Priority

// The priorities.
const (
	PriorityLow    = driver.PriorityLow
	PriorityNormal = driver.PriorityNormal
	PriorityHigh   = driver.PriorityHigh
	PriorityUrgent = driver.PriorityUrgent
)

// UniqueScope says how long a job holds its key, see EnqueueOptions.Scope.
type UniqueScope = driver.UniqueScope

// The scopes.
const (
	UntilDone    = driver.UntilDone    // until the job is finished
	UntilStarted = driver.UntilStarted // until a worker takes it
	UniqueFor    = driver.UniqueFor    // for Window since it was stored, also when it is finished by then
	Replace      = driver.Replace      // until a worker takes it; a later job replaces what waits
)
