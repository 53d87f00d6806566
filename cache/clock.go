package cache

import (
	"sync/atomic"
	"time"
)

// tick is how exact clock.late is.
const tick = 2 * time.Millisecond

// clock tells the time since the hub was made, monotonic and never 0, which means "never".
//
// A hit in memory must ask for the time, and reading the machine's clock would cost as much
// as all the rest of the hit. So readers share a reading that a timer renews as long as
// somebody uses it.
type clock struct {
	base   time.Time
	shared atomic.Int64 // the latest reading; 0 while nobody uses it
	used   atomic.Bool  // since that reading
}

func newClock() clock { return clock{base: time.Now().Add(-1)} }

// now is exact.
func (c *clock) now() time.Duration { return time.Since(c.base) }

// late is cheap: a moment not before now and less than three ticks after it, as long as
// timers are not late by more than a tick.
func (c *clock) late() time.Duration {
	if r := c.shared.Load(); r != 0 {
		if !c.used.Load() { // else writing it would be a conflict of all readers
			c.used.Store(true)
		}
		return time.Duration(r) + 2*tick
	}
	return c.share()
}

func (c *clock) share() time.Duration {
	now := c.now()
	if c.shared.CompareAndSwap(0, int64(now)) {
		time.AfterFunc(tick, c.advance)
	}
	return now
}

func (c *clock) advance() {
	if !c.used.Swap(false) {
		c.shared.Store(0)
		return
	}
	c.shared.Store(int64(c.now()))
	time.AfterFunc(tick, c.advance)
}
