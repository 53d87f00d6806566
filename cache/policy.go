package cache

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Policy says how long the values of one cache live. TTL is required.
type Policy struct {
	// TTL is how long a value is fresh: a millisecond to 100 years.
	TTL time.Duration

	// Stale is how long after TTL a value may still be served while one process loads a
	// newer one in the background (stale-while-revalidate, RFC 5861), or while loading it
	// fails; after a failure the next attempt is made when Options.Lease is over. An
	// invalidated value is never served, stale or not. Zero means never; negative, like more
	// than 100 years, is refused.
	Stale time.Duration

	// NotFoundTTL is how long the answer ErrNotFound of a load is kept. Zero means TTL, at
	// most 30 s. Negative means it is not kept.
	NotFoundTTL time.Duration

	// LoadTimeout bounds a load, which goes on when the caller who started it has left.
	// Zero means 10 s. Negative means no bound. A load must return when its context ends:
	// until it does the callers in this process wait for it, each as long as its own context,
	// while other processes take over after Options.Lease.
	LoadTimeout time.Duration

	// NoLocal keeps the values of this cache out of process memory: every Fetch then sees
	// every invalidation acknowledged anywhere before it, for one round trip to the store.
	NoLocal bool
}

func (p *Policy) validate() error {
	if p == nil {
		return errors.New("Policy is nil; it must have a TTL")
	}
	return checkLife("Policy.TTL", p.TTL, "Policy.Stale", p.Stale)
}

// longest keeps sums of times far from the largest time.Duration, 292 years.
const longest = 100 * 365 * 24 * time.Hour

// checkLife checks how long a value is to be fresh and then stale.
func checkLife(freshName string, fresh time.Duration, staleName string, stale time.Duration) error {
	check := func(name string, d, least time.Duration) error {
		if d < least || d > longest {
			return fmt.Errorf("%s is %v; want %v to 100 years", name, d, least)
		}
		return nil
	}
	return cmp.Or(check(freshName, fresh, time.Millisecond), check(staleName, stale, 0))
}

func (p *Policy) notFoundTTL() time.Duration {
	if p.NotFoundTTL == 0 {
		return min(p.TTL, 30*time.Second)
	}
	return min(p.NotFoundTTL, longest)
}

func (p *Policy) loadTimeout() time.Duration {
	if p.LoadTimeout == 0 {
		return 10 * time.Second
	}
	return min(p.LoadTimeout, longest)
}
