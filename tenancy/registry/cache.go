package registry

import (
	"context"
	"errors"
	"sync"
	"time"
)

// loadTimeout bounds a load, so that a silent database cannot hold all requests of a tenant for ever.
const loadTimeout = 5 * time.Second

var errLoad = errors.New("registry: looking the tenant up panicked")

// reference is what a source found in a request: the kind and the name of a row of registry.names, or a tenant's id.
type reference struct{ kind, name string }

// lookups is a bounded cache of what references lead to, in this process. Concurrent misses of one reference cost one load.
// Answers and refusals have separate room, so that a flood of names that do not exist cannot push out those that do.
type lookups[V any] struct {
	max int

	mu      sync.RWMutex
	known   map[reference]lookup[V]
	unknown map[reference]lookup[V]
	loading map[reference]*loading[V]
	era     uint64 // counts invalidations: what was loaded across one is not kept
}

// lookup is a cached answer or refusal.
type lookup[V any] struct {
	value   *V
	err     error
	expires time.Time
}

type loading[V any] struct {
	done  chan struct{}
	value *V
	err   error
}

func newLookups[V any](max int) *lookups[V] {
	return &lookups[V]{
		max: max, known: map[reference]lookup[V]{}, unknown: map[reference]lookup[V]{}, loading: map[reference]*loading[V]{},
	}
}

// get returns what the cache holds; ok is false when it has to be loaded.
func (l *lookups[V]) get(ref reference, now time.Time) (value *V, err error, ok bool) {
	l.mu.RLock()
	e, ok := l.known[ref]
	if !ok {
		e, ok = l.unknown[ref]
	}
	l.mu.RUnlock()
	if !ok || !now.Before(e.expires) {
		return nil, nil, false
	}
	return e.value, e.err, true
}

// fetch is get, then load. load gets a context that outlives the caller's, since others wait for its result too; it returns
// how long its result, value or error, may be kept.
func (l *lookups[V]) fetch(ctx context.Context, ref reference, load func(context.Context) (*V, time.Duration, error)) (*V, error) {
	if value, err, ok := l.get(ref, time.Now()); ok {
		return value, err
	}
	l.mu.Lock()
	if c := l.loading[ref]; c != nil {
		l.mu.Unlock()
		select {
		case <-c.done:
			return c.value, c.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	c := &loading[V]{done: make(chan struct{}), err: errLoad}
	l.loading[ref] = c
	era := l.era
	l.mu.Unlock()

	keep, asked := time.Duration(0), time.Now() // it may have changed since it was asked for
	defer func() {                              // also when load panics: nobody may wait for ever
		l.mu.Lock()
		if l.loading[ref] == c {
			delete(l.loading, ref)
		}
		if expires := asked.Add(keep); time.Now().Before(expires) && l.era == era {
			l.put(ref, lookup[V]{c.value, c.err, expires})
		}
		l.mu.Unlock()
		close(c.done)
	}()
	loadCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
	defer cancel()
	c.value, keep, c.err = load(loadCtx)
	return c.value, c.err
}

// put stores an answer. The caller holds mu.
func (l *lookups[V]) put(ref reference, e lookup[V]) {
	room, other := l.known, l.unknown
	if e.err != nil {
		room, other = l.unknown, l.known
	}
	delete(other, ref)
	if _, replaces := room[ref]; !replaces && len(room) >= l.max {
		evict(room)
	}
	room[ref] = e
}

// evict removes the one of a few arbitrary entries that expires first.
func evict[V any](room map[reference]lookup[V]) {
	var victim reference
	var first time.Time
	n := 0
	for ref, e := range room {
		if n == 0 || e.expires.Before(first) {
			victim, first = ref, e.expires
		}
		if n++; n == 8 {
			break
		}
	}
	delete(room, victim)
}

// drop forgets the answers that match, and all refusals: what did not exist may have come into being. Loads under way are
// answered but not kept, and whoever asks from now on loads anew.
func (l *lookups[V]) drop(match func(reference, *V) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.era++
	for ref, e := range l.known {
		if match(ref, e.value) {
			delete(l.known, ref)
		}
	}
	clear(l.unknown)
	clear(l.loading)
}
