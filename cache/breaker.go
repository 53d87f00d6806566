package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	breakerFailures = 3
	breakerPause    = time.Second
)

// breaker stops asking a failing store: after three failures in a row, reads load without it
// for a second; then one of them tries again. Invalidations never ask it.
type breaker struct {
	failures atomic.Int32 // in a row; changed with the lock held

	mu    sync.Mutex
	until time.Time
}

func (b *breaker) allow() bool {
	if b.failures.Load() < breakerFailures {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures.Load() < breakerFailures {
		return true // since a moment ago
	}
	now := time.Now()
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(breakerPause) // the others wait for this attempt
	return true
}

// open reports whether reads go around the store.
func (b *breaker) open() bool { return b.failures.Load() >= breakerFailures }

// succeeded reports whether the store was failing until now.
func (b *breaker) succeeded() bool {
	if b.failures.Load() == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures.Swap(0) >= breakerFailures
}

// failed reports whether this failure opened the breaker.
func (b *breaker) failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.failures.Add(1)
	if n < breakerFailures {
		return false
	}
	b.until = time.Now().Add(breakerPause)
	return n == breakerFailures
}
