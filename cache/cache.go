package cache

import (
	"context"
	"fmt"
	"reflect"
)

// Cache is a read-through cache of values of type V under keys of type K. Make it with
// [Define]. It is safe for concurrent use; the values it returns are shared with other
// callers and must not be changed.
type Cache[K comparable, V any] struct {
	hub     *Hub
	space   *space[V]
	policy  Policy
	encode  func(reflect.Value) (string, error)
	tagsOf  func(K) []string
	version func(any) int64 // of a V

	local  bool     // whether memory is used
	scopes []string // of an entry without tenant and tags; never changed
}

// Define makes the cache called name, which is part of its keys in the store: at most 64
// letters, digits, dots, dashes and underscores, unique in the hub. Keys are strings,
// integers, booleans, arrays and structs of those, or encoding.TextMarshalers; []byte and
// string values are stored as they are, others as JSON, unless Policy.Codec says otherwise. Like
// http.ServeMux.Handle it panics
// on misuse, so define caches when the program starts.
func Define[K comparable, V any](hub *Hub, name string, p *Policy) *Cache[K, V] {
	enc, err := keyEncoder(reflect.TypeFor[K]())
	if err == nil {
		err = p.validate()
	}
	if err == nil {
		err = hub.reserve(name)
	}
	if err != nil {
		panic(fmt.Sprintf("cache: Define %s: %v", name, err))
	}
	return &Cache[K, V]{
		hub: hub, space: newSpace[V](hub.core, name, p), policy: *p, encode: enc,
		local: hub.local != nil && !p.NoLocal, scopes: scopes(name, "", nil),
	}
}

// TagBy returns the same cache with tags on each entry, computed from its key, for
// [Hub.InvalidateTags]. Use only the returned value: an entry obeys the tags of its reader.
func (c *Cache[K, V]) TagBy(tags func(K) []string) *Cache[K, V] {
	tagged := *c
	tagged.tagsOf = tags
	return &tagged
}

// VersionBy returns the same cache with a version of each value, for [Cache.Put]: a number that
// grows with each change of the data and is at least 1, like a row's version or the time of its
// change in microseconds. Zero says that the version is not known, less is taken for zero. An
// entry with a version is not replaced by one with a lower.
func (c *Cache[K, V]) VersionBy(version func(V) int64) *Cache[K, V] {
	versioned := *c
	versioned.version = func(v any) int64 {
		value, _ := v.(V) // not ok only for a nil of an interface type
		return max(version(value), 0)
	}
	return &versioned
}

// Fetch returns the value of key, from memory, from the store, or from load. Of all callers
// in all processes that miss at the same time one runs load; the others wait for its value,
// each no longer than its own ctx (and a call of the store that has begun, which
// Options.StoreTimeout bounds). load gets a context with the values of the ctx of that
// one caller, but which ends only with Policy.LoadTimeout; it must not use a transaction that
// its caller ends, nor Fetch the same key, which would wait for itself. An error of load goes
// to all who wait for it and is not kept, except [ErrNotFound]. Fetch does not fail when the
// store does: it loads.
func (c *Cache[K, V]) Fetch(ctx context.Context, key K, load func(context.Context, K) (V, error)) (V, error) {
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
	return c.fetch(ctx, id, dirty, false, func() loader[V] { return plain(key, load) })
}

// fetch is what of Fetch is left when memory did not answer. load makes the function that loads,
// which may name tags if asks is true.
func (c *Cache[K, V]) fetch(ctx context.Context, id localKey[K], dirty, asks bool, load func() loader[V]) (V, error) {
	var zero V
	sp, err := c.spec(id)
	if err != nil {
		return zero, err
	}
	sp.asks = asks
	if dirty {
		if c.hub.private(ctx, &sp) {
			return c.space.bypass(ctx, &sp, load()).get()
		}
		if it := c.inMemory(ctx, &id); it != nil {
			if c.hub.privateTags(ctx, it.own) {
				return c.space.bypass(ctx, &sp, load()).get()
			}
			return it.get()
		}
	}
	return c.space.fetch(ctx, &sp, load).get()
}

func (c *Cache[K, V]) inMemory(ctx context.Context, id *localKey[K]) *item[V] {
	if !c.local {
		return nil
	}
	return fromLocal(ctx, c.space, id)
}

// spec is what a request for an entry asks of the space.
func (c *Cache[K, V]) spec(id localKey[K]) (sp spec, err error) {
	name, err := c.name(id.tenant, id.key)
	if err != nil {
		return sp, err
	}
	tags := c.scopes
	if c.tagsOf != nil || id.tenant != "" {
		var own []string
		if c.tagsOf != nil {
			own = c.tagsOf(id.key)
		}
		tags = scopes(c.space.name, id.tenant, own)
	}
	sp = spec{
		key:      name,
		tenant:   id.tenant,
		tags:     tags,
		fresh:    c.policy.TTL,
		stale:    c.policy.Stale,
		ifError:  c.policy.StaleIfError,
		soft:     c.policy.SoftTimeout,
		jitter:   c.policy.jitter(),
		notFound: c.policy.notFoundTTL(),
		timeout:  c.policy.loadTimeout(),
		version:  c.version,
	}
	if c.local {
		sp.local, sp.hash = id.own(), id.hash(c.space.seed)
	}
	return sp, nil
}

// Invalidate removes the values of keys. Call it after the change of the data is committed.
//
// When it returns nil, no Fetch that starts from now on in this process, and none anywhere
// that goes to the store, returns a value whose load began before; the memory of other
// processes follows within milliseconds, and within Options.MaxStaleness if they have lost
// contact. It does not stop when ctx ends. On an error the store has not confirmed: this
// process neither reads nor stores the keys until a retry got through, while others may
// still see the old values; call it again, or treat the change as not yet visible.
func (c *Cache[K, V]) Invalidate(ctx context.Context, keys ...K) error {
	tenant, err := c.hub.tenantOf(ctx)
	if err != nil || len(keys) == 0 {
		return err
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		if names[i], err = c.name(tenant, k); err != nil {
			return err
		}
	}
	return c.hub.invalidate(ctx, names, nil)
}

// name is what the store knows the entry by.
func (c *Cache[K, V]) name(tenant string, key K) (string, error) {
	text, err := keyText(key, c.encode)
	if err != nil {
		return "", fmt.Errorf("cache: %s: key: %w", c.space.name, err)
	}
	return entryKey(c.space.name, tenant, text), nil
}
