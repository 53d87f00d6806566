package driver

import (
	"context"
	"time"
)

// Scheduler is what a Driver may offer to keep schedules that are added and
// removed at run time, so that every process fires them, and notes of those
// that are declared in code, so that a process without that code can show them.
//
// A stored schedule has the instant of its next tick. Claim hands due ones out,
// FireDue settles them; one whose claim is not settled is due again, for the
// same tick, when the claim has lapsed: no tick is lost with a process.
//
// A tick fires if it has a job, also one whose unique key is held by another.
// The store remembers the last one of each schedule until it is dropped.
type Scheduler interface {
	// PutSchedule adds a schedule or replaces the one of the same key. The
	// data that is stored already changes nothing, not even the next tick.
	// Other data moves the next tick, so that a claim cannot be settled any
	// more, and leaves a paused schedule paused and the last tick remembered.
	PutSchedule(ctx context.Context, s PutSchedule) (Started, error)

	// DropSchedules removes schedules with their claims and answers how many
	// there were. Of one in code it removes the note and what is shown of the
	// last tick; see Tick for who still runs it. It must work on a full store.
	DropSchedules(ctx context.Context, keys []string) (int, error)

	// PauseSchedule stops a schedule: a stored one is not due, a claim of it
	// cannot be settled, and Fire passes the ticks of one in code over. It
	// answers false if there is no such schedule.
	PauseSchedule(ctx context.Context, key string) (bool, error)

	// ResumeSchedule ends a pause. Start is that of PutSchedule.
	ResumeSchedule(ctx context.Context, key string, at Start) (Started, error)

	// Claim hands out schedules that are due, the longest overdue first, and
	// keeps them from others for a while.
	Claim(ctx context.Context, c Claim) (Claimed, error)

	// FireDue settles claims: it stores the jobs of the ticks and moves the
	// schedules on, both or none of each, and answers in the same order. At
	// most MaxBatch.
	FireDue(ctx context.Context, ticks []DueTick) ([]FiredTick, error)

	// Schedules pages through all schedules, in no order, about limit (1 to
	// MaxBatch) at a time. The first cursor is "", the next of the last page
	// is "". What exists all the time is listed, perhaps twice.
	Schedules(ctx context.Context, cursor string, limit int) (page []Schedule, next string, err error)

	// FindSchedules answers, in the same order, the schedules of these keys, at
	// most MaxBatch; one without Data does not exist.
	FindSchedules(ctx context.Context, keys []string) ([]Schedule, error)
}

// PutSchedule is a request of Scheduler.PutSchedule.
type PutSchedule struct {
	Key   string // 1-300 bytes
	Data  []byte // what package jobs needs to make jobs of it: a JSON object, without a member "l", which a store may use
	Start Start  // zero: the schedule is in code, this is a note
	Old   []byte // not empty: only if this is the data that is stored; the next tick, a claim and a pause stay, whatever Start says
}

// Start is the first tick of a schedule, computed by the caller's clock. The
// zero value is that of a schedule in code.
type Start struct{ From, Next time.Time } // there is no tick in between

// Started is an answer to a Start.
type Started struct {
	Done  bool      // it was new or different, and is stored
	Stale bool      // From is in the future of the store's clock or Next is not: nothing was stored, compute them anew
	Now   time.Time // the store's clock
}

// Claim is a request of Scheduler.Claim.
type Claim struct {
	Limit int           // 1 to MaxBatch; about 1 MiB of data ends a claim sooner
	Hold  time.Duration // how long others do not get them
}

// Claimed is an answer of Scheduler.Claim.
type Claimed struct {
	Due  []DueSchedule
	Now  time.Time     // the store's clock
	Next time.Duration // until a schedule is due or a claim lapses, zero if one is now; negative if there is none
}

// DueSchedule is a schedule whose tick is due.
type DueSchedule struct {
	Key  string
	Data []byte
	Tick time.Time // to the millisecond
}

// DueTick is what becomes of a claimed tick.
type DueTick struct {
	Key  string
	Tick time.Time // as claimed
	Next time.Time // of the schedule; may be in the past
	Job  *Job      // nil: the tick is passed over
	Last time.Time // the tick that Job is of, to the second: an earlier one than Tick if it is put off, a later one of a backlog
}

// FiredTick is what became of one. The zero value means that the claim has
// been settled by another or that the schedule was changed, paused or dropped.
type FiredTick struct {
	Fired  bool   // the schedule moved on, and the job is stored unless it has a Holder
	Holder string // the job that holds the unique key
}

// Schedule is a schedule as the store lists it.
type Schedule struct {
	Key    string
	Data   []byte
	Next   time.Time // the next tick, or when a claim lapses; zero if paused or in code
	Last   time.Time // the tick that fired last; zero if none has
	Paused bool
}
