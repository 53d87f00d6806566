package httpx_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/ashlar-go/ashlar/httpx"
)

// pipes is a network in memory: with it Run works inside a synctest bubble, where time is virtual and a busy machine changes nothing.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// startInBubble is start for use inside a synctest bubble; the client is the only way to reach the server.
func startInBubble(t *testing.T, h http.Handler, opts httpx.RunOptions) (*running, *http.Client, *pipes) {
	t.Helper()
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	opts.Listener = p
	tr := &http.Transport{DialContext: p.dial}
	t.Cleanup(tr.CloseIdleConnections)
	return start(t, h, opts), &http.Client{Transport: tr}, p
}
