package httpxtest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/httpx"
)

// Cache is an httpx.Cache and httpx.Invalidator in memory. The zero value is ready for use and scoped by nothing. It never evicts.
type Cache struct {
	// Tenant scopes keys and tags. Nil means one tenant. Set it before the first use.
	Tenant func(context.Context) (id string, ok bool)

	mu      sync.Mutex
	entries map[string]*entry
	flights map[string]*flight
	epoch   int // counts invalidations: a load that began before one must not store
	stamps  map[string]int
	err     error
	invErr  error
	loads   int
}

var (
	_ httpx.Cache       = (*Cache)(nil)
	_ httpx.Invalidator = (*Cache)(nil)
)

type entry struct {
	val    []byte
	stored time.Time
	tags   []string
	epoch  int
}

type flight struct {
	done  chan struct{}
	entry *entry
	err   error
	kept  bool // entry is stored
	epoch int
}

// Fail makes GetOrLoad and InvalidateTags return err until Fail(nil).
func (c *Cache) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// FailInvalidations makes only InvalidateTags return err, until FailInvalidations(nil).
func (c *Cache) FailInvalidations(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invErr = err
}

// Loads returns how many loads were started.
func (c *Cache) Loads() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loads
}

// Keys returns how many values are held, over all tenants.
func (c *Cache) Keys() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

// GetOrLoad implements httpx.Cache.
func (c *Cache) GetOrLoad(ctx context.Context, key string, fresh, stale time.Duration, tags []string,
	load func(context.Context) ([]byte, error),
) (val []byte, stored time.Time, status string, err error) {
	prefix, err := c.prefix(ctx)
	if err != nil {
		return nil, time.Time{}, "", err
	}
	key, tags = prefix+key, prefixed(prefix, tags)
	c.mu.Lock()
	if err := c.err; err != nil {
		c.mu.Unlock()
		return nil, time.Time{}, "", err
	}
	if e := c.valid(key); e != nil {
		switch age := time.Since(e.stored); {
		case age < fresh:
			c.mu.Unlock()
			return e.val, e.stored, "hit", nil
		case age < fresh+stale:
			c.start(ctx, key, tags, load)
			c.mu.Unlock()
			return e.val, e.stored, "stale", nil
		}
	}
	f, mine := c.start(ctx, key, tags, load)
	c.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, time.Time{}, "", context.Cause(ctx)
	}
	if f.err != nil {
		return nil, time.Time{}, "", f.err
	}
	switch {
	case !mine:
		status = "collapsed"
	case f.kept:
		status = "miss"
	default:
		status = "unstored"
	}
	return f.entry.val, f.entry.stored, status, nil
}

// InvalidateTags implements httpx.Invalidator.
func (c *Cache) InvalidateTags(ctx context.Context, tags ...string) error {
	prefix, err := c.prefix(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(ctx.Err(), c.err, c.invErr); err != nil {
		return err
	}
	c.epoch++
	if c.stamps == nil {
		c.stamps = map[string]int{}
	}
	for _, tag := range prefixed(prefix, tags) {
		c.stamps[tag] = c.epoch
	}
	return nil
}

// valid returns the entry of key unless one of its tags was invalidated since its load began.
func (c *Cache) valid(key string) *entry {
	e := c.entries[key]
	if e == nil || c.outdated(e.tags, e.epoch) {
		return nil
	}
	return e
}

func (c *Cache) outdated(tags []string, epoch int) bool {
	for _, tag := range tags {
		if c.stamps[tag] > epoch {
			return true
		}
	}
	return false
}

// start joins the running load of key or begins one; c.mu is held.
func (c *Cache) start(ctx context.Context, key string, tags []string, load func(context.Context) ([]byte, error)) (f *flight, mine bool) {
	if f := c.flights[key]; f != nil && !c.outdated(tags, f.epoch) {
		return f, false
	}
	f = &flight{done: make(chan struct{}), epoch: c.epoch}
	if c.flights == nil {
		c.flights, c.entries = map[string]*flight{}, map[string]*entry{}
	}
	c.flights[key] = f
	c.loads++
	go c.run(context.WithoutCancel(ctx), f, key, tags, load)
	return f, true
}

// run ends when load returns; whoever needs the result waits for done.
func (c *Cache) run(ctx context.Context, f *flight, key string, tags []string, load func(context.Context) ([]byte, error)) {
	val, err := load(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	f.entry, f.err = &entry{val: val, stored: time.Now(), tags: tags, epoch: f.epoch}, err
	if f.kept = err == nil && !c.outdated(tags, f.epoch); f.kept {
		c.entries[key] = f.entry
	}
	if c.flights[key] == f {
		delete(c.flights, key)
	}
	close(f.done)
}

func (c *Cache) prefix(ctx context.Context) (string, error) {
	if c.Tenant == nil {
		return "", nil
	}
	id, ok := c.Tenant(ctx)
	if !ok || id == "" {
		return "", errors.New("httpxtest: the cache is scoped by tenant and the context has none")
	}
	return id + "\x00", nil
}

func prefixed(prefix string, tags []string) []string {
	out := make([]string, len(tags))
	for i, tag := range tags {
		out[i] = prefix + tag
	}
	return out
}
