package jobs

import (
	"context"
	"time"
)

// Driver stores the jobs of one queue. Every method is one atomic transition:
// at any time an accepted job is either ready, scheduled, held by one worker
// or dead, or it is finished and gone. Leases, due times and ticks are
// measured on the store's own clock. All methods are safe for concurrent use.
//
// jobstest.Run checks an implementation.
type Driver interface {
	// Push stores jobs and answers, in the same order, "" for a job that is
	// stored now or was already under this id, else the id of the unfinished
	// job that holds its unique key. A full store answers ErrFull and takes
	// nothing.
	Push(ctx context.Context, jobs []Job) (holders []string, err error)

	// Exchange settles what a worker finished and hands it new jobs. The
	// answer to a repeated Exchange.Seq is the answer of the first call, so a
	// lost reply can be asked for again. ErrLeaseLost means that the worker's
	// jobs were given to others and nothing was settled. It must work on a
	// full store.
	Exchange(ctx context.Context, x Exchange) (Batch, error)

	// Beat starts, renews or ends the lease of a worker and gives the jobs of
	// at most one worker whose lease has expired back, ahead of other work.
	// ErrLeaseLost answers the renewal of a lease that is gone.
	Beat(ctx context.Context, b Beat) (Pulse, error)

	// Wait returns when a job may have become ready, when the next due time
	// may have moved, after d, or when ctx ends, whichever is first. It wakes
	// one waiting worker per call of the others that leaves work; a spurious
	// return is allowed.
	Wait(ctx context.Context, d time.Duration) error

	// Fire stores the job of a schedule's tick unless this or a later tick
	// was stored before or the tick is in the future.
	Fire(ctx context.Context, t Tick) (Fired, error)

	// Stats counts jobs by state, in constant time.
	Stats(ctx context.Context) (Stats, error)

	// List pages through the jobs of one state.
	List(ctx context.Context, q ListQuery) ([]Stored, error)

	// Resolve requeues or deletes dead jobs and answers how many it found.
	Resolve(ctx context.Context, ids []string, how Resolution) (int, error)
}

// Positioner is what a Driver may offer to be the target of an event log,
// such as a transactional outbox: jobs and the log's cursor are stored in one
// step, so that each event becomes a job exactly once.
type Positioner interface {
	// Position returns the cursor; "" before the first PushAt.
	Position(ctx context.Context) (string, error)

	// PushAt stores jobs and moves the cursor from one value to the next, or
	// does nothing and answers false if the cursor is not at from.
	PushAt(ctx context.Context, from, to string, jobs []Job) (bool, error)
}

// Job is a job on its way into the store.
type Job struct {
	ID     string        `json:"id"`               // unique, 1-128 bytes of A-Z a-z 0-9 and _ - . : / @ +, beginning with a letter or digit
	Tenant string        `json:"tenant,omitempty"` // whose turn it is; "" is a tenant of its own
	Body   []byte        `json:"body"`             // opaque to the driver
	Unique string        `json:"unique,omitempty"` // not "": stored only if no unfinished job has the same
	Delay  time.Duration `json:"delay,omitempty"`  // from the arrival in the store; milliseconds
	At     time.Time     `json:"at,omitzero"`      // not before; beats Delay
}

// Stored is a job as the store hands it out.
type Stored struct {
	ID       string
	Body     []byte
	Attempts int       // failed attempts so far
	Crashes  int       // workers that died holding it
	Error    string    // of the last failed attempt
	At       time.Time // List only: when it is due or died; zero for ready jobs
}

// Exchange is a request of Driver.Exchange.
type Exchange struct {
	Worker string
	Seq    uint64    // grows by one with each new request of the worker
	Done   []Outcome // at most MaxBatch
	Want   int       // at most MaxBatch
}

// MaxBatch bounds the lists of one driver call.
const MaxBatch = 500

// Batch is an answer of Driver.Exchange.
type Batch struct {
	Jobs  []Stored
	Ready int           // jobs that are left ready
	Next  time.Duration // until the next scheduled job is due; negative if there is none
}

// Outcome settles one held job. An id that the worker does not hold is ignored.
type Outcome struct {
	ID     string
	Action Action
	Delay  time.Duration // Retry and Return: not before; milliseconds
	Error  string        // Retry and Bury
}

// Action is what becomes of a held job.
type Action string

// The actions of an Outcome.
const (
	Finish Action = "finish" // forget it
	Retry  Action = "retry"  // count an attempt, run again after Delay
	Bury   Action = "bury"   // count an attempt, move it to the dead
	Return Action = "return" // as if never taken: without delay ahead of other work
)

// Beat is a request of Driver.Beat.
type Beat struct {
	Worker     string
	Lease      time.Duration // zero ends the lease: what is still held goes back
	Join       bool          // start a new lease instead of renewing one
	MaxCrashes int           // a job that lost this many workers is buried; zero: never
}

// Pulse is an answer of Driver.Beat: what happened to the jobs of workers
// whose lease expired.
type Pulse struct {
	Reclaimed, Buried int
	Err               error // giving them back failed; the own lease is renewed all the same
}

// Tick is a request of Driver.Fire. Without a Job it only reads, and starts
// the schedule at the present if it is new.
type Tick struct {
	Name string
	At   time.Time
	Job  *Job
}

// Fired is an answer of Driver.Fire.
type Fired struct {
	Fired bool
	Last  time.Time // the schedule's latest tick, to the millisecond
	Now   time.Time // the store's clock
}

// Stats counts the jobs of a queue.
type Stats struct{ Ready, Scheduled, Running, Dead int }

// State names what a job waits for.
type State string

// The states that can be listed.
const (
	Ready     State = "ready"     // for a worker
	Scheduled State = "scheduled" // for its time: delayed or to be retried
	Dead      State = "dead"      // for a decision: Requeue or Delete
)

// ListQuery is a request of Driver.List: ready jobs in the order in which they
// run, scheduled ones by due time, dead ones latest first.
type ListQuery struct {
	State  State
	Offset int
	Limit  int // 1 to MaxBatch
}

// Resolution is what becomes of dead jobs.
type Resolution string

// The resolutions of Driver.Resolve.
const (
	Requeue Resolution = "requeue" // run again, with all attempts
	Delete  Resolution = "delete"
)
