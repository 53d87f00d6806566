package cache

import "sync"

// group counts work that outlives the call which started it. Unlike a sync.WaitGroup it may
// be joined while somebody waits, because Fetch may be called at any time.
type group struct {
	mu      sync.Mutex
	started *sync.WaitGroup // since the last wait
}

func (g *group) start(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.started == nil {
		g.started = new(sync.WaitGroup)
	}
	g.started.Go(f)
}

// wait blocks until what was started before it has ended; what is started meanwhile is left
// to the next wait, or a busy program would never stop.
func (g *group) wait() {
	g.mu.Lock()
	before := g.started
	g.started = nil
	g.mu.Unlock()
	if before != nil {
		before.Wait()
	}
}
