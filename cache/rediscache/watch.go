package rediscache

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/cache"
)

func (s *store) nodeChannel(node string) string { return s.prefix + ":node:" + node }

// Beat publishes n through the client that invalidations use; on a Cluster through each
// master, since each has its own way to the subscriber.
func (s *store) Beat(ctx context.Context, node string, n int64) error {
	channel := s.nodeChannel(node)
	cluster, ok := s.rdb.(interface {
		ForEachMaster(context.Context, func(context.Context, *redis.Client) error) error
	})
	if !ok {
		if err := s.rdb.Publish(ctx, channel, beat(n, 0, 1)).Err(); err != nil {
			return fmt.Errorf("rediscache: beat: %w", err)
		}
		return nil
	}
	var mu sync.Mutex
	var masters []*redis.Client
	err := cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters = append(masters, c)
		return nil
	})
	for i, c := range masters {
		if err == nil {
			err = c.Publish(ctx, channel, beat(n, i, len(masters))).Err()
		}
	}
	if err != nil {
		return fmt.Errorf("rediscache: beat: %w", err)
	}
	return nil
}

var errResubscribed = errors.New("rediscache: watch: the client changed connections; messages may be lost")

// Watch receives by itself rather than through PubSub.Channel, which drops messages when it
// is full and hides that it reconnected.
func (s *store) Watch(ctx context.Context, node string, sink func(cache.Event)) error {
	channels := []string{s.events, s.nodeChannel(node)}
	sub := s.rdb.Subscribe(ctx, channels...)
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // ends Receive, which ignores ctx
	defer func() {
		if stop() {
			_ = sub.Close() // nothing depends on how it ends
		}
	}()
	confirmed := 0
	var beats beatParts
	for {
		m, err := sub.Receive(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("rediscache: watch: %w", err)
		}
		switch m := m.(type) {
		case *redis.Subscription:
			confirmed++
			if confirmed == len(channels) {
				sink(cache.Event{Kind: cache.EventReady})
			}
			if confirmed > len(channels) || m.Kind != "subscribe" {
				return errResubscribed
			}
		case *redis.Message:
			msg, ok := parseMessage(m.Payload)
			if !ok || msg.event.Kind == cache.EventBeat && !beats.complete(msg) {
				continue
			}
			sink(msg.event)
		}
	}
}

// beatParts collects the parts of the newest beat. Parts are told apart, because a client
// that repeats a command may send one twice.
type beatParts struct {
	n     int64
	parts map[int]bool
}

// complete reports whether m is the last missing part of its beat.
func (b *beatParts) complete(m message) bool {
	if m.event.N < b.n {
		return false // a later one is under way
	}
	if m.event.N > b.n || b.parts == nil {
		b.n, b.parts = m.event.N, make(map[int]bool)
	}
	before := len(b.parts)
	b.parts[m.part] = true
	return len(b.parts) == m.parts && before < m.parts
}
