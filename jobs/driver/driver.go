// Package driver is what package jobs asks of a store: the Driver that every
// store implements, what it may offer beyond, and the types they exchange.
// Users of jobs need it only to write a store of their own; redisjobs and
// jobstest are the ones that come with it, and jobstest.Run checks any.
package driver

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
	// Push stores jobs and answers, in the same order, what became of each. A
	// full store answers ErrFull, a queue deeper than Push.MaxDepth allows
	// ErrQueueFull; both take nothing.
	Push(ctx context.Context, p Push) ([]Pushed, error)

	// Exchange settles what a worker finished and hands it new jobs. The
	// answer to a repeated Exchange.Seq is the answer of the first call, so a
	// lost reply can be asked for again. ErrLeaseLost means that the worker's
	// jobs were given to others and nothing was settled. It must work on a
	// full store.
	Exchange(ctx context.Context, x Exchange) (Batch, error)

	// Beat starts, renews or ends the lease of a worker and gives the jobs of
	// at most one worker whose lease has expired back, ahead of other work.
	// ErrLeaseLost answers the renewal of a lease that is gone. It must work
	// on a full store.
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

	// List pages through the jobs of one state. A negative offset and a limit
	// that is not 1 to MaxBatch are errors, here and wherever a driver pages.
	List(ctx context.Context, q ListQuery) ([]Stored, error)

	// Resolve requeues, deletes or cancels jobs, one after the other and perhaps in
	// several steps, and answers how many of the ids it found in a state that the
	// resolution is for; with an error, until then.
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

// Push is a request of Driver.Push.
type Push struct {
	Jobs     []Job // at most MaxBatch
	MaxDepth int   // most unfinished jobs the queue may hold after it; jobs that are not stored do not count; zero means no limit
}

// Pushed is what became of one job of a Push. The zero value means that it is
// stored, now or earlier under the same id.
type Pushed struct {
	Holder   string // not "": the job that holds the unique key; this one was not stored
	Replaced bool   // the holder got this job's body, priority and due time
	Taken    bool   // a job of another tenant has the id; this one was not stored
}

// Job is a job on its way into the store.
type Job struct {
	ID       string        `json:"id"`                 // unique, 1-128 bytes of A-Z a-z 0-9 and _ - . : / @ +, beginning with a letter or digit
	Kind     string        `json:"kind,omitempty"`     // for pauses and filters; it is in Body, too
	Tenant   string        `json:"tenant,omitempty"`   // whose turn it is; "" is a tenant of its own; MaxTenant bytes at most
	Priority Priority      `json:"priority,omitempty"` // ready jobs of a higher one go first
	Body     []byte        `json:"body"`               // an envelope, see docs/envelope.md; immutable
	Unique   string        `json:"unique,omitempty"`   // not "": the key, see Scope
	Scope    UniqueScope   `json:"scope,omitempty"`    // how long the key is held
	Window   time.Duration `json:"window,omitempty"`   // of UniqueFor; milliseconds
	Delay    time.Duration `json:"delay,omitempty"`    // from the arrival in the store; milliseconds
	At       time.Time     `json:"at,omitzero"`        // not before; beats Delay
}

// Priority orders jobs of all tenants: while a job of a higher priority is
// ready, none of a lower one starts. The zero value is PriorityNormal.
type Priority int8

// The priorities.
const (
	PriorityLow    Priority = -1
	PriorityNormal Priority = 0
	PriorityHigh   Priority = 1
	PriorityUrgent Priority = 2
)

// UniqueScope says how long a unique job holds its key. A dead job never does.
// One that is requeued takes it back until it is finished, or taken; so does one
// that held it until then and comes back from its worker (Return, Beat). If
// another job has it by then, the job goes on without.
type UniqueScope string

// The scopes.
const (
	UntilDone    UniqueScope = ""        // until the job is finished
	UntilStarted UniqueScope = "started" // until a worker takes it
	UniqueFor    UniqueScope = "for"     // for Window since it was stored, also when it is finished by then
	Replace      UniqueScope = "replace" // until a worker takes it; a later job replaces its body, priority and due time
)

// Stored is a job as the store hands it out.
type Stored struct {
	ID       string
	Tenant   string
	Body     []byte
	Attempts int    // failed attempts so far
	Crashes  int    // workers that died holding it
	Error    string // of the last failed attempt

	// Of jobs of a flow that have not ended, but not by List: when the stage began
	// or, if that is later, when the job is due. Zero if it is not known. Other jobs
	// say it by their id or in their body.
	Since time.Time

	// List and Find only:
	State    State
	At       time.Time     // when it is due, died or finished; zero for ready and parked jobs
	Worker   string        // running: who holds it
	Progress []byte        // running: its latest Note
	Result   []byte        // done
	Failures []Failure     // the latest MaxFailures, latest first; a worker that died for the last time is one, too
	Started  time.Time     // running: when its handler began, by the store's clock; zero if Beat.Running has not told
	Took     time.Duration // done: Outcome.Took
}

// Exchange is a request of Driver.Exchange.
type Exchange struct {
	Worker string
	Seq    uint64    // grows by one with each new request of the worker
	Done   []Outcome // at most MaxBatch
	Notes  []Note    // at most MaxBatch; of jobs that the worker does not hold: ignored
	Want   int       // at most MaxBatch

	// Each bounds how many of the jobs one tenant may have; jobs without a tenant
	// count as one's. A store may hand out fewer than that allows, but no fewer
	// than the lesser of Want and Each while there are so many. Zero: no bound.
	Each int
}

