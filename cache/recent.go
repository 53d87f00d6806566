package cache

import (
	"sync"
	"time"
)

const (
	replayFor = 30 * time.Second
	maxRecent = 5000 // names
)

// recent remembers what this process has invalidated a moment ago. A store that fails over to
// a replica can forget what it acknowledged, so after every failure this is said again.
type recent struct {
	mu    sync.Mutex
	list  []invalidation
	names int
	lost  time.Duration // when something was left out because there was too much, on core.now; 0 for never
}

type invalidation struct {
	at         time.Duration
	keys, tags []string
}

func (i *invalidation) size() int { return len(i.keys) + len(i.tags) }

func (r *recent) add(now time.Duration, keys, tags []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, invalidation{now, keys, tags})
	r.names += r.list[len(r.list)-1].size()
	for {
		first := &r.list[0]
		fresh := now-first.at <= replayFor
		if fresh && r.names <= maxRecent {
			return
		}
		if fresh {
			r.lost = first.at
		}
		r.names -= first.size()
		if r.list = r.list[1:]; len(r.list) == 0 {
			return
		}
	}
}

// take returns what is to be said again, and forgets it: who says it adds it anew.
func (r *recent) take(now time.Duration) (keys, tags []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost > 0 && now-r.lost <= replayFor {
		tags = append(tags, scopeAll)
	} else {
		for _, i := range r.list {
			if now-i.at <= replayFor {
				keys, tags = append(keys, i.keys...), append(tags, i.tags...)
			}
		}
	}
	r.list, r.names, r.lost = nil, 0, 0
	return keys, tags
}
