package driver

import (
	"context"
	"time"
)

// Overseer is what a Driver may offer to show who works on the queue. Workers
// tell of themselves with each beat, so that it costs a job nothing.
type Overseer interface {
	// Workers answers who has a lease, those whose lease ends first before the
	// others, at most MaxWorkers. A lease that has run out is one until somebody
	// gives its jobs back.
	Workers(ctx context.Context) ([]Worker, error)
}

// MaxWorkers bounds the answer of Overseer.Workers.
const MaxWorkers = 1000

// Worker is a worker as of its latest beat.
type Worker struct {
	ID    string
	Beat  time.Time     // when that was, by the store's clock
	Lease time.Duration // that it asked for
	Left  time.Duration // of it; negative once it has run out
	Held  int           // jobs that it held
	About []byte        // Beat.About
}

// Run is a job whose handler runs.
type Run struct {
	ID  string
	For time.Duration // since it began; milliseconds
}

// MaxFailures bounds Stored.Failures.
const MaxFailures = 3

// Failure is a failed attempt of a job.
type Failure struct {
	Attempt int           // 1 is the first
	At      time.Time     // when the store heard of it, by its clock; zero if a version that did not note it stored it
	Took    time.Duration // what its handler took, rounded up to milliseconds; zero if that is not known
	Error   string
}
