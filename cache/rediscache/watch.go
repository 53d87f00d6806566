package rediscache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/cache"
)

func (s *store) nodeChannel(node string) string { return s.prefix + ":node:" + node }

// Beat publishes n through the client that invalidations use; on a Cluster through each
// master, since each has its own way to the subscriber. A Cluster client does not look by
// itself for who has taken over from a master that does not answer, so a failed beat asks it to.
func (s *store) Beat(ctx context.Context, node string, n int64) error {
	channel := s.nodeChannel(node)
	cluster, ok := s.rdb.(interface {
		ForEachMaster(context.Context, func(context.Context, *redis.Client) error) error
	})
	if !ok {
		pipe := s.rdb.TxPipeline()
		pipe.GetEx(ctx, s.clock(), redis.KeepTTL) // changes nothing, but a replica refuses it, and with it the rest
		pipe.Publish(ctx, channel, beat(n, 0, 1))
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
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
		if r, ok := s.rdb.(interface{ ReloadState(context.Context) }); ok {
			r.ReloadState(ctx)
		}
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

// maxBeats is how many beats may be on their way; of more the oldest are given up.
const maxBeats = 16

// beatParts collects the parts of beats, which come on different ways but in order on each.
// Parts are told apart, because a client that repeats a command may send one twice.
type beatParts struct {
	done    int64                  // the newest complete beat
	pending map[int64]map[int]bool // parts of newer ones
}

// complete reports whether m is the last missing part of its beat.
func (b *beatParts) complete(m message) bool {
	n := m.event.N
	if n <= b.done {
		return false
	}
	if b.pending == nil {
		b.pending = make(map[int64]map[int]bool)
	}
	if b.pending[n] == nil {
		if len(b.pending) == maxBeats {
			oldest := slices.Min(slices.Collect(maps.Keys(b.pending)))
			if n < oldest {
				return false // n is the one to give up
			}
			delete(b.pending, oldest)
		}
		b.pending[n] = make(map[int]bool)
	}
	parts := b.pending[n]
	parts[m.part] = true
	if len(parts) < m.parts {
		return false
	}
	b.done = n
	maps.DeleteFunc(b.pending, func(older int64, _ map[int]bool) bool { return older <= n })
	return true
}
