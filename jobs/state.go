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
