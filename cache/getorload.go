package cache

import (
	"context"
	"fmt"
	"time"
)

// What GetOrLoad did, as its status says.
const (
	StatusHit       = "hit"       // fresh, from memory or the store
	StatusStale     = "stale"     // from the store, while a newer one is loaded
	StatusMiss      = "miss"      // loaded by this call, and stored
	StatusUnstored  = "unstored"  // loaded by this call, and not stored: it was invalidated meanwhile, or the store refused it
	StatusCollapsed = "collapsed" // loaded by another call at the same time
	StatusBypass    = "bypass"    // loaded and not stored: the store failed, or an invalidation is due
)

// GetOrLoad is Fetch for bytes under a free key, the seam for HTTP caches. A value is fresh
// for fresh and may then be served for stale more while it is loaded again, as [Policy] says
// of TTL and Stale; tags are those of [Hub.InvalidateTags]. All three belong to the key: pass
// the same ones each time. A load ends after 10 s. stored is when
// the value was stored, by this machine's clock; status is one of the Status constants. The
// bytes are shared and must not be changed. Errors of load are returned as they are and never
// kept, not even [ErrNotFound].
func (h *Hub) GetOrLoad(ctx context.Context, key string, fresh, stale time.Duration, tags []string,
	load func(context.Context) ([]byte, error),
) (val []byte, stored time.Time, status string, err error) {
	if err := checkLife("fresh", fresh, "stale", stale); err != nil {
		return nil, time.Time{}, "", fmt.Errorf("cache: GetOrLoad: %w", err)
	}
	tenant, err := h.tenantOf(ctx)
	if err != nil {
		return nil, time.Time{}, "", err
	}
	id := localKey[string]{tenant, key}
	dirty := h.dirty.any()
	if !dirty {
		if it := h.bytesInMemory(ctx, &id); it != nil {
			return it.value, it.stored, StatusHit, nil
		}
	}
	sp := spec{
		key:      entryKey(bytesName, tenant, key),
		tags:     scopes("", tenant, tags),
		fresh:    fresh,
		stale:    stale,
		notFound: -1,
		timeout:  (&Policy{}).loadTimeout(),
	}
	if h.local != nil {
		sp.local, sp.hash = id.own(), id.hash(h.bytes.seed)
	}
	var ended uint64 // when load did, by the ticks of proofs
	bound := func() loader[[]byte] {
		return func(ctx context.Context, _ *found[[]byte]) (l Loaded[[]byte], err error) {
			l.Value, err = load(ctx)
			ended = h.coherence.ticks.Add(1)
			return l, err
		}
	}
	if dirty {
		if h.private(ctx, &sp) {
			return bytesOf(h.bytes.bypass(ctx, &sp, bound()))
		}
		if it := h.bytesInMemory(ctx, &id); it != nil {
			return it.value, it.stored, StatusHit, nil
		}
	}
	r := h.bytes.fetch(ctx, &sp, bound)
	if r.status == StatusMiss && r.proof < ended { // no fill was sent after it, or none was accepted
		r.status = StatusUnstored
	}
	return bytesOf(r)
}

func bytesOf(r result[[]byte]) (val []byte, stored time.Time, status string, err error) {
	if r.err != nil {
		return nil, time.Time{}, r.status, r.err
	}
	return r.value, r.stored, r.status, nil
}

func (h *Hub) bytesInMemory(ctx context.Context, id *localKey[string]) *item[[]byte] {
	if h.local == nil {
		return nil
	}
	return fromLocal(ctx, h.bytes, id)
}
