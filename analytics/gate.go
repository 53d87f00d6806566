package analytics

import (
	"context"
	"fmt"
	"sync"
)

// gate bounds the bytes between Track and the store.
type gate struct {
	max int64

	mu   sync.Mutex
	used int64
	room chan struct{} // closed when bytes are given back
	shut bool
}

// enter reserves n bytes. If there is no room it waits, or fails with ErrFull at once when wait is false.
func (g *gate) enter(ctx context.Context, n int64, wait bool) error {
	for {
		g.mu.Lock()
		switch {
		case g.shut:
			g.mu.Unlock()
			return ErrClosed
		case g.used+n <= g.max:
			g.used += n
			g.mu.Unlock()
			return nil
		case !wait || n > g.max:
			g.mu.Unlock()
			return ErrFull
		}
		if g.room == nil {
			g.room = make(chan struct{})
		}
		room := g.room
		g.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrFull, context.Cause(ctx))
		}
	}
}

// closed reports whether close was called.
func (g *gate) closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// leave gives n bytes back.
func (g *gate) leave(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used -= n
	g.wake()
}

// close makes enter fail with ErrClosed.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	g.wake()
}

func (g *gate) wake() {
	if g.room != nil {
		close(g.room)
		g.room = nil
	}
}
