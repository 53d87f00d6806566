package cache

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"
)

// Hooks binds functions to the unit of work of a context; tenancy.Hooks{} is one. Each method
// reports whether there was an open unit; if not, it does nothing. An error of a BeforeCommit
// function ends the unit without commit. If the outcome of a commit stays unknown, neither
// OnCommit nor OnRollback functions run.
type Hooks interface {
	BeforeCommit(context.Context, func(context.Context) error) bool
	OnCommit(context.Context, func(context.Context)) bool
	OnRollback(context.Context, func(context.Context)) bool
}

// OnCommit invalidates targets after the unit of work of ctx has committed, and not at all if
// it is rolled back; without Options.Hooks or an open unit it does so at once. Until then a
// Fetch of a target in an open unit of this process neither reads nor fills the cache, so call
// it before the unit reads what it changed.
//
// An error means that nothing was bound. Of an invalidation that failed after the commit no
// caller can be told: it is reported in Options.Errors and retried, as [Cache.Invalidate]
// says. Between the commit and the invalidation, usually a millisecond, others read the old
// values, and a process that dies there leaves them until their TTL; [Hub.Hold] does not.
func (h *Hub) OnCommit(ctx context.Context, targets ...Target) error {
	return h.bind(ctx, false, targets)
}

// Hold is OnCommit for data of which nobody may read the old state once the change is
// committed, such as permissions: just before the commit it holds targets in the store, which
// makes everybody load them without storing until the commit is over. A process that dies
// while it holds leaves nothing old behind. If the hold fails, so does the unit.
//
// Values in the memory of other processes obey as they do after an Invalidate, counted from
// the hold instead of the commit; caches with Policy.NoLocal obey at once. A commit that
// takes longer than Options.HoldTTL, less the time since the unit's other hooks, ends as
// OnCommit does; that is reported in Options.Errors. Holding costs a round trip before the
// commit, and all readers of the targets a load each while it lasts.
func (h *Hub) Hold(ctx context.Context, targets ...Target) error {
	return h.bind(ctx, true, targets)
}

func (h *Hub) bind(ctx context.Context, strict bool, targets []Target) error {
	keys, tags, err := h.resolve(ctx, targets)
	if err != nil || len(targets) == 0 {
		return err
	}
	h.settleUnknown(ctx)
	hooks := h.opts.hooks()
	if hooks == nil {
		return h.invalidate(ctx, keys, tags)
	}
	c := &change{core: h.core, hooks: hooks, names: Hold{Keys: keys, Tags: tags}}
	if strict {
		c.names.Token, c.names.TTL = rand.Text()[:16], h.opts.holdTTL()
	}
	h.dirty.add(keys, tags)
	if !hooks.OnCommit(ctx, c.committed) {
		h.dirty.remove(keys, tags)
		return h.invalidate(ctx, keys, tags)
	}
	if !hooks.OnRollback(ctx, c.rolledBack) || !hooks.BeforeCommit(ctx, c.committing) {
		return fmt.Errorf("cache: the unit of work ended while targets were bound to it")
	}
	return nil
}

// change is what one call bound to one unit of work. The unit calls its methods one after the
// other; after none of them, and if the commit's outcome stays unknown, it is settled as if it
// had been committed.
type change struct {
	*core
	hooks Hooks
	names Hold // with a token if it is to be held

	mu    sync.Mutex
	over  bool          // dirty no longer has the names
	began time.Duration // of the last hold, or of the commit; 0 before
}

// committing runs before the commit, and once more after all other hooks, which may be slow.
func (c *change) committing(ctx context.Context) error {
	if err := c.hold(ctx); err != nil {
		return err
	}
	c.hooks.BeforeCommit(ctx, func(ctx context.Context) error {
		if c.now()-c.began < c.names.TTL/4 {
			return nil
		}
		return c.hold(ctx)
	})
	return nil
}

func (c *change) hold(ctx context.Context) error {
	c.mu.Lock()
	c.began = c.now()
	c.mu.Unlock()
	c.unsettled.add(c)
	if c.names.Token == "" {
		return nil
	}
	sctx, cancel := withTimeout(ctx, c.opts.storeTimeout())
	defer cancel()
	err := c.store.Hold(sctx, c.names)
	c.forget(c.names.Keys, c.names.Tags)
	if err != nil {
		c.storeFailed(ctx, "hold")
		return fmt.Errorf("cache: hold %d keys, %d tags before the commit: %w", len(c.names.Keys), len(c.names.Tags), err)
	}
	return nil
}

func (c *change) committed(ctx context.Context) {
	if c.names.Token != "" && c.now()-c.began > c.names.TTL {
		c.opts.report(ctx, fmt.Errorf("cache: the commit took longer than a hold of %v; others may have read old values after it", c.names.TTL), nil)
	}
	c.finish(ctx)
}

// finish ends the hold, if there is one, and invalidates.
func (c *change) finish(ctx context.Context) {
	err := c.apply(ctx, func(ctx context.Context) error {
		if c.names.Token != "" {
			return c.store.Release(ctx, c.names)
		}
		return c.store.Invalidate(ctx, c.names.Keys, c.names.Tags)
	}, c.names.Keys, c.names.Tags)
	c.clean()
	if err != nil {
		c.opts.report(ctx, fmt.Errorf("cache: after a unit of work: %w", err), nil)
	}
}

func (c *change) rolledBack(ctx context.Context) {
	if c.names.Token != "" && c.began > 0 {
		c.finish(ctx)
	}
	c.clean()
}

// clean lets units read the names again.
func (c *change) clean() {
	c.unsettled.remove(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over = true
		c.dirty.remove(c.names.Keys, c.names.Tags)
	}
}

// unsettled are the changes whose commit began and has not ended.
type unsettled struct {
	mu  sync.Mutex
	set map[*change]bool
}

func (u *unsettled) add(c *change) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.set == nil {
		u.set = make(map[*change]bool)
	}
	u.set[c] = true
}

func (u *unsettled) remove(c *change) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.set, c)
}

func (u *unsettled) overdue(now, after time.Duration) (out []*change) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.set {
		c.mu.Lock()
		if now-c.began > after {
			out = append(out, c)
		}
		c.mu.Unlock()
	}
	return out
}

// settleUnknown invalidates for the commits that nothing was heard of for as long as a hold.
func (c *core) settleUnknown(ctx context.Context) {
	for _, ch := range c.unsettled.overdue(c.now(), c.opts.holdTTL()) {
		ch.finish(ctx)
	}
}
