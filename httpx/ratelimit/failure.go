package ratelimit

import (
	"fmt"
	"sync"
	"time"
)

// Failure is what a [Limiter] does while its store does not answer.
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

// breaker saves calls the wait for a store that does not answer: after three failures in a row nobody asks it for a
// second, then one call tries.
type breaker struct {
	mu       sync.Mutex
	failures int // in a row
	until    time.Time
}

func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakerFailures {
		return true
	}
	now := time.Now()
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(breakerPause) // the others wait for this attempt
	return true
}

// left takes note of a call that ended before the store answered: it leaves the attempt to the next one.
func (b *breaker) left() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures >= breakerFailures {
		b.until = time.Time{}
	}
}

// succeeded reports whether the store was given up until now.
func (b *breaker) succeeded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.failures >= breakerFailures
	b.failures = 0
	return was
}

// failed reports whether the store is given up from now on.
func (b *breaker) failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	if b.failures >= breakerFailures {
		b.until = time.Now().Add(breakerPause)
	}
	return b.failures == breakerFailures
}
