package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// A Hub is what the caches of one process share: the store, the memory for local values and
// the connection that keeps those coherent. Make it with [New]; usually there is one per
// program. It is safe for concurrent use.
type Hub struct {
	*core
	tenantless bool
}

// core is the state behind a Hub and its Shared view.
type core struct {
	store Store
	opts  *Options
	clock
	bounds bounds

	coherence coherence
	local     *local // nil when off
	waiters   waiters
	pending   pending
	dirty     dirty
	unsettled unsettled
	recent    recent
	breaker   breaker
	work      group         // loads, which may outlive their callers
	refreshes chan struct{} // semaphore of loads in the background

	mu    sync.Mutex
	names map[string]bool
	bytes *space[[]byte]

	tallies     []*tally
	storeErrors atomic.Int64
}

const maxRefreshes = 64

// New makes a hub over store, which the caller keeps. Nil opts means the defaults. The hub
// works at once; values are kept in process memory only while [Hub.Run] runs.
func New(store Store, opts *Options) (*Hub, error) {
	switch {
	case store == nil:
		return nil, errors.New("cache: New: store is nil")
	case opts.maxStaleness() < 10*time.Millisecond:
		return nil, errors.New("cache: New: Options.MaxStaleness is under 10ms; to switch the local level off, set LocalBytes to -1")
	case opts.lease() < 10*time.Millisecond:
		return nil, errors.New("cache: New: Options.Lease is under 10ms")
	case opts.holdTTL() < 100*time.Millisecond:
		return nil, errors.New("cache: New: Options.HoldTTL is under 100ms")
	}
	c := &core{
		store:     store,
		opts:      opts,
		clock:     newClock(),
		refreshes: make(chan struct{}, maxRefreshes),
		names:     make(map[string]bool),
	}
	c.coherence.init()
	if n := opts.localBytes(); n > 0 {
		l, err := newLocal(n)
		if err != nil {
			return nil, fmt.Errorf("cache: New: local level: %w", err)
		}
		c.local = l
	}
	c.bytes = newSpace[[]byte](c, bytesName, &Policy{})
	return &Hub{core: c}, nil
}

// Shared returns a view of the hub for data that belongs to no tenant, such as plans or
// exchange rates: caches defined on it, and its GetOrLoad, never ask Options.Tenant. Both
// views have the same store, memory and Run. Without Options.Tenant it is the hub itself.
//
// What one tenant's request loads there is served to all: such a load must not read what
// depends on the tenant of its context.
func (h *Hub) Shared() *Hub {
	if h.opts.tenant() == nil {
		return h
	}
	return &Hub{core: h.core, tenantless: true}
}

// tenantOf returns the tenant that keys of ctx belong to: empty for none, by configuration.
func (h *Hub) tenantOf(ctx context.Context) (string, error) {
	f := h.opts.tenant()
	if f == nil || h.tenantless {
		return "", nil
	}
	id, ok := f(ctx)
	if !ok || id == "" {
		return "", ErrNoTenant
	}
	return id, nil
}

// reserve takes a name for one cache.
func (c *core) reserve(name string) error {
	if !nameRule.MatchString(name) {
		return fmt.Errorf("name %q: want 1 to 64 letters, digits, '.', '_' or '-'", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names[name] {
		return fmt.Errorf("name %q is taken", name)
	}
	c.names[name] = true
	return nil
}

func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// outcome tells the breaker, and once per change the log, how the store is doing.
func (c *core) outcome(ctx context.Context, op string, err error) {
	if err == nil {
		if c.breaker.succeeded() {
			c.opts.logger().InfoContext(ctx, "cache: store is back")
		}
		return
	}
	c.storeFailed(ctx, op)
	c.suspect()
	if c.breaker.failed() {
		c.opts.logger().ErrorContext(ctx, "cache: store is failing; loading without it", "op", op, "error", err)
		c.opts.report(ctx, fmt.Errorf("cache: store is failing: %s: %w", op, err), nil)
	}
}

// storeFailed counts a call of the store that failed.
func (c *core) storeFailed(ctx context.Context, op string) {
	c.storeErrors.Add(1)
	c.opts.count(ctx, "cache.store_errors", "op", op)
}

// newSpace makes the untyped-key half of a cache.
func newSpace[V any](c *core, name string, p *Policy) *space[V] {
	t := newTally(name)
	c.mu.Lock()
	c.tallies = append(c.tallies, t)
	c.mu.Unlock()
	return &space[V]{
		slots:    newSlots(p.maxLoads()),
		core:     c,
		name:     name,
		tally:    t,
		seed:     maphash.MakeSeed(),
		schema:   schemaOf(reflect.TypeFor[V](), p.Codec),
		format:   format{codec: p.Codec, over: max(p.CompressOver, 0)},
		flights:  make(map[string]*flight[V]),
		renewing: make(map[string]bool),
	}
}
