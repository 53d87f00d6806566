// Package memredis is the Redis of last resort: miniredis in this process,
// for examples on a machine without redis-server. What it holds is lost at
// exit, and scripts run ten times slower than on a real server.
package memredis

import (
	"context"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Start runs a Redis in memory until ctx ends and returns the URL that
// redis.ParseURL takes.
func Start(ctx context.Context) (string, error) {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		return "", err
	}
	go func() {
		defer m.Close()
		// miniredis does not let time pass by itself: keys would live for ever.
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case now := <-tick.C:
				m.FastForward(now.Sub(last))
				last = now
			case <-ctx.Done():
				return
			}
		}
	}()
	return "redis://" + m.Addr(), nil
}
