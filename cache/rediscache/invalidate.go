package rediscache

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/cache"
)

func (s *store) Invalidate(ctx context.Context, keys, tags []string) error {
	h := cache.Hold{Keys: keys, Tags: tags}
	return s.change(ctx, "invalidate", "move", h, s.scripts.invalidate)
}

func (s *store) Hold(ctx context.Context, h cache.Hold) error {
	if len(h.Token) != tokenLen {
		return fmt.Errorf("rediscache: hold: a token has %d characters, not %d", tokenLen, len(h.Token))
	}
	return s.change(ctx, "hold", "hold", h, s.scripts.hold, h.Token, max(h.TTL.Milliseconds(), 1))
}

func (s *store) Release(ctx context.Context, h cache.Hold) error {
	return s.change(ctx, "release", "release", h, s.scripts.hold, h.Token, 0)
}

// change runs a script on each of h's keys and moves the stamps of its tags, in one round trip.
func (s *store) change(ctx context.Context, op, mode string, h cache.Hold, sc *script, args ...any) error {
	n := len(h.Keys)
	if len(h.Tags) > 0 {
		n++
	}
	return s.each(ctx, op, n, func(pipe redis.Pipeliner, i int) (*call, error) {
		if i == len(h.Keys) {
			return s.queueStamps(ctx, pipe, mode, h, stampTTL)
		}
		k := h.Keys[i]
		all := append(append(make([]any, 0, len(args)+2), args...), s.events, invalidated(k))
		return s.scripts.queue(ctx, pipe, sc, []string{s.entry(k)}, all...)
	})
}
