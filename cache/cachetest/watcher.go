package cachetest

import (
	"sync"

	"github.com/ashlar-go/ashlar/cache"
)

const maxQueue = 100_000

// watcher is the queue between the server and one Watch.
type watcher struct {
	node   string
	signal chan struct{}

	mu      sync.Mutex
	queue   []cache.Event
	overrun bool
}

func (w *watcher) put(e cache.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) >= maxQueue {
		w.overrun = true
	} else {
		w.queue = append(w.queue, e)
	}
	select {
	case w.signal <- struct{}{}:
	default: // it is set
	}
}

func (w *watcher) take() (events []cache.Event, overrun bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	events, w.queue = w.queue, nil
	return events, w.overrun
}
