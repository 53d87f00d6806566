package cache

import (
	"context"
	"fmt"
)

// Invalidate removes the values of targets, in one round trip. Call it after the change of the
// data is committed, or let [Hub.OnCommit] do so. What it returns means the same as for
// [Cache.Invalidate].
func (h *Hub) Invalidate(ctx context.Context, targets ...Target) error {
	keys, tags, err := h.resolve(ctx, targets)
	if err != nil || len(targets) == 0 {
		return err
	}
	return h.invalidate(ctx, keys, tags)
}

// InvalidateTags is Invalidate of tags, the seam for HTTP caches.
func (h *Hub) InvalidateTags(ctx context.Context, tags ...string) error {
	targets := make([]Target, len(tags))
	for i, t := range tags {
		targets[i] = Tag(t)
	}
	return h.Invalidate(ctx, targets...)
}

// invalidate applies an invalidation in the store and here.
func (c *core) invalidate(ctx context.Context, keys, tags []string) error {
	return c.apply(ctx, func(ctx context.Context) error { return c.store.Invalidate(ctx, keys, tags) }, keys, tags)
}

// apply lets do invalidate in the store and then does so here, also for what was read from the
// store while it did not know yet. It goes on when ctx ends, because it usually follows a
// change that is committed already.
func (c *core) apply(ctx context.Context, do func(context.Context) error, keys, tags []string) error {
	err := c.send(ctx, do)
	if err != nil {
		c.pending.add(keys, tags)
	} else {
		c.recent.add(c.now(), keys, tags)
	}
	c.forget(keys, tags)
	if err != nil {
		return fmt.Errorf("cache: invalidate %d keys, %d tags: the store did not confirm; "+
			"this process stops using them and retries, others may see old data until then: %w", len(keys), len(tags), err)
	}
	return nil
}

// flush retries the invalidations that did not get through, at most once a second.
func (c *core) flush(ctx context.Context) {
	keys, tags, turn := c.pending.due(c.now())
	if turn == 0 {
		return
	}
	if c.send(ctx, func(ctx context.Context) error { return c.store.Invalidate(ctx, keys, tags) }) != nil {
		return
	}
	c.recent.add(c.now(), keys, tags)
	c.forget(keys, tags)
	c.pending.settle(turn)
}

// suspect makes this process say again what it has invalidated a moment ago, because a store
// that failed may have forgotten it. Until that got through, the names are not used here.
func (c *core) suspect() {
	if keys, tags := c.recent.take(c.now()); len(keys)+len(tags) > 0 {
		c.pending.add(keys, tags)
		c.forget(keys, tags)
	}
}

// send leaves the breaker alone: that is for reads, which have a way around the store.
func (c *core) send(ctx context.Context, do func(context.Context) error) error {
	err := do(c.storeContext(ctx))
	if err != nil {
		c.storeFailed(ctx, "invalidate")
		c.suspect()
	}
	return err
}

func (c *core) forget(keys, tags []string) {
	c.coherence.touch(keys...)
	c.coherence.touch(tags...)
}
