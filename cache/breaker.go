package cache

import (
	"sync"
	"time"
)

const (
	breakerFailures = 3
	breakerPause    = time.Second
)

// breaker stops asking a failing store: after three failures in a row, reads load without it
// for a second; then one of them tries again. Invalidations never ask it.
type breaker struct {
	mu       sync.Mutex
	failures int
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

// succeeded reports whether the store was failing until now.
func (b *breaker) succeeded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.failures >= breakerFailures
	b.failures = 0
	return was
}

// failed reports whether this failure opened the breaker.
func (b *breaker) failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	if b.failures < breakerFailures {
		return false
	}
	b.until = time.Now().Add(breakerPause)
	return b.failures == breakerFailures
}
