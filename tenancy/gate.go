package tenancy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// gatePause is how long a dial waits before it looks again for an idle connection, in case that none was there because all
// of them were on their way between a unit and their pool.
const gatePause = 5 * time.Millisecond

// gateLinger bounds the wait for the server's end of a connection.
const gateLinger = 2 * time.Second

// gate is a ceiling of connections over many pools. It holds because a place in conns is bound to each net.Conn, from
// before it is dialled until it is closed. It cannot deadlock: no more units than there are places hold a connection, so
// whoever wants to dial and finds no place finds an idle connection instead, or one that is being dialled or closed.
type gate struct {
	units   chan struct{} // units that have a connection or are about to
	conns   chan struct{} // connections
	reclaim func() bool   // closes an idle one
}

func newGate(n int, reclaim func() bool) *gate {
	return &gate{units: make(chan struct{}, n), conns: make(chan struct{}, n), reclaim: reclaim}
}

// guard makes the connections of a pool take places.
func (g *gate) guard(cfg *pgxpool.Config) {
	before := cfg.BeforeConnect
	cfg.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		if before != nil {
			if err := before(ctx, c); err != nil {
				return err
			}
		}
		c.DialFunc = (&dialer{gate: g, dial: c.DialFunc}).Dial
		return nil
	}
}

// waiterKey is the context of the unit that wants a connection. A pool dials with a context that outlives it, so that the
// connection is not lost when the unit gives up; but nobody should wait for a place, or close others' connections, then.
type waiterKey struct{}

func withWaiter(ctx context.Context) context.Context { return context.WithValue(ctx, waiterKey{}, ctx) }

// enter waits for a place, making one if it can.
func (g *gate) enter(ctx context.Context) error {
	waiter, ok := ctx.Value(waiterKey{}).(context.Context)
	if !ok {
		waiter = ctx
	}
	for {
		select {
		case g.conns <- struct{}{}:
			return nil
		default:
		}
		if err := errors.Join(ctx.Err(), waiter.Err()); err != nil {
			return err
		}
		if g.reclaim() {
			continue
		}
		pause := time.NewTimer(gatePause)
		select {
		case g.conns <- struct{}{}:
			pause.Stop()
			return nil
		case <-ctx.Done():
		case <-waiter.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// dialer dials for one connection of a pool.
type dialer struct {
	gate *gate
	dial pgconn.DialFunc

	mu   sync.Mutex
	open bool
}

// Dial is a pgconn.DialFunc. While the connection is open, pgx dials through it only to cancel a statement. That takes no
// place: the server answers such a request without a backend, and it would wait for the very connection that it frees.
func (d *dialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	cancelling := d.open
	d.open = true
	d.mu.Unlock()
	if cancelling {
		return d.dial(ctx, network, addr)
	}
	if err := d.gate.enter(ctx); err != nil {
		d.closed()
		return nil, err
	}
	c, err := d.dial(ctx, network, addr)
	if err != nil {
		d.closed()
		<-d.gate.conns
		return nil, err
	}
	return &placedConn{Conn: c, leave: sync.OnceFunc(func() { d.closed(); <-d.gate.conns })}, nil
}

func (d *dialer) closed() {
	d.mu.Lock()
	d.open = false
	d.mu.Unlock()
}

// placedConn is a connection that has a place.
type placedConn struct {
	net.Conn
	leave func()
}

// Close closes the connection and gives its place back when the server has closed it too, which is when its backend is
// gone. pgx has said goodbye already, or else the half-close does. A server that does not answer is not waited for.
func (c *placedConn) Close() error {
	defer c.leave()
	_ = c.SetDeadline(time.Now().Add(gateLinger))
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, c.Conn) // any error is the end that was waited for
	return c.Conn.Close()
}
