package cache

import (
	"errors"
	"time"
)

// Policy says how long the values of one cache live. TTL is required.
type Policy struct {
	// TTL is how long a value is fresh. It must be at least a millisecond.
	TTL time.Duration

	// Stale is how long after TTL a value may still be served while one process loads a
	// newer one in the background (stale-while-revalidate, RFC 5861), or while loading it
	// fails. An invalidated value is never served, stale or not. Zero means never.
	Stale time.Duration

	// NotFoundTTL is how long the answer ErrNotFound of a load is kept. Zero means TTL, at
	// most 30 s. Negative means it is not kept.
	NotFoundTTL time.Duration

	// LoadTimeout bounds a load, which goes on when the caller who started it has left.
	// Zero means 10 s. Negative means no bound.
	LoadTimeout time.Duration

	// NoLocal keeps the values of this cache out of process memory: every Fetch then sees
	// every invalidation acknowledged anywhere before it, for one round trip to the store.
	NoLocal bool
}

func (p *Policy) validate() error {
	switch {
	case p == nil || p.TTL < time.Millisecond:
		return errors.New("Policy.TTL must be at least a millisecond")
	case p.Stale < 0:
		return errors.New("Policy.Stale is negative")
	}
	return nil
}

func (p *Policy) notFoundTTL() time.Duration {
	if p.NotFoundTTL == 0 {
		return min(p.TTL, 30*time.Second)
	}
	return p.NotFoundTTL
}

func (p *Policy) loadTimeout() time.Duration {
	if p.LoadTimeout == 0 {
		return 10 * time.Second
	}
	return p.LoadTimeout
}
