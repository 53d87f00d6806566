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
	hub    *Hub
	space  *space[V]
	policy Policy
	encode func(reflect.Value) (string, error)
	tagsOf func(K) []string
}

// Define makes the cache called name, which is part of its keys in the store: at most 64
// letters, digits, dots, dashes and underscores, unique in the hub. Keys are strings,
// integers, booleans, arrays and structs of those, or encoding.TextMarshalers; []byte and
// string values are stored as they are, others as JSON. Like http.ServeMux.Handle it panics
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
	return &Cache[K, V]{hub: hub, space: newSpace[V](hub.core, name, p.maxLoads()), policy: *p, encode: enc}
}

// TagBy returns the same cache with tags on each entry, computed from its key, for
// [Hub.InvalidateTags]. Use only the returned value: an entry obeys the tags of its reader.
func (c *Cache[K, V]) TagBy(tags func(K) []string) *Cache[K, V] {
	tagged := *c
	tagged.tagsOf = tags
	return &tagged
}

// Fetch returns the value of key, from memory, from the store, or from load. Of all callers
// in all processes that miss at the same time one runs load; the others wait for its value,
// each no longer than its own ctx. load gets a context with the values of the ctx of that
// one caller, but which ends only with Policy.LoadTimeout; it must not use a transaction that
// its caller ends, nor Fetch the same key, which would wait for itself. An error of load goes
// to all who wait for it and is not kept, except [ErrNotFound]. Fetch does not fail when the
// store does: it loads.
func (c *Cache[K, V]) Fetch(ctx context.Context, key K, load func(context.Context, K) (V, error)) (V, error) {
	tenant, name, err := c.locate(ctx, key)
	if err != nil {
		var zero V
		return zero, err
	}
	if c.hub.dirty.any() {
		if sp := c.spec(tenant, name, key); c.hub.private(ctx, sp) {
			return c.space.bypass(ctx, sp, func(ctx context.Context) (V, error) { return load(ctx, key) }).get()
		}
	}
	if r, ok := c.space.fromLocal(ctx, name, c.policy.NoLocal); ok {
		return r.get()
	}
	return c.space.fetch(ctx, c.spec(tenant, name, key), func(ctx context.Context) (V, error) { return load(ctx, key) }).get()
}

func (c *Cache[K, V]) spec(tenant, name string, key K) *spec {
	var tags []string
	if c.tagsOf != nil {
		tags = c.tagsOf(key)
	}
	return &spec{
		key:      name,
		tags:     scopes(c.space.name, tenant, tags),
		fresh:    c.policy.TTL,
		stale:    c.policy.Stale,
		ifError:  c.policy.StaleIfError,
		soft:     c.policy.SoftTimeout,
		jitter:   c.policy.jitter(),
		notFound: c.policy.notFoundTTL(),
		timeout:  c.policy.loadTimeout(),
		noLocal:  c.policy.NoLocal,
	}
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
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		_, name, err := c.locate(ctx, k)
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		_, err := c.hub.tenantOf(ctx)
		return err
	}
	return c.hub.invalidate(ctx, names, nil)
}

func (c *Cache[K, V]) locate(ctx context.Context, key K) (tenant, name string, err error) {
	if tenant, err = c.hub.tenantOf(ctx); err != nil {
		return "", "", err
	}
	text, err := keyText(key, c.encode)
	if err != nil {
		return "", "", fmt.Errorf("cache: %s: key: %w", c.space.name, err)
	}
	return tenant, entryKey(c.space.name, tenant, text), nil
}
