package cache

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Loaded is a value with what its load knows of it. The zero value of each field says nothing.
type Loaded[V any] struct {
	Value V

	// Validator is what the source recognizes the value by, such as an ETag or a revision. It
	// is kept with the value, for the next load.
	Validator string

	// Tags are tags of this value, beside those of [Cache.TagBy] and like them of the tenant of
	// the context, known only to who has loaded it: an article's authors, what a page was made
	// of. [Hub.InvalidateTags] of one drops exactly the values whose load named it; an answer
	// [ErrNotFound] may have tags as well. At most 64, each at most 256 bytes long; a value
	// with more is not kept, and [ErrTags] reported. A hit in the store then takes two round
	// trips; one in memory stays what it is. The slice must not change while the load runs; it
	// is copied when the load returns.
	Tags []string

	// TTL is how long the value is fresh, in place of Policy.TTL, as the source says, for
	// example; Jitter, Stale and StaleIfError apply as usual. It is at least a millisecond and
	// at most 100 years. Negative means that the value is not kept, nor the one before.
	TTL time.Duration
}

// FetchWith is [Cache.Fetch] with a load that asks its source whether what is cached is still
// current, and says how long the new value is. prev is what is cached and was not invalidated,
// or the zero Loaded; it is there for as long after the TTL as Policy.Stale and StaleIfError
// say, so give one of them for sources that can be asked. A load that returns [ErrNotModified]
// keeps the value of prev, and its Validator and its Tags if it returns none.
//
// All loads of a key should name tags in the same way: what Fetch, FetchMany or Refresh load has
// none, nor has what [Cache.Put] stores. A value with Tags is kept as one whose version is not
// known. In a unit of work (Options.Hooks), while any unit of this process has bound tags to its
// commit, what such a load returns is for its caller alone and not kept, because only the load
// knows whether it is about one of them.
func (c *Cache[K, V]) FetchWith(ctx context.Context, key K, load func(ctx context.Context, key K, prev Loaded[V]) (Loaded[V], error)) (V, error) {
	tenant, err := c.hub.tenantOf(ctx)
	if err != nil {
		var zero V
		return zero, err
	}
	id := localKey[K]{tenant, key}
	dirty := c.hub.dirty.any()
	if !dirty {
		if it := c.inMemory(ctx, &id); it != nil {
			return it.get()
		}
	}
	return c.fetch(ctx, id, dirty, true, func() loader[V] { return asking(key, load) })
}

// loader is a load below its key. prev is what the entry has so far, nil for nothing.
type loader[V any] func(ctx context.Context, prev *found[V]) (Loaded[V], error)

// plain is the load of Fetch.
func plain[K, V any](key K, load func(context.Context, K) (V, error)) loader[V] {
	return func(ctx context.Context, _ *found[V]) (Loaded[V], error) {
		v, err := load(ctx, key)
		return Loaded[V]{Value: v}, err
	}
}

// asking is the load of FetchWith.
func asking[K, V any](key K, load func(context.Context, K, Loaded[V]) (Loaded[V], error)) loader[V] {
	return func(ctx context.Context, f *found[V]) (Loaded[V], error) {
		var prev Loaded[V]
		if f != nil {
			prev = Loaded[V]{Value: f.value, Validator: f.validator, Tags: slices.Clone(f.tags)}
		}
		l, err := load(ctx, key, prev)
		l.Tags = slices.Clone(l.Tags) // read until the value is stored, when they are the load's again
		if f != nil && errors.Is(err, ErrNotModified) {
			l.Value, err = prev.Value, nil
			if l.Validator == "" {
				l.Validator = prev.Validator
			}
			if len(l.Tags) == 0 {
				l.Tags = f.tags
			}
		}
		return l, err
	}
}
