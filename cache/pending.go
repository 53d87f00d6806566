package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

const maxPending = 10_000

// pending remembers the invalidations that did not get through to the store. As long as a
// name is in it, this process neither reads nor fills entries that depend on the name.
type pending struct {
	count atomic.Int64 // of names, so that who finds none need not lock

	mu    sync.Mutex
	turn  uint64            // of the latest add
	names map[string]uint64 // "k"+key or "t"+tag → turn
	next  time.Duration     // of a retry, on core.now
}

// add remembers names; too many are replaced by the tag that covers all of them.
func (p *pending) add(keys, tags []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn++
	if p.names == nil {
		p.names = make(map[string]uint64)
	}
	for _, k := range keys {
		p.names["k"+k] = p.turn
	}
	for _, t := range tags {
		p.names["t"+t] = p.turn
	}
	if len(p.names) > maxPending {
		p.names = map[string]uint64{"t" + scopeAll: p.turn}
	}
	p.count.Store(int64(len(p.names)))
}

func (p *pending) blocks(key string, tags []string) bool {
	if p.count.Load() == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.names["k"+key]; ok {
		return true
	}
	for _, t := range tags {
		if _, ok := p.names["t"+t]; ok {
			return true
		}
	}
	return false
}

func (p *pending) len() int { return int(p.count.Load()) }

// due returns what is to be retried, with the turn to pass to settle; 0 for nothing now.
func (p *pending) due(now time.Duration) (keys, tags []string, turn uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.names) == 0 || now < p.next {
		return nil, nil, 0
	}
	p.next = now + time.Second
	for name := range p.names {
		if name[0] == 'k' {
			keys = append(keys, name[1:])
		} else {
			tags = append(tags, name[1:])
		}
	}
	return keys, tags, p.turn
}

// settle forgets what was added up to turn: it has got through. What was added again since
// belongs to a later change of the data and stays.
func (p *pending) settle(turn uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, t := range p.names {
		if t <= turn {
			delete(p.names, name)
		}
	}
	p.count.Store(int64(len(p.names)))
}
