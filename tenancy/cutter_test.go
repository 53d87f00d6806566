package tenancy_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// cutter is a proxy that cuts one connection, or strikes the server, at one chosen message of the client.
type cutter struct {
	addr   string
	target string
	left   atomic.Int64           // client messages until the fault; 0 means never
	busy   sync.Mutex             // held while the fault happens
	fault  atomic.Pointer[faulty] // what happens then
}

// faulty is a kind of fault.
type faulty struct {
	name   string
	answer bool   // cut when the server has answered, instead of before the message is forwarded
	strike func() // instead of a cut: do this, then forward
	during bool   // strike after the message was forwarded
}

func newCutter(t *testing.T, target string) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{addr: l.Addr().String(), target: target}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.serve(ctx, client) })
		}
	})
	t.Cleanup(func() { l.Close(); cancel(); wg.Wait() })
	return c
}

func (c *cutter) serve(ctx context.Context, client net.Conn) {
	network := "tcp"
	if c.target[0] == '/' {
		network = "unix"
	}
	server, err := net.Dial(network, c.target)
	if err != nil {
		client.Close()
		return
	}
	hangUp := func() { client.Close(); server.Close() }
	defer context.AfterFunc(ctx, hangUp)()
	var swallow atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer hangUp()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || swallow.Load() { // the server has done it, the client never hears
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	defer wg.Wait()
	defer hangUp()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		goodbye := n == 5 && buf[0] == 'X' // the end of a connection that the pool was told to drop
		var f *faulty
		if !goodbye {
			f = c.due()
		}
		switch {
		case f == nil:
		case f.strike != nil && !f.during:
			f.strike()
		case f.answer:
			swallow.Store(true)
		case f.strike == nil:
			c.busy.Unlock()
			return
		}
		_, err = server.Write(buf[:n])
		if f != nil {
			if f.during {
				f.strike()
			}
			c.busy.Unlock()
		}
		if err != nil {
			return
		}
		if swallow.Load() {
			wg.Wait()
			return
		}
	}
}

// due returns the fault if it is time for it, with busy locked.
func (c *cutter) due() *faulty {
	if c.left.Load() <= 0 {
		return nil
	}
	c.busy.Lock()
	if c.left.Add(-1) == 0 {
		return c.fault.Load()
	}
	c.busy.Unlock()
	return nil
}
