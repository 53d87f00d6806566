package cache

import (
	"context"
	"errors"
	"fmt"
)

// Target names what [Hub.Invalidate], [Hub.OnCommit] and [Hub.Hold] are about: one entry
// ([Cache.Key]), a whole cache ([Cache.All]), what carries a tag ([Tag]) or [Everything]. It
// means that of the tenant of the context with which it is used. Each is one step in the
// store, whatever the number of entries. The zero value is refused.
type Target struct {
	scope      scope
	cache      string // of scopeEntry and scopeCache
	text       string // key or tag
	tenantless bool   // of a cache on Hub.Shared, whatever the context's tenant
	err        error  // of writing the key
}

type scope uint8

const (
	scopeEntry scope = iota + 1
	scopeCache
	scopeTag
	scopeEverything
)

// Tag is everything that carries the tag, in all caches and GetOrLoad.
func Tag(tag string) Target { return Target{scope: scopeTag, text: tag} }

// Everything is all there is of the tenant. On a hub without Options.Tenant, and on the Shared
// view, it is everything in the store, of all tenants and of none.
func Everything() Target { return Target{scope: scopeEverything} }

// Key is the entry of key.
func (c *Cache[K, V]) Key(key K) Target {
	text, err := keyText(key, c.encode)
	if err != nil {
		err = fmt.Errorf("cache: %s: key: %w", c.space.name, err)
	}
	return Target{scope: scopeEntry, cache: c.space.name, text: text, tenantless: c.hub.tenantless, err: err}
}

// All is all entries of the cache. On the Shared view it is those of all tenants.
func (c *Cache[K, V]) All() Target {
	return Target{scope: scopeCache, cache: c.space.name, tenantless: c.hub.tenantless}
}

// resolve returns the names of targets in the store.
func (h *Hub) resolve(ctx context.Context, targets []Target) (keys, tags []string, err error) {
	for _, t := range targets {
		if t.err != nil {
			return nil, nil, t.err
		}
		tenant := ""
		if !t.tenantless {
			if tenant, err = h.tenantOf(ctx); err != nil {
				return nil, nil, err
			}
		}
		switch t.scope {
		case scopeEntry:
			keys = append(keys, entryKey(t.cache, tenant, t.text))
		case scopeCache:
			tags = append(tags, cacheKey(t.cache, tenant))
		case scopeTag:
			tags = append(tags, tagKey(tenant, t.text))
		case scopeEverything:
			tags = append(tags, tenantKey(tenant))
		default:
			return nil, nil, errors.New("cache: the zero Target names nothing")
		}
	}
	if len(targets) == 0 {
		_, err = h.tenantOf(ctx)
	}
	return keys, tags, err
}

// scopes are the stamps that entries of tenant with tags depend on. Those of GetOrLoad belong
// to no cache.
func scopes(cache, tenant string, tags []string) []string {
	out := make([]string, 1, 4+len(tags))
	out[0] = scopeAll
	if tenant != "" {
		out = append(out, tenantKey(tenant))
	}
	if cache != "" {
		out = append(out, cacheKey(cache, ""))
		if tenant != "" {
			out = append(out, cacheKey(cache, tenant))
		}
	}
	for _, t := range tags {
		out = append(out, tagKey(tenant, t))
	}
	return out
}
