package rediscache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/cache"
)

// What a tool says of its key must come from the master. One that was made a replica has old
// data for as long as a connection to it lives, and would go on to answer reads; but it refuses
// commands that could write, whether or not they would change anything. So each tool is one.
var _ cache.Tools = (*store)(nil)

// tool is the key of a counter (n), a lock (l), its last fence (f) or a value (v).
func (s *store) tool(kind, key string) string { return s.prefix + ":" + kind + ":{" + key + "}" }

// run runs one script.
func (s *store) run(ctx context.Context, sc *script, keys []string, args ...any) (*redis.Cmd, error) {
	pipe := s.rdb.Pipeline()
	c, err := s.scripts.queue(ctx, pipe, sc, keys, args...)
	if err != nil {
		return nil, err
	}
	s.exec(ctx, pipe, []*call{c})
	return c.cmd, c.cmd.Err()
}

func (s *store) Add(ctx context.Context, key string, n int64, window time.Duration) (int64, time.Duration, error) {
	cmd, err := s.run(ctx, s.scripts.add, []string{s.tool("n", key)}, n, window.Milliseconds())
	if err != nil {
		return 0, 0, fmt.Errorf("rediscache: add: %w", err)
	}
	parts, err := cmd.Int64Slice()
	if err != nil || len(parts) != 2 {
		return 0, 0, fmt.Errorf("rediscache: add: lua/add.lua returned %d parts: %w", len(parts), err)
	}
	return parts[0], time.Duration(parts[1]) * time.Millisecond, nil
}

func (s *store) Lock(ctx context.Context, key, owner string, ttl time.Duration) (int64, error) {
	if len(owner) != tokenLen {
		return 0, fmt.Errorf("rediscache: lock: an owner has %d characters, not %d", tokenLen, len(owner))
	}
	cmd, err := s.run(ctx, s.scripts.lock, []string{s.tool("l", key), s.tool("f", key)},
		owner, ttl.Milliseconds(), max(stampTTL, 2*ttl).Milliseconds())
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("rediscache: lock: %w", err)
	}
	text, err := cmd.Text()
	if err != nil {
		return 0, fmt.Errorf("rediscache: lock: %w", err)
	}
	return strconv.ParseInt(text, 10, 64)
}

func (s *store) Unlock(ctx context.Context, key, owner string) error {
	if _, err := s.run(ctx, s.scripts.unlock, []string{s.tool("l", key)}, owner); err != nil {
		return fmt.Errorf("rediscache: unlock: %w", err)
	}
	return nil
}

func (s *store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.rdb.Set(ctx, s.tool("v", key), value, ttl).Err(); err != nil {
		return fmt.Errorf("rediscache: set: %w", err)
	}
	return nil
}

func (s *store) Get(ctx context.Context, key string) ([]byte, bool, error) {
	value, err := s.rdb.GetEx(ctx, s.tool("v", key), redis.KeepTTL).Bytes() // refused by a replica, unlike GET
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("rediscache: get: %w", err)
	}
	return value, true, nil
}
