package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	mrand "math/rand/v2"
	"sync/atomic"
	"time"
)

// coherence decides whether values in memory may be trusted.
//
// Every item carries a mark, taken before its value was read from the store. Each
// invalidation that becomes known moves the generation of its slot, and with it every mark
// that depends on the slot stops matching. Two names may share a slot; that costs a read.
//
// Invalidations by other processes arrive as messages, which can be lost without a sign. So
// the hub sends beats along the same way, and trusts memory only until MaxStaleness, less an
// eighth, after the sending of the last beat that came back: whatever was invalidated before
// that beat has arrived before it.
type coherence struct {
	seed    maphash.Seed
	slots   [1 << 14]atomic.Uint64
	epoch   atomic.Uint64 // moves whenever a message may have been missed
	trusted atomic.Int64  // end of trust on core.now, in ns; 0 for none
	ticks   atomic.Uint64 // order of events within this process, see space.fetch
	running atomic.Bool
	ready   chan struct{} // a session became ready to be beaten
}

// mark is a snapshot of all that can invalidate one item.
type mark struct {
	epoch uint64
	sum   uint64
	n     int
	few   [6]uint32 // the slots, if that many
	many  []uint32
}

func (m *mark) slots() []uint32 {
	if m.n <= len(m.few) {
		return m.few[:m.n]
	}
	return m.many
}

func (c *coherence) init() {
	c.seed = maphash.MakeSeed()
	c.ready = make(chan struct{}, 1)
}

func (c *coherence) slot(name string) uint32 {
	return uint32(maphash.String(c.seed, name) % uint64(len(c.slots)))
}

func (c *coherence) mark(key string, tags []string) mark {
	m := mark{epoch: c.epoch.Load(), n: 1 + len(tags)}
	if m.n > len(m.few) {
		m.many = make([]uint32, m.n)
	}
	slots := m.slots()
	slots[0] = c.slot(key)
	for i, t := range tags {
		slots[i+1] = c.slot(t)
	}
	m.sum = c.sum(slots)
	return m
}

// extend makes m depend on further tags, from now on: with whatever says that they were good then
// (the store, asked afterwards) the extended mark is as good as one of all names at once.
func (c *coherence) extend(m mark, tags []string) mark {
	if m.n == 0 || len(tags) == 0 { // memory is not in use, or nothing to add
		return m
	}
	slots := make([]uint32, 0, m.n+len(tags))
	slots = append(slots, m.slots()...)
	for _, t := range tags {
		slots = append(slots, c.slot(t))
	}
	m.sum += c.sum(slots[m.n:])
	if m.n = len(slots); copy(m.few[:], slots) < m.n {
		m.many = slots
	}
	return m
}

// sum changes if any generation does, because generations only grow.
func (c *coherence) sum(slots []uint32) (sum uint64) {
	for _, s := range slots {
		sum += c.slots[s].Load()
	}
	return sum
}

// holds reports whether nothing is known, or may have been missed, that invalidates m.
func (c *coherence) holds(m *mark, now time.Duration) bool {
	return int64(now) < c.trusted.Load() && m.epoch == c.epoch.Load() && m.sum == c.sum(m.slots())
}

func (c *coherence) touch(names ...string) {
	for _, n := range names {
		c.slots[c.slot(n)].Add(1)
	}
}

func (c *coherence) distrust() {
	c.trusted.Store(0)
	c.epoch.Add(1)
}

// Run keeps values in process memory coherent with the store, and retries invalidations that
// did not get through. Without it, or while it has no contact, the hub works from the store
// alone, and whoever waits for a load of another process looks for its value at intervals of
// up to 250 ms. It blocks until ctx ends, then waits for the loads that began before (each
// bounded by its Policy.LoadTimeout) and returns nil. A second Run meanwhile returns [ErrRunning].
func (h *Hub) Run(ctx context.Context) error {
	if !h.coherence.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer h.coherence.running.Store(false)
	defer h.work.wait()
	const first, last = 50 * time.Millisecond, 2 * time.Second
	pause, lost := first, false
	for ctx.Err() == nil {
		established, err := h.session(ctx)
		h.coherence.distrust()
		h.suspect()
		if ctx.Err() != nil {
			break
		}
		if established {
			pause, lost = first, false
		}
		if !lost {
			lost = true
			h.opts.logger().WarnContext(ctx, "cache: coherence lost; the local level is off", "error", err)
			h.opts.report(ctx, fmt.Errorf("cache: coherence lost: %w", err), nil)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + mrand.N(pause)):
		}
		pause = min(2*pause, last)
	}
	return nil
}

var errSilent = errors.New("cache: beats do not come back")

// session watches the store once, until contact is lost or ctx ends.
func (h *Hub) session(ctx context.Context) (established bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	node := rand.Text()
	bound := h.opts.maxStaleness()
	var came atomic.Int64 // when the last beat came back
	select {
	case <-h.coherence.ready:
	default:
	}
	ended := make(chan error, 1)
	go func() {
		ended <- h.store.Watch(ctx, node, func(e Event) {
			if h.handle(ctx, e, bound) {
				came.Store(int64(h.now()))
			}
		})
	}()
	ticker := time.NewTicker(min(bound/4, time.Second))
	defer ticker.Stop()
	since := h.now()
	for {
		select {
		case err := <-ended:
			if err == nil {
				err = context.Cause(ctx)
			}
			return came.Load() > 0, err
		case <-h.coherence.ready:
		case <-ticker.C:
		}
		if last := max(since, time.Duration(came.Load())); h.now()-last > 2*bound {
			cancel()
			<-ended
			return came.Load() > 0, errSilent
		}
		h.beat(ctx, node, bound)
	}
}

// beat sends a beat that says when it was sent, and uses the occasion to retry what is due.
func (h *Hub) beat(ctx context.Context, node string, bound time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if err := h.store.Beat(ctx, node, int64(h.now())); err != nil {
		h.suspect()
		return
	}
	h.settleUnknown(ctx)
	h.flush(ctx)
}

// handle applies an event and reports whether it was a beat.
func (c *core) handle(ctx context.Context, e Event, bound time.Duration) bool {
	switch e.Kind {
	case EventReady:
		select {
		case c.coherence.ready <- struct{}{}:
		default:
		}
	case EventInvalidated:
		c.coherence.touch(e.Name)
		c.waiters.wake(e.Name)
	case EventStamped:
		c.coherence.touch(e.Name)
	case EventFilled:
		c.waiters.wake(e.Name)
	case EventBeat:
		now := c.now()
		if sent := time.Duration(e.N); sent <= 0 || sent > now {
			return false // not ours
		}
		if int64(now) >= c.coherence.trusted.Load() {
			// What was put in memory while there was no trust may have missed messages.
			c.coherence.epoch.Add(1)
			c.opts.logger().DebugContext(ctx, "cache: coherent; the local level is on")
		}
		c.coherence.trusted.Store(e.N + int64(bound-bound/8)) // the eighth is for timers that are late, see clock
		return true
	}
	return false
}
