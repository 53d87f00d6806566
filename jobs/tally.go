package jobs

import (
	"math/bits"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// count adds a finished attempt to the tally.
func (p *pool) count(a *attempt) {
	switch a.out.Action {
	case driver.Finish:
		p.tally.Finished++
	case driver.Retry:
		p.tally.Failed++
	case driver.Bury:
		p.tally.Failed++
		p.tally.Buried++
	}
	p.tally.Run[bucket(a.took)]++
	if a.waited >= 0 {
		p.tally.Wait[bucket(a.waited)]++
	}
}

// bucket is the one of driver.Histogram that d belongs to.
func bucket(d time.Duration) int {
	return min(bits.Len64(uint64(max(d, 0)/time.Millisecond)), len(driver.Histogram{})-1)
}

// takeTally returns what was counted since the last time, or nil.
func (p *pool) takeTally() *driver.Tally {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tally
	p.tally = driver.Tally{}
	if t == (driver.Tally{}) {
		return nil
	}
	return &t
}

// giveTally takes one back that did not arrive. If only the answer got lost it
// is counted twice: figures for people may be off by a beat.
func (p *pool) giveTally(t *driver.Tally) {
	if t == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tally.Finished += t.Finished
	p.tally.Failed += t.Failed
	p.tally.Buried += t.Buried
	for i := range t.Run {
		p.tally.Run[i] += t.Run[i]
		p.tally.Wait[i] += t.Wait[i]
	}
}
