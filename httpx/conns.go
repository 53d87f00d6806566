package httpx

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// idleNew is how long a connection may exist without a whole request header before a shutdown closes it.
const idleNew = 500 * time.Millisecond

// newConns knows the connections on which no request header has arrived yet. Browsers open such connections ahead of need, and
// http.Server.Shutdown would wait five seconds for them. The zero value is ready for use.
type newConns struct {
	mu    sync.Mutex
	since map[net.Conn]time.Time
}

// track is an http.Server.ConnState hook.
func (n *newConns) track(c net.Conn, state http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if state != http.StateNew {
		delete(n.since, c)
		return
	}
	if n.since == nil {
		n.since = map[net.Conn]time.Time{}
	}
	n.since[c] = time.Now()
}

// closeSilent closes them, the youngest too once they had their chance, until done is closed.
func (n *newConns) closeSilent(done <-chan struct{}) {
	tick := time.NewTicker(idleNew / 5)
	defer tick.Stop()
	for {
		n.mu.Lock()
		for c, since := range n.since {
			if time.Since(since) > idleNew {
				_ = c.Close()
				delete(n.since, c)
			}
		}
		n.mu.Unlock()
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}
