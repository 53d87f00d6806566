package ratelimit

import "time"

// Decision is the answer to one call.
type Decision struct {
	// Allowed says whether the call may go on. If not, it has taken nothing of any limit.
	Allowed bool

	// DeniedBy names the limit that denies the call, that with the longest wait if there are several: the limiter's name,
	// a dot and the limit's. With [Options].DryRun it names the one that would have.
	DeniedBy string

	// RetryAfter is when the same call would be allowed, to the microsecond, if nobody else takes anything before. Zero if
	// nothing denies it.
	RetryAfter time.Duration

	// States are the limits as they are after the call, in the order in which they were given.
	States []State

	// Fallback says that the store did not answer, and [Options].Failure decided: by limits in this process, whose States
	// these are, or, without States, to let the call pass.
	Fallback bool
}

// State is one limit after a call.
type State struct {
	// Name is the limiter's name and, if the limit has one, a dot and its name.
	Name string

	// Limit is the limit as it was given, its Burst filled in.
	Limit Limit

	// Remaining is how many units are left now.
	Remaining int64

	// Next is when there is one more, zero if there are all. Reset is when there are all.
	Next, Reset time.Duration
}

// Err returns nil if the call is allowed, and a [*DeniedError] otherwise.
func (d Decision) Err() error {
	if d.Allowed {
		return nil
	}
	return &DeniedError{Decision: d}
}

// decision is the answer made from what a store returned for a call of cost n.
func decision(rules []rule, backlogs []Span, taken bool, n int64) Decision {
	d := Decision{Allowed: taken, States: make([]State, len(rules))}
	for i, r := range rules {
		b := r.within(backlogs[i])
		s := State{Name: r.name, Limit: r.given, Remaining: r.remaining(b), Reset: r.reset(b)}
		if s.Remaining < r.burst {
			s.Next = r.wait(b, s.Remaining+1)
		}
		d.States[i] = s
		if taken {
			continue
		}
		if wait := r.wait(b, n); wait > d.RetryAfter {
			d.DeniedBy, d.RetryAfter = r.name, wait
		}
	}
	return d
}
