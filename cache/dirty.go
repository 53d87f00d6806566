package cache

import (
	"context"
	"sync"
	"sync/atomic"
)

const maxDirty = 10_000

// dirty counts the open units of work of this process that have changed what is behind a name.
type dirty struct {
	open atomic.Int64 // names, so that who finds none need not lock
	tags atomic.Int64 // those of them that are tags

	mu     sync.Mutex
	names  map[string]int
	beyond int // names that found no room; while there are any, every name counts as dirty
}

func (d *dirty) add(keys, tags []string) { d.change(keys, tags, 1) }

func (d *dirty) remove(keys, tags []string) { d.change(keys, tags, -1) }

func (d *dirty) change(keys, tags []string, by int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names == nil {
		d.names = make(map[string]int)
	}
	for _, k := range keys {
		d.one("k"+k, by)
	}
	for _, t := range tags {
		d.one("t"+t, by)
	}
	d.tags.Add(int64(by * len(tags)))
	d.open.Add(int64(by * (len(keys) + len(tags))))
}

// one counts a name. Which of several additions found no room does not matter, only that
// together they are taken back.
func (d *dirty) one(name string, by int) {
	n, known := d.names[name]
	switch {
	case !known && by < 0, !known && len(d.names) >= maxDirty:
		d.beyond += by
	case n+by == 0:
		delete(d.names, name)
	default:
		d.names[name] = n + by
	}
}

func (d *dirty) any() bool { return d.open.Load() > 0 }

func (d *dirty) has(key string, tags []string) bool {
	if !d.any() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.beyond > 0 || d.names["k"+key] > 0 {
		return true
	}
	for _, t := range tags {
		if d.names["t"+t] > 0 {
			return true
		}
	}
	return false
}

// private reports whether what ctx reads of the entry may be what its own unit of work has
// changed and not committed. The hooks cannot tell one unit from another, so that of a name
// which any unit of this process has changed all units read what they find themselves.
func (c *core) private(ctx context.Context, sp *spec) bool {
	return c.dirty.has(sp.key, sp.tags) && c.inUnit(ctx)
}

// privateTags is private of a value's own tags.
func (c *core) privateTags(ctx context.Context, own []string) bool {
	return c.dirty.has("", own) && c.inUnit(ctx)
}

// secluded reports whether a load that may name tags, of a request that nobody knows to be
// private, may be all the same: the unit of ctx, or another, has changed what is behind a tag.
func (c *core) secluded(ctx context.Context, sp *spec) bool {
	return sp.asks && c.dirty.tags.Load() > 0 && c.inUnit(ctx)
}

// inUnit is only asked while there are names in dirty, and so hooks.
func (c *core) inUnit(ctx context.Context) bool {
	return c.opts.hooks().OnCommit(ctx, func(context.Context) {})
}
