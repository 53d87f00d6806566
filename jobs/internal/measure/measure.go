// Package measure is what promjobs and oteljobs say in the same words, so that a
// dashboard for the one reads like one for the other.
package measure

import (
	"context"
	"sync"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Store is where the depths of a queue are read.
type Store interface {
	Stats(ctx context.Context) (driver.Stats, error)
}

// Depths lists the counts of a queue by state.
func Depths(s driver.Stats) map[driver.State]int {
	return map[driver.State]int{
		driver.Ready: s.Ready, driver.Scheduled: s.Scheduled, driver.Parked: s.Parked,
		driver.Running: s.Running, driver.Dead: s.Dead, driver.Done: s.Done,
	}
}

// Stored is the outcome of an enqueue.
func Stored(r jobs.Receipt) string {
	switch {
	case r.Replaced:
		return "replaced"
	case r.Duplicate:
		return "duplicate"
	}
	return "stored"
}

// Buckets are the upper bounds of the histograms, in seconds.
func Buckets() []float64 {
	return []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800}
}

// maxKinds bounds the labels for kinds.
const maxKinds = 200

// Kinds knows which kinds have a label of their own. The zero value is ready for
// use, also by many goroutines at a time.
type Kinds struct {
	mu   sync.RWMutex
	seen map[string]bool
}

// Label is the kind, or "other" for one that came when there were many already.
func (k *Kinds) Label(kind string) string {
	k.mu.RLock()
	seen, full := k.seen[kind], len(k.seen) >= maxKinds
	k.mu.RUnlock()
	if seen {
		return kind
	}
	if full {
		return "other"
	}
	return k.learn(kind)
}

func (k *Kinds) learn(kind string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.seen[kind] && len(k.seen) >= maxKinds {
		return "other" // others were faster
	}
	if k.seen == nil {
		k.seen = map[string]bool{}
	}
	k.seen[kind] = true
	return kind
}
