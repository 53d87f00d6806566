package ratelimit

import (
	"container/heap"
	"context"
	"math"
	"sync"
	"time"
)

// MemoryOptions configures [NewMemory]; nil and the zero value are ready for use.
type MemoryOptions struct {
	// Size is how many buckets are kept at most. Zero or negative means 65536, of some 200 bytes each.
	Size int
}

// Memory is a [Store] in this process: for tests, for programs that run once, and for a while where the common store is
// away. It keeps no bucket that is full. When it has no room for another one it forgets the one that would be full first,
// so a flood of new keys drives out what says least. It uses the monotonic clock, which is virtual in a testing/synctest
// bubble.
type Memory struct {
	size  int
	start time.Time

	mu      sync.Mutex
	buckets map[string]*bucket
	first   byEnd
}

var _ Store = (*Memory)(nil)

// bucket is full at end, of the store's clock.
type bucket struct {
	id        string
	end       Span
	rate, per int64 // of the take that left it so
	at        int   // in the heap
}

// NewMemory makes an empty store.
func NewMemory(opts *MemoryOptions) *Memory {
	m := &Memory{size: 1 << 16, start: time.Now(), buckets: map[string]*bucket{}}
	if opts != nil && opts.Size > 0 {
		m.size = opts.Size
	}
	return m
}

// Take implements [Store]. It fails only when ctx has ended.
func (m *Memory) Take(ctx context.Context, group string, takes []Take) ([]Span, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Since(m.start).Microseconds()
	backlogs, taken := make([]Span, len(takes)), true
	for i, t := range takes {
		b := m.backlog(now, group, t)
		backlogs[i] = b
		if t.Add != (Span{}) && t.Room.less(b.plus(t.Add, t.Rate)) {
			taken = false
		}
	}
	if !taken {
		return backlogs, false, nil
	}
	for i, t := range takes {
		backlogs[i] = backlogs[i].plus(t.Add, t.Rate)
		m.keep(now, bucketID(group, t.Key), backlogs[i], t)
	}
	return backlogs, true, nil
}

// Reset implements [Store]. It fails only when ctx has ended.
func (m *Memory) Reset(ctx context.Context, group string, keys []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		if b := m.buckets[bucketID(group, key)]; b != nil {
			m.forget(b)
		}
	}
	return nil
}

func bucketID(group, key string) string { return group + " " + key }

// backlog is what a bucket has now, in the parts of the take and no more than there can be.
func (m *Memory) backlog(now int64, group string, t Take) Span {
	b := m.buckets[bucketID(group, t.Key)]
	if b == nil {
		return Span{}
	}
	s := Span{b.end.Micros - now, b.end.Parts}
	if s.Micros < 0 {
		return Span{}
	}
	most := t.Room
	if most.less(t.most) {
		most = t.most
	}
	if b.rate != t.Rate || b.per != t.Per {
		micros := float64(s.Micros) + float64(s.Parts)/float64(b.rate)
		micros = math.Ceil(micros * (float64(t.Per) * float64(b.rate)) / (float64(t.Rate) * float64(b.per)))
		s = Span{int64(min(micros, float64(most.Micros)+1)), 0}
	}
	if most.less(s) {
		m.keep(now, b.id, most, t)
		return most
	}
	return s
}

// keep stores a backlog, unless it is nothing.
func (m *Memory) keep(now int64, id string, s Span, t Take) {
	for len(m.first) > 0 && m.first[0].end.Micros < now {
		m.forget(m.first[0])
	}
	b := m.buckets[id]
	switch {
	case s == Span{} && b == nil:
		return
	case b == nil:
		if len(m.buckets) >= m.size {
			m.forget(m.first[0])
		}
		b = &bucket{id: id}
		m.buckets[id] = b
		heap.Push(&m.first, b)
	}
	b.end, b.rate, b.per = Span{now + s.Micros, s.Parts}, t.Rate, t.Per
	heap.Fix(&m.first, b.at)
}

func (m *Memory) forget(b *bucket) {
	heap.Remove(&m.first, b.at)
	delete(m.buckets, b.id)
}

// byEnd is a heap with the bucket that is full first at its top.
type byEnd []*bucket

func (h byEnd) Len() int           { return len(h) }
func (h byEnd) Less(i, j int) bool { return h[i].end.less(h[j].end) }
func (h byEnd) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push and Pop are heap.Interface.
func (h *byEnd) Push(x any) {
	b := x.(*bucket)
	b.at = len(*h)
	*h = append(*h, b)
}

func (h *byEnd) Pop() any {
	last := len(*h) - 1
	b := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	return b
}
