package main

import (
	"net"
	"sync"
	"time"
)

// delayed returns a connection whose every answer comes late by d, which
// makes a round trip longer by d.
func delayed(c net.Conn, d time.Duration) net.Conn { return &lateConn{Conn: c, delay: d} }

type lateConn struct {
	net.Conn
	delay time.Duration

	mu    sync.Mutex
	asked time.Time // the last write
	ready bool      // its answer has been waited for
}

func (c *lateConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.asked, c.ready = time.Now(), false
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *lateConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	wait := time.Duration(0)
	if !c.ready && !c.asked.IsZero() {
		wait, c.ready = time.Until(c.asked.Add(c.delay)), true
	}
	c.mu.Unlock()
	if wait > 0 {
		<-time.After(wait)
	}
	return n, err
}
