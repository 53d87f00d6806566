package ratelimit

import (
	"fmt"
	"sync"
	"time"
)

// Failure is what a [Limiter] does for a call that its store does not answer in time, or with an error. Where such a call
// waited for half of [Options].Timeout or longer, nobody else was answered meanwhile, and two in a row fared the same, the
// store hangs: for a second all calls do without it at once, then one tries. Errors that come at once do not lead to that,
// so a store that is full decides for those for whom it can; nor do callers whose own context ended first.
type Failure int

const (
	// FailLocal counts in this process, each limit divided by [Options].Processes, but never so far that a call cannot pass
	// at all. It is the default: calls go on, and nobody gets more than the limit of each process.
	FailLocal Failure = iota

	// FailOpen allows everything: for limits that save work. Not for what stands before a login, a sign-up or money:
	// whoever can make the store slow could go on without a limit.
	FailOpen

	// FailClosed allows nothing: calls fail with [ErrUnavailable], which [Limiter.Middleware] answers as a 503 problem.
	FailClosed
)

// String returns "local", "open" or "closed".
func (f Failure) String() string {
	switch f {
	case FailLocal:
		return "local"
	case FailOpen:
		return "open"
	case FailClosed:
		return "closed"
	}
	return fmt.Sprintf("Failure(%d)", int(f))
}

const (
	breakerFailures = 3
	breakerPause    = time.Second
)

// breaker saves calls the wait for a store that hangs: after three calls in a row that waited in vain nobody asks it for a
// second, then one call tries. What fails at once costs nobody a wait. Nor does the store hang as a whole when others were
// answered while a call waited: it is a part that does, a node of a Cluster, and the limits of the other parts go on.
type breaker struct {
	slow time.Duration // the shortest wait that counts

	mu       sync.Mutex
	hung     int       // calls in a row
	until    time.Time // nobody asks before, once enough have hung
	answered time.Time // the last call that was

	failures int       // in a row, of any kind, for the log
	told     bool      // that it fails, and not yet that it is back
	quiet    time.Time // until when nothing is told: a store may fail and answer in turns
}

func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hung < breakerFailures {
		return true
	}
	now := time.Now()
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(breakerPause) // the others wait for this attempt
	return true
}

// left takes note of a caller who was gone before the store answered: he leaves the attempt to the next one.
func (b *breaker) left() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.until = time.Time{}
}

// succeeded reports whether to tell that the store is back.
func (b *breaker) succeeded() (tell bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tell = b.told
	b.hung, b.failures, b.told, b.answered = 0, 0, false, time.Now()
	return tell
}

// failed takes note of a call that began at start, and reports whether to tell that the store fails.
func (b *breaker) failed(start time.Time) (tell bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case now.Sub(start) < b.slow:
		b.hung = 0
	case !b.answered.After(start):
		b.hung++
		b.until = now.Add(breakerPause)
	}
	b.failures++
	if b.failures < breakerFailures || b.told || now.Before(b.quiet) {
		return false
	}
	b.told, b.quiet = true, now.Add(breakerPause)
	return true
}