// Note is the progress of a held job. The latest of a job counts, until the
// job is settled or taken from its worker.
type Note struct {
	ID   string
	Data []byte
}

// MaxBatch bounds the lists of one driver call, where that says so: a longer
// one is an error, and the call does nothing.
const MaxBatch = 500

// MaxTenant bounds Job.Tenant, in bytes. A call with a job of a longer one is an
// error and does nothing.
const MaxTenant = 999

// Batch is an answer of Driver.Exchange.
type Batch struct {
	Jobs   []Stored
	Ready  int           // jobs left that could be taken now: none while a pause or a limit holds them
	Next   time.Duration // until the next job is due or a rate lets one start; negative if time alone changes nothing
	Cancel []string      // jobs that this worker holds and should cancel; told once
}

// Outcome settles one held job. An id that the worker does not hold is ignored.
type Outcome struct {
	ID     string
	Action Action
	Delay  time.Duration // Retry and Return: not before; milliseconds
	Error  string        // Retry and Bury
	Keep   time.Duration // Finish: how long job and result stay to be found; zero: not at all; milliseconds
	Result []byte        // Finish: for Find while it is kept, and for the next stage of its flow
	Took   time.Duration // what its handler took, to be shown of jobs that stay; zero: not known; milliseconds
}

// Action is what becomes of a held job.
type Action string

// The actions of an Outcome.
const (
	Finish Action = "finish" // forget it
	Retry  Action = "retry"  // count an attempt, run again after Delay
	Bury   Action = "bury"   // count an attempt, move it to the dead
	Return Action = "return" // as if never taken: without delay ahead of other work
	Drop   Action = "drop"   // it was cancelled: forget it; its flow fails
)

// Beat is a request of Driver.Beat.
type Beat struct {
	Worker     string
	Lease      time.Duration // zero ends the lease: what is still held goes back
	Join       bool          // start a new lease instead of renewing one
	MaxCrashes int           // a job that lost this many workers is buried; zero: never
	Audit      bool          // compare Holding with what the store thinks the worker holds
	Holding    []string      // Audit: all of it, outcomes not yet sent included
	Tally      *Tally        // what the worker did since its last beat, for Historian; nil: nothing
	About      []byte        // what it says of itself, for Overseer; a kilobyte or so
	Running    []Run         // of the jobs it holds, at most MaxBatch: for Stored.Started, which the first one told of a job decides
}

// Pulse is an answer of Driver.Beat.
type Pulse struct {
	Reclaimed, Buried int   // jobs of a worker whose lease expired
	Err               error // giving them back failed; the own lease is renewed all the same

	Held    int      // jobs that the store thinks the worker holds
	Cancel  []string // those of them to be cancelled, each time until they are settled
	Unknown []string // Audit: held by the store's books, but not in Holding
	Lost    []string // Audit: in Holding, but not held: their outcomes will be ignored
}

// Tick is a request of Driver.Fire. Without a Job it only reads, and starts
// the schedule at the present if it is new.
//
// One that was dropped is new to a caller that has no answer for it yet. To one
// that has (Known) it goes on where it was: its process still runs the schedule,
// whose next tick must neither be lost nor be fired twice.
type Tick struct {
	Name  string
	At    time.Time
	Job   *Job
	Known bool // the caller had an answer for this name before
}

// Fired is an answer of Driver.Fire.
type Fired struct {
	Fired  bool
	Holder string    // Fired: the job that holds the unique key; the tick's was not stored
	Last   time.Time // the schedule's latest tick, to the millisecond, also one that was passed over
	Now    time.Time // the store's clock
}

// Stats counts the jobs of a queue. A job is in exactly one state.
type Stats struct{ Ready, Scheduled, Parked, Running, Dead, Done int }

// State names what a job waits for.
type State string

// The states.
const (
	Ready     State = "ready"     // for a worker
	Scheduled State = "scheduled" // for its time: delayed or to be retried
	Parked    State = "parked"    // for a pause or a limit of its tenant or kind to end
	Running   State = "running"   // for its handler: a worker holds it
	Dead      State = "dead"      // for a decision: Requeue or Delete
	Done      State = "done"      // for nothing: finished and kept (Outcome.Keep)
)

// ListQuery is a request of Driver.List: ready jobs in the order in which they
// run, scheduled ones by due time, dead and done ones latest first, others in
// an order that does not change while nothing happens to them.
type ListQuery struct {
	State  State
	Offset int
	Limit  int // 1 to MaxBatch
}

// Resolution is what becomes of jobs that someone decides about.
type Resolution string

// The resolutions of Driver.Resolve.
const (
	Requeue Resolution = "requeue" // dead ones: run again with all attempts; scheduled ones: run now
	Delete  Resolution = "delete"  // dead and done ones: forget them
	Cancel  Resolution = "cancel"  // unfinished ones: forget those that wait, tell the workers of those that run (Batch.Cancel)
)

// Finder is what a Driver may offer to look jobs up.
type Finder interface {
	// Find answers, in the same order, the jobs with these ids, at most
	// MaxBatch; a Stored without State is one that does not exist.
	Find(ctx context.Context, ids []string) ([]Stored, error)
}

// Nudger is what a Driver may offer so that cancelled jobs end at once. Without
// it, or when a nudge gets lost, workers learn of them with their next beat.
type Nudger interface {
	// Nudges calls nudge when a worker of the queue should beat soon, until
	// ctx ends, and returns ctx.Err, or the error that ended it sooner.
	Nudges(ctx context.Context, nudge func()) error
}
