package cache

import (
	"context"
	"errors"
	"fmt"
)

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// Peek returns the value of key if memory or the store has one that may be served, fresh or
// stale, and never loads. ok is false if there is none. An absence that is known is
// [ErrNotFound]; other errors are those of the tenant, the key and the store.
func (c *Cache[K, V]) Peek(ctx context.Context, key K) (v V, ok bool, err error) {
	tenant, err := c.hub.tenantOf(ctx)
	if err != nil {
		return v, false, err
	}
	id := localKey[K]{tenant, key}
	sp, err := c.spec(id)
	if err != nil {
		return v, false, err
	}
	s := c.space
	if s.pending.blocks(sp.key, sp.tags) || s.dirty.any() && s.private(ctx, &sp) {
		return v, false, nil
	}
	if it := c.inMemory(ctx, &id); it != nil {
		if s.dirty.any() && s.privateTags(ctx, it.own) {
			return v, false, nil
		}
		v, err = it.get()
		return v, err == nil, err
	}
	entries, err := s.store.Acquire(s.storeContext(ctx), []Claim{{Key: sp.key, Tags: sp.tags, Mode: ClaimNothing}})
	s.outcome(ctx, "acquire", err)
	if err != nil {
		return v, false, fmt.Errorf("cache: %s: peek: %w", s.name, err)
	}
	f := s.read(ctx, &sp, &entries[0], mark{})
	switch {
	case !f.served(&sp):
		return v, false, nil
	case f.notFound:
		return v, false, ErrNotFound
	}
	return f.value, true, nil
}

// Put replaces the cached value of key by v, which the caller has just committed: readers get
// it without a load. It is for caches with [Cache.VersionBy]: what is cached stays if its
// version is higher, so that of two writers the later wins in whatever order they come here.
// Where nothing of a known version is cached, it does what [Cache.Invalidate] does, and its
// error means the same. The value has the tags of [Cache.TagBy] and no others (Loaded.Tags).
func (c *Cache[K, V]) Put(ctx context.Context, key K, v V) error {
	version := (&spec{version: c.version}).versionOf(v, nil)
	if version == 0 {
		return fmt.Errorf("cache: %s: Put: the value has no version; see VersionBy", c.space.name)
	}
	tenant, err := c.hub.tenantOf(ctx)
	if err != nil {
		return err
	}
	sp, err := c.spec(localKey[K]{tenant, key})
	if err != nil {
		return err
	}
	b, data := c.space.pack(ctx, &sp, &grant{}, Loaded[V]{Value: v}, nil, 0)
	names := []string{sp.key}
	if data == nil { // reported; what is cached is old all the same
		return c.hub.invalidate(ctx, names, nil)
	}
	return c.hub.apply(ctx, func(ctx context.Context) error {
		_, err := c.hub.store.Fill(ctx, []Fill{{Key: sp.key, Tags: sp.tags, Body: data, TTL: b.life, Version: version}})
		return err
	}, names, nil)
}

// Refresh loads the value of key anew, whatever is cached, and returns it; meanwhile the
// cached value is served to others. Unlike after [Cache.Invalidate] that value stays if load
// fails. The load begins after the call: if another is running it is waited for first.
func (c *Cache[K, V]) Refresh(ctx context.Context, key K, load func(context.Context, K) (V, error)) (V, error) {
	var zero V
	tenant, err := c.hub.tenantOf(ctx)
	if err != nil {
		return zero, err
	}
	sp, err := c.spec(localKey[K]{tenant, key})
	if err != nil {
		return zero, err
	}
	r, err := detach(ctx, c.space, func(ctx context.Context) result[V] { return c.space.renew(ctx, &sp, plain(key, load)) })
	if err != nil {
		return zero, err
	}
	return r.get()
}

// renew loads under a lease of its own, beside the value if there is one.
func (s *space[V]) renew(ctx context.Context, sp *spec, load loader[V]) result[V] {
	wake, remove := s.waiters.add(sp.key)
	defer remove()
	pause, patient := firstPoll, s.now()+sp.timeout+s.opts.lease()
	for s.usable(ctx, sp) && !(s.dirty.any() && s.private(ctx, sp)) {
		m := s.mark(sp)
		claim := s.claimOf(sp, ClaimBeside)
		e, err := s.claim(ctx, claim)
		if err != nil {
			break
		}
		if e.Granted {
			f := s.read(ctx, sp, &e, m)
			if f.private {
				return s.apart(ctx, sp, load, &e, claim.Token)
			}
			return s.load(ctx, sp, load, grant{entry: e, lease: Lease{Key: sp.key, Token: claim.Token}, mark: m}, f.previous())
		}
		if e.State == Held || e.State == Missing || e.Paused || sp.timeout >= 0 && s.now() > patient {
			break
		}
		s.await(wake, pause)
		pause = min(2*pause, lastPoll)
	}
	return s.bypass(ctx, sp, load)
}
