package ratelimit

import "context"

// Store keeps the buckets. Implementations are safe for concurrent use; [Memory] is one, and
// [github.com/ashlar-go/ashlar/httpx/httpxtest.RunLimits] checks any.
//
// A bucket is its backlog: the time until it is full again. It shrinks by itself as the store's own clock goes on, the same
// one for all processes that share the store, and one that is empty need not be kept.
type Store interface {
	// Take adds each take to the backlog of its bucket if all of them fit, and adds nothing otherwise. It returns the
	// backlogs in the order of the takes, as they are after that: beside those of a denial not everything fits, else a
	// Limiter takes it for an error. takes are of different keys, and remain the caller's.
	Take(ctx context.Context, group string, takes []Take) (backlogs []Span, taken bool, err error)

	// Reset fills buckets up. Those that are full stay so.
	Reset(ctx context.Context, group string, keys []string) error
}

// Take is what one call wants of one bucket.
type Take struct {
	// Key names the bucket within its group. Both are short and hold no more than A-Z a-z 0-9 _ - . :
	Key string

	// Add is what the call adds to the backlog, and Room the most that the backlog may be then. A backlog that is longer
	// than Room already, because the limit was lowered or the clock put back, becomes Room first, and stays so if the call
	// is denied: else it would be as long at the next call, and nothing would ever come back. Adding nothing always fits.
	Add, Room Span

	// Rate and Per, in microseconds, are those of the limit; a microsecond has Rate parts in Add, Room and the backlog. A
	// backlog that was left by another Rate or Per is worth as many units now: it becomes
	// ceil((micros+parts/oldRate) * (Per*oldRate) / (Rate*oldPer)) microseconds, in float64, before it is compared with Room.
	Rate, Per int64

	most Span // that a backlog becomes, in place of Room, if longer than that: what a Limiter falls back to has more
}

// Span is a length of time: whole microseconds, and parts of one, fewer than the Rate of the [Take]. With them each rate
// is kept exactly, in whole numbers.
type Span struct{ Micros, Parts int64 }

// less reports whether s is shorter than t.
func (s Span) less(t Span) bool {
	return s.Micros < t.Micros || s.Micros == t.Micros && s.Parts < t.Parts
}

// plus adds two spans whose microseconds have so many parts.
func (s Span) plus(t Span, rate int64) Span {
	sum := Span{s.Micros + t.Micros, s.Parts + t.Parts}
	if sum.Parts >= rate {
		sum.Micros, sum.Parts = sum.Micros+1, sum.Parts-rate
	}
	return sum
}
