package cache

import (
	"context"
	"time"
)

// A Store holds what all processes share: the entries, the leases that guard their loading
// and the stamps of tags. Each method is one atomic transition per element, in batch form;
// results have the order of the arguments. An error says nothing about what was applied, and
// every method may be repeated. Implementations are safe for concurrent use.
//
// The rules that make the cache correct, all checked by cachetest.Run:
//
//  1. A lease belongs to one attempt, named by a random token. Whatever removes the entry
//     (Invalidate, expiry, eviction, a person with a shell) voids its lease.
//  2. Fill stores only for the token that holds the lease at that moment.
//  3. Stamps come from one logical clock that never goes back and moves with each of them. A
//     value is valid while its Seq is at least the stamp of each of its tags; a stamp nobody
//     knows is made as the clock stands, which makes values invalid that are older than the
//     latest invalidation of anything; if the clock is lost, all values.
//  4. Watch delivers events in the order in which the store executed their causes.
//  5. What a writer holds is neither read nor filled by anybody until the hold ends, and the
//     end of a hold, by Release or by its TTL, leaves nothing valid from before it.
//
// There are nine methods because each is another transition; none can be made of the others
// without a second round trip in which somebody else may come between.
type Store interface {
	// Acquire reads the entry of each claim with the stamps of its tags, and in the same
	// step tries to take the lease as the claim's Mode says.
	Acquire(ctx context.Context, claims []Claim) ([]Entry, error)

	// Fill stores each value whose token still holds its lease, ending the lease, unless the
	// value beside which the lease stands has a higher Version (0, on either side, is lower
	// than none). It reports true only if the value was stored, no tag was invalidated since
	// Seq was read and no tag is held.
	//
	// A fill without a Token is a value of the caller's own, with a Version of at least 1. It
	// is stored only in place of a value whose known Version is not higher, with the Seq of
	// that value, so that it is as valid as that one was; a value with a higher Version and a
	// hold stay as they are; anything else, a lease included, is removed. Thus it never
	// brings back what was invalidated or replaced. Watchers are told as of an Invalidate.
	Fill(ctx context.Context, fills []Fill) ([]bool, error)

	// Renew extends the leases that are still held to ttl from now; others are left alone.
	Renew(ctx context.Context, leases []Lease, ttl time.Duration) error

	// Abandon gives back the leases that are still held and wakes those waiting for them.
	// A value that such a lease stood beside stays; nobody gets a lease beside it before the
	// lease's Pause is over.
	Abandon(ctx context.Context, leases []Lease) error

	// Invalidate removes the entries of keys with their leases and moves the stamp of each
	// tag beyond every Seq given out so far, and tells all watchers. Once it returned nil no
	// Acquire returns, and no Fill stores as valid, a value whose load began before.
	Invalidate(ctx context.Context, keys, tags []string) error

	// Hold marks keys and tags as being changed by the writer named by the hold's Token, until
	// Release or until TTL has passed; it may be repeated to extend that. It removes entries
	// and tells watchers as Invalidate does. Several writers may hold the same names.
	// Invalidate leaves holds in place.
	Hold(ctx context.Context, h Hold) error

	// Release ends the holds of h's Token on its names, and does what Invalidate does, also
	// where the hold ended before.
	Release(ctx context.Context, h Hold) error

	// Beat sends n to the watchers named node, along the way that invalidations take.
	Beat(ctx context.Context, node string, n int64) error

	// Watch calls sink with EventReady once it is subscribed, then with each event, from one
	// goroutine. It returns nil after ctx ended, and an error at the first moment at which
	// an event may have been missed; it never resumes by itself.
	Watch(ctx context.Context, node string, sink func(Event)) error
}

// Mode says when a Claim takes the lease of its entry.
type Mode uint8

const (
	// ClaimMissing takes the lease if there is no entry. The other modes before ClaimNothing
	// do that too.
	ClaimMissing Mode = iota
	// ClaimBeside takes a lease beside a value, which stays readable, unless one is held or
	// the Pause of one runs.
	ClaimBeside
	// ClaimReplace drops the entry for a lease if it is still the one seen as Claim.Seen.
	ClaimReplace
	// ClaimAwait asks for an EventFilled when the lease that somebody else holds ends.
	ClaimAwait
	// ClaimNothing only reads. It leaves a missing entry Missing.
	ClaimNothing
	// ClaimCompare reads no entry but compares further Tags with the value seen as Claim.Seen,
	// of whatever key: the answer is Filled, and Valid or not, or Held.
	ClaimCompare
)

// Claim asks for an entry, and for the lease to load it.
type Claim struct {
	Key   string
	Tags  []string      // stamps to compare the value with
	Token string        // 16 letters or digits, new for every attempt
	TTL   time.Duration // of the lease, at least a millisecond
	Mode  Mode
	Seen  string // Entry.ID, for ClaimReplace and ClaimCompare
}

// State is what a Store found under a key.
type State uint8

const (
	// Leased means no value: somebody (see Entry.Granted) is loading it.
	Leased State = iota + 1
	// Filled means a value, perhaps invalid, perhaps with a lease beside it.
	Filled
	// Held means that writers hold the entry or one of the claim's tags: load without
	// storing. No lease is granted.
	Held
	// Missing means that there is no value, and no lease was taken: by ClaimNothing, or
	// because the store is full. Load without storing.
	Missing
)

// Entry is the answer to a Claim.
type Entry struct {
	State   State
	Granted bool          // the claim's token holds the lease
	Valid   bool          // Filled, and not older than the stamp of any tag
	Body    []byte        // of Filled; the caller owns it
	Paused  bool          // Filled, and the Pause of a lease beside it runs; told by ClaimBeside
	Left    time.Duration // until the store forgets the entry
	Seq     int64         // what the clock showed, to be passed to Fill; without a lease perhaps less
	ID      string        // names exactly this entry, for Claim.Seen; opaque
	Version int64         // of Filled, as it was filled; 0 if that was unknown
}

// Fill is a value for the entry whose lease Token holds.
type Fill struct {
	Key     string
	Tags    []string // of the claim, and others that came up since
	Token   string
	Seq     int64 // Entry.Seq of the claim
	Body    []byte
	TTL     time.Duration // at least a millisecond
	Version int64         // of the data; 0 if unknown, never negative
}

// Hold names what a writer is about to change.
type Hold struct {
	Token      string // 16 letters or digits, new for every change
	Keys, Tags []string
	TTL        time.Duration // at least a millisecond; Release does not look at it
}

// Lease names a held lease.
type Lease struct {
	Key   string
	Token string
	Pause time.Duration // for Abandon, of an attempt that failed; 0 for none
}

// EventKind says what an Event is about.
type EventKind uint8

const (
	// EventReady is the first event of a Watch: from here on nothing is missed.
	EventReady EventKind = iota + 1
	// EventInvalidated says that the entry Name was removed.
	EventInvalidated
	// EventStamped says that the tag Name was invalidated.
	EventStamped
	// EventFilled says that the lease of Name, which somebody awaited, has ended.
	EventFilled
	// EventBeat brings the N of a Beat back.
	EventBeat
)

// Event is something that happened in the Store.
type Event struct {
	Kind EventKind
	Name string
	N    int64
}
