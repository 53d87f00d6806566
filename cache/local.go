package cache

import (
	"math"
	"time"

	"github.com/maypok86/otter/v2"
)

// local is the level in process memory. It only keeps and evicts: whether an item may still
// be served is decided by its mark and its time at each read.
type local struct {
	items *otter.Cache[string, *item]
}

// item is a value in memory. It is never changed after it was put.
type item struct {
	value    any // of the cache's type V, unless notFound
	notFound bool
	stored   time.Time
	fresh    time.Duration // on core.now, end of freshness
	mark     mark
	size     int
}

// itemOverhead is roughly what an entry costs beside its key and encoded value.
const itemOverhead = 256

func newLocal(bytes int64) (*local, error) {
	items, err := otter.New(&otter.Options[string, *item]{
		MaximumWeight: uint64(bytes),
		Weigher: func(key string, it *item) uint32 {
			return uint32(min(len(key)+it.size+itemOverhead, math.MaxUint32))
		},
		Executor: func(f func()) { f() }, // no goroutine that nobody waits for
	})
	if err != nil {
		return nil, err
	}
	return &local{items: items}, nil
}

func (l *local) get(key string) (*item, bool) { return l.items.GetIfPresent(key) }
func (l *local) put(key string, it *item)     { l.items.Set(key, it) }
func (l *local) drop(key string)              { l.items.Invalidate(key) }
