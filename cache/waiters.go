package cache

import "sync"

// waiters wakes those who wait for the lease of a key to end.
type waiters struct {
	mu sync.Mutex
	m  map[string][]chan struct{}
}

// add returns a channel that gets a token on the next wake of key, and its removal.
func (w *waiters) add(key string) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m == nil {
		w.m = make(map[string][]chan struct{})
	}
	w.m[key] = append(w.m[key], ch)
	return ch, func() { w.remove(key, ch) }
}

func (w *waiters) remove(key string, ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.m[key]
	for i := range list {
		if list[i] == ch {
			list[i] = list[len(list)-1]
			list = list[:len(list)-1]
			break
		}
	}
	if len(list) == 0 {
		delete(w.m, key)
		return
	}
	w.m[key] = list
}

func (w *waiters) wake(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ch := range w.m[key] {
		select {
		case ch <- struct{}{}:
		default: // it has a token already
		}
	}
}
