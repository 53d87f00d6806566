package cache

import "sync"

// group counts work that outlives the call which started it. Unlike a sync.WaitGroup it may
// be joined while somebody waits, because Fetch may be called at any time.
type group struct {
	mu   sync.Mutex
	n    int
	idle chan struct{}
}

func (g *group) start(f func()) {
	g.mu.Lock()
	if g.n == 0 {
		g.idle = make(chan struct{})
	}
	g.n++
	g.mu.Unlock()
	go func() {
		defer g.done()
		f()
	}()
}

func (g *group) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 {
		close(g.idle)
	}
}

// wait blocks until nothing runs.
func (g *group) wait() {
	g.mu.Lock()
	idle, busy := g.idle, g.n > 0
	g.mu.Unlock()
	if busy {
		<-idle
	}
}
