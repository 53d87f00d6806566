package cache

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// Stats is what a hub of this process has counted since it was made, and how it is doing.
type Stats struct {
	Up           time.Duration // since the hub was made
	Coherent     bool          // values in memory are trusted now
	CoherenceAge time.Duration // since the sending of the last beat that came back; 0 if none came since contact was lost
	StoreFailing bool          // reads go around the store
	StoreErrors  int64         // calls of the store that failed
	Pending      int           // invalidations that the store has not confirmed
	LocalEntries int           // in memory
	LocalBytes   int64         // of Options.LocalBytes
	Caches       []CacheStats  // by name
}

// CacheStats is what one cache of a hub has counted in this process.
type CacheStats struct {
	Name       string // empty for Hub.GetOrLoad
	LocalHits  int64  // answered from memory
	StoreHits  int64  // answered from the store with a fresh value
	Stale      int64  // answered with an old value
	Loads      int64  // under a lease
	Bypasses   int64  // loads around the store, which are not kept
	LoadErrors int64  // loads of both kinds that ended in an error other than ErrNotFound
	Collapsed  int64  // callers who got the load of another in this process
	Early      int64  // reads that asked for a refresh before the value's end
	Shed       int64  // loads that found no turn, see Policy.MaxLoads
	Rejected   int64  // loads whose value was not kept, most often because it was invalidated meanwhile
}

// Stats returns the counts so far; those of one cache may be a moment apart.
func (h *Hub) Stats() Stats {
	now := h.now()
	s := Stats{
		Up:           now,
		StoreFailing: h.breaker.open(),
		StoreErrors:  h.storeErrors.Load(),
		Pending:      h.pending.len(),
	}
	if until := h.coherence.trusted.Load(); until != 0 {
		bound := h.opts.maxStaleness()
		s.Coherent = int64(now) < until
		s.CoherenceAge = now - time.Duration(until) + bound - bound/8
	}
	if h.local != nil {
		h.local.items.CleanUp()
		s.LocalEntries, s.LocalBytes = h.local.items.EstimatedSize(), int64(h.local.items.WeightedSize())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.tallies {
		s.Caches = append(s.Caches, t.stats())
	}
	slices.SortFunc(s.Caches, func(a, b CacheStats) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// metric is an event that is counted.
type metric uint8

const (
	hits metric = iota // of the store
	stale
	misses
	bypasses
	loadErrors
	collapsed
	earlies
	shed
	rejected
	metrics
)

// metricNames are what Options.Metrics knows them by.
var metricNames = [metrics]string{
	"cache.hits", "cache.stale", "cache.misses", "cache.bypasses", "cache.load_errors",
	"cache.collapsed", "cache.early", "cache.shed", "cache.rejected_fills",
}

// tally counts what happens to one cache.
type tally struct {
	name   string
	l1, l2 []string // labels of hits
	labels []string // of all else
	counts [metrics]atomic.Int64
	local  [8]stripe
}

// stripe keeps a counter away from others, which other processors may be writing.
type stripe struct {
	atomic.Int64
	_ [56]byte
}

func newTally(name string) *tally {
	return &tally{
		name:   name,
		l1:     []string{"cache", name, "level", "l1"},
		l2:     []string{"cache", name, "level", "l2"},
		labels: []string{"cache", name},
	}
}

func (s *space[V]) count(ctx context.Context, m metric) {
	s.tally.counts[m].Add(1)
	if m == hits {
		s.opts.count(ctx, metricNames[m], s.tally.l2...)
		return
	}
	s.opts.count(ctx, metricNames[m], s.tally.labels...)
}

// countLocal counts a hit in memory, for which even a contended counter would be a price.
func (s *space[V]) countLocal(ctx context.Context, hash uint64) {
	s.tally.local[hash%uint64(len(s.tally.local))].Add(1)
	s.opts.count(ctx, "cache.hits", s.tally.l1...)
}

func (t *tally) stats() CacheStats {
	n := func(m metric) int64 { return t.counts[m].Load() }
	c := CacheStats{
		Name: t.name, StoreHits: n(hits), Stale: n(stale), Loads: n(misses), Bypasses: n(bypasses), LoadErrors: n(loadErrors),
		Collapsed: n(collapsed), Early: n(earlies), Shed: n(shed), Rejected: n(rejected),
	}
	if c.Name == bytesName {
		c.Name = ""
	}
	for i := range t.local {
		c.LocalHits += t.local[i].Load()
	}
	return c
}
