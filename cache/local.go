package cache

import (
	"context"
	"hash/maphash"
	"math"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
)

// local is the level in process memory, one for all caches of a hub, so that they compete for
// one budget. It only keeps and evicts: whether an item may still be served is decided by its
// mark and its time at each read, which is what makes forgetting everything one increment.
//
// Its keys are hashes of typed keys, because a hash fits every type and costs no allocation;
// an item knows its key, so that two keys with one hash are two misses and no mistake.
type local struct {
	items *otter.Cache[uint64, localItem]
}

// localItem is an *item of some type.
type localItem interface{ weight() int }

// item is a decoded value in memory. It is never changed after it was put.
type item[V any] struct {
	space    *space[V]
	id       any // *localKey of the cache's key type
	value    V
	notFound bool
	stored   time.Time
	fresh    time.Duration // on core.now, end of freshness
	mark     mark
	own      []string // tags of the value's own, for units of work
	size     int      // of the value in the store, and of its key
}

// itemOverhead is roughly what an entry costs beside its key and encoded value.
const itemOverhead = 320

func (it *item[V]) weight() int { return it.size + itemOverhead }

func (it *item[V]) get() (v V, err error) {
	if it.notFound {
		return v, ErrNotFound
	}
	return it.value, nil
}

// localKey is what memory knows a value of one cache by.
type localKey[K comparable] struct {
	tenant string
	key    K
}

func newLocal(bytes int64) (*local, error) {
	items, err := otter.New(&otter.Options[uint64, localItem]{
		MaximumWeight: uint64(bytes),
		Weigher:       func(_ uint64, it localItem) uint32 { return uint32(min(it.weight(), math.MaxUint32)) },
		Executor:      func(f func()) { f() }, // no goroutine that nobody waits for
	})
	if err != nil {
		return nil, err
	}
	return &local{items: items}, nil
}

// hash is different for each cache, by its seed.
func (id *localKey[K]) hash(seed maphash.Seed) uint64 {
	if id.tenant == "" {
		return maphash.Comparable(seed, id.key)
	}
	return maphash.Comparable(seed, *id)
}

// own returns a copy that does not keep alive what its string was cut from.
func (id localKey[K]) own() *localKey[K] {
	if s, ok := any(&id.key).(*string); ok {
		*s = strings.Clone(*s)
	}
	return &id
}

// fromLocal answers from memory, if that may be trusted now.
func fromLocal[K comparable, V any](ctx context.Context, s *space[V], id *localKey[K]) *item[V] {
	hash := id.hash(s.seed)
	found, ok := s.local.items.GetIfPresent(hash)
	if !ok {
		return nil
	}
	it, ok := found.(*item[V])
	if !ok || it.space != s {
		return nil
	}
	if held, ok := it.id.(*localKey[K]); !ok || *held != *id {
		return nil
	}
	now := s.late()
	if now >= it.fresh || !s.coherence.holds(&it.mark, now) {
		return nil
	}
	s.countLocal(ctx, hash)
	return it
}

// putLocal keeps an item.
func (s *space[V]) putLocal(sp *spec, it *item[V]) {
	if !s.coherence.holds(&it.mark, s.now()) {
		return
	}
	it.space, it.id = s, sp.local
	s.local.items.Set(sp.hash, it)
}
