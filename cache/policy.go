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

	// StaleIfError is how long after TTL and Stale a value may still be served if loading a
	// newer one fails (stale-if-error, RFC 5861), or takes longer than SoftTimeout. After a
	// failure nobody tries again before Options.Lease is over; meanwhile the value is served
	// at once. Zero means never; negative, like more than 100 years, is refused.
	StaleIfError time.Duration

	// Jitter is the largest part of TTL and NotFoundTTL by which a value's life is shortened
	// at random, so that what was stored at the same time does not end at the same time.
	// Zero means 0.05, negative means none, more than 0.5 is refused.
	Jitter float64

	// NotFoundTTL is how long the answer ErrNotFound of a load is kept. Zero means TTL, at
	// most 30 s. Negative means it is not kept.
	NotFoundTTL time.Duration

	// LoadTimeout bounds a load, which goes on when the caller who started it has left.
	// Zero means 10 s. Negative means no bound. A load must return when its context ends:
	// until it does the callers in this process wait for it, each as long as its own context,
	// while other processes take over after Options.Lease.
	LoadTimeout time.Duration

	// SoftTimeout is how long a caller waits for a load if there is something else to give:
	// a value within TTL, Stale and StaleIfError, while the load goes on in the background
	// and is stored; or, when another process is loading, a load of this process's own, which
	// is not stored. Zero means that callers wait for as long as LoadTimeout. Negative is
	// refused.
	SoftTimeout time.Duration

	// MaxLoads bounds how many loads of this cache run in this process at a time, which is
	// what the source is left with when the store is down. One too many waits a second for
	// its turn and then ends with [ErrLoadShed], or with an old value within StaleIfError.
	// Refreshes in the background are left out at once. Zero means 256, negative means no
	// bound.
	MaxLoads int

	// Codec writes values for the store. Nil means JSON, and []byte and string as they are.
	// Processes with another codec, like those with another type of value, take the entries
	// for missing ones. It does not apply to memory, which has the values themselves.
	Codec Codec

	// CompressOver is the length in bytes from which on encoded values are compressed
	// (DEFLATE at its fastest), if that makes them shorter. Zero and negative mean that
	// nothing is compressed. It may differ between processes.
	CompressOver int

	// NoLocal keeps the values of this cache out of process memory: every Fetch then sees
	// every invalidation acknowledged anywhere before it, for one round trip to the store.
	NoLocal bool
}

func (p *Policy) validate() error {
	if p == nil {
		return errors.New("Policy is nil; it must have a TTL")
	}
	switch {
	case p.StaleIfError < 0 || p.StaleIfError > longest:
		return fmt.Errorf("Policy.StaleIfError is %v; want 0 to 100 years", p.StaleIfError)
	case p.SoftTimeout < 0:
		return fmt.Errorf("Policy.SoftTimeout is %v; want 0 or more", p.SoftTimeout)
	case p.Jitter > 0.5:
		return fmt.Errorf("Policy.Jitter is %v; want at most 0.5", p.Jitter)
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

func (p *Policy) jitter() float64 {
	if p.Jitter == 0 {
		return 0.05
	}
	return max(p.Jitter, 0)
}

// maxLoads is 0 for no bound.
func (p *Policy) maxLoads() int {
	if p.MaxLoads == 0 {
		return 256
	}
	return max(p.MaxLoads, 0)
}
