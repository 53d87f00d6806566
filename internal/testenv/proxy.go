package testenv

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TCPProxy is a listener in front of a server that a test can make slow, cut
// or reset, and that counts round trips. All methods are safe for concurrent
// use.
type TCPProxy struct {
	// Addr is the host:port to connect to.
	Addr string

	target   string
	listener net.Listener
	delay    atomic.Int64
	trips    atomic.Int64
	wg       sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

// Proxy starts a proxy in front of addr, a host:port or the path of a unix
// socket. It ends with the test.
func Proxy(t testing.TB, addr string) *TCPProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testenv: proxy: %v", err)
	}
	p := &TCPProxy{Addr: l.Addr().String(), target: addr, listener: l, conns: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		p.listener.Close()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// Delay holds back every chunk in each direction for half of d, so that a
// round trip takes d longer. Zero ends it.
func (p *TCPProxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// RoundTrips returns how often the direction of the traffic has turned from
// request to answer, over all connections: one per request that was answered
// before the next was sent.
func (p *TCPProxy) RoundTrips() int64 { return p.trips.Load() }

// Cut closes all connections and refuses new ones until [TCPProxy.Restore].
func (p *TCPProxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	p.closeAll()
}

// Restore ends a cut.
func (p *TCPProxy) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// Reset closes all connections with a TCP reset; new ones are accepted.
func (p *TCPProxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeAll()
}

func (p *TCPProxy) closeAll() {
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // best effort: a reset instead of an orderly end
		}
		c.Close()
	}
	clear(p.conns)
}

func (p *TCPProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(network(p.target), p.target)
		if err != nil || !p.add(client, server) {
			client.Close()
			if server != nil {
				server.Close()
			}
			continue
		}
		var asked atomic.Bool // the last chunk went towards the server
		p.wg.Go(func() { p.pipe(server, client, func() { asked.Store(true) }) })
		p.wg.Go(func() {
			p.pipe(client, server, func() {
				if asked.Swap(false) {
					p.trips.Add(1)
				}
			})
		})
	}
}

// add registers a pair of connections unless the proxy is cut.
func (p *TCPProxy) add(cs ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range cs {
		if !p.cut {
			p.conns[c] = struct{}{}
		}
	}
	return !p.cut
}

// pipe copies from one side to the other until either ends, then closes both.
func (p *TCPProxy) pipe(to, from net.Conn, seen func()) {
	defer func() {
		p.mu.Lock()
		delete(p.conns, to)
		delete(p.conns, from)
		p.mu.Unlock()
		to.Close()
		from.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			seen()
			if d := p.delay.Load(); d > 0 {
				<-time.After(time.Duration(d) / 2)
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
