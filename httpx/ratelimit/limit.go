package ratelimit

import (
	"fmt"
	"math"
	"math/bits"
	"regexp"
	"time"
)

const (
	// maxUnits bounds Rate and Burst: what Redis' Lua counts exactly, and what a structured header field can carry.
	maxUnits = 1_000_000_000_000

	// maxWindow bounds the time in which an empty bucket fills up.
	maxWindow = 10 * 365 * 24 * time.Hour
)

// Limit allows Rate units in each Per, of which up to Burst may come at once. It is a bucket of Burst units that fills up
// evenly: a unit each Per/Rate, exactly, whatever the two are. The zero value is not valid.
type Limit struct {
	// Name tells the limits of one [Limiter] apart, in its store and to clients: 1 to 32 of A-Z a-z 0-9 _ -. One of them
	// may have none.
	Name string `json:"name,omitempty"`

	// Rate is the number of units in each Per, 1 to 1e12.
	Rate int64 `json:"rate"`

	// Per is in whole microseconds, at least one; in JSON, nanoseconds.
	Per time.Duration `json:"per"`

	// Burst is how many units a bucket holds, and so the most that one call can take. Zero means Rate. At most 1e12, and at
	// most what fills up in ten years.
	Burst int64 `json:"burst,omitempty"`

	// Key divides the limit: a bucket for each value, such as a user of the tenant that the other limits of the call count
	// for. Options.Limits sets it. "" is one bucket.
	Key string `json:"-"`
}

// nameForm is safe in a store's key and in a structured field string.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// rule is a valid limit in the units that stores count in.
type rule struct {
	name       string // with the limiter's
	key        string // for the store
	given      Limit
	rate, per  int64 // per is in microseconds
	burst      int64
	unit, room Span // of one unit; of all of them
	most       Span // that a backlog can be; the room but for rule.local
}

func (l Limit) rule(limiter string) (rule, error) {
	r := rule{name: limiter, given: l, rate: l.Rate, per: l.Per.Microseconds(), burst: l.Burst}
	if l.Name != "" {
		if !nameForm.MatchString(l.Name) {
			return rule{}, fmt.Errorf("%w of %s: Name %.40q is not 1 to 32 of A-Z a-z 0-9 _ -", ErrLimit, limiter, l.Name)
		}
		r.name += "." + l.Name
	}
	if r.burst == 0 {
		r.burst = r.rate
	}
	switch {
	case r.rate < 1 || r.rate > maxUnits:
		return rule{}, fmt.Errorf("%w %s: Rate is %d, want 1 to %d", ErrLimit, r.name, l.Rate, int64(maxUnits))
	case r.per < 1 || l.Per%time.Microsecond != 0 || l.Per > maxWindow:
		return rule{}, fmt.Errorf("%w %s: Per is %v, want whole microseconds, 1 to ten years", ErrLimit, r.name, l.Per)
	case r.burst < 1 || r.burst > maxUnits:
		return rule{}, fmt.Errorf("%w %s: Burst is %d, want 0 to %d", ErrLimit, r.name, l.Burst, int64(maxUnits))
	}
	if hi, lo := bits.Mul64(uint64(r.burst), uint64(r.per)); hi >= uint64(r.rate) || quotient(hi, lo, r.rate) > uint64(maxWindow.Microseconds()) {
		return rule{}, fmt.Errorf("%w %s: Burst %d takes more than ten years to fill up", ErrLimit, r.name, r.burst)
	}
	r.unit, r.room, r.given.Burst = r.span(1), r.span(r.burst), r.burst
	r.most = r.room
	return r, nil
}

func quotient(hi, lo uint64, by int64) uint64 {
	q, _ := bits.Div64(hi, lo, uint64(by))
	return q
}

// span is the time in which n units come back; n is at most the burst.
func (r rule) span(n int64) Span {
	hi, lo := bits.Mul64(uint64(n), uint64(r.per))
	q, rest := bits.Div64(hi, lo, uint64(r.rate))
	return Span{int64(q), int64(rest)}
}

// local is the rule for one of n processes that share the limit without talking to each other: an nth of it, but never so
// little that a call of this cost can not pass at all. The room depends on the cost and what a bucket may hold does not: else a
// cheap call would cut what a dear one left, and give units back.
func (r rule) local(n, cost int64) rule {
	r.per *= n
	r.most = r.span(r.burst)
	r.burst = max(r.burst/n, cost, 1)
	r.unit, r.room = r.span(1), r.span(r.burst)
	return r
}

// within is a backlog as it can be: what a store says is not trusted to be one.
func (r rule) within(b Span) Span {
	b = Span{max(b.Micros, 0), min(max(b.Parts, 0), r.rate-1)}
	if r.most.less(b) {
		return r.most
	}
	return b
}

// remaining is how many whole units fit beside a backlog.
func (r rule) remaining(b Span) int64 {
	micros, parts := r.room.Micros-b.Micros, r.room.Parts-b.Parts
	if micros < 0 || micros == 0 && parts < 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(micros), uint64(r.rate))
	var carry uint64
	if parts >= 0 {
		lo, carry = bits.Add64(lo, uint64(parts), 0)
		hi += carry
	} else {
		lo, carry = bits.Sub64(lo, uint64(-parts), 0)
		hi -= carry
	}
	return int64(quotient(hi, lo, r.per))
}

// wait is the time after which n units fit beside a backlog, or 0.
func (r rule) wait(b Span, n int64) time.Duration {
	add := r.span(n)
	micros, parts := b.Micros+add.Micros-r.room.Micros, b.Parts+add.Parts-r.room.Parts
	for ; parts > 0; parts -= r.rate { // at most twice
		micros++
	}
	return duration(max(micros, 0))
}

// reset is the time after which the bucket is full.
func (r rule) reset(b Span) time.Duration {
	if b.Parts > 0 {
		b.Micros++
	}
	return duration(b.Micros)
}

// duration of microseconds; those of rule.local may be more than fits.
func duration(micros int64) time.Duration {
	return time.Duration(min(micros, math.MaxInt64/1000)) * time.Microsecond
}
