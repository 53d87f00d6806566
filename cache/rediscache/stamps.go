package rediscache

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/cache"
)

// stamp is the state of a tag: when it was last invalidated, on the logical clock, and
// whether writers hold it.
type stamp struct {
	seq  int64
	held bool
}

// parseStamp reads what lua/stamp.lua keeps.
func parseStamp(text string) (stamp, bool) {
	head := text[:min(len(text), len(noSeq))]
	n, err := strconv.ParseInt(head, 10, 64)
	if err != nil || n < 0 {
		return stamp{}, false
	}
	return stamp{seq: n, held: len(text) > len(noSeq)}, true
}

// stampAll changes the stamps of h's tags in one of the modes of lua/stamp.lua and returns
// what they are then.
func (s *store) stampAll(ctx context.Context, mode string, h cache.Hold, keep time.Duration) (map[string]stamp, error) {
	pipe := s.rdb.Pipeline()
	c, err := s.queueStamps(ctx, pipe, mode, h, keep)
	if err != nil {
		return nil, fmt.Errorf("rediscache: stamp: %w", err)
	}
	s.exec(ctx, pipe, []*call{c})
	texts, err := c.cmd.StringSlice()
	if err != nil || len(texts) != len(h.Tags) {
		return nil, fmt.Errorf("rediscache: stamp: %d stamps for %d tags: %w", len(texts), len(h.Tags), err)
	}
	stamps := make(map[string]stamp, len(h.Tags))
	for i, text := range texts {
		st, ok := parseStamp(text)
		if !ok {
			return nil, fmt.Errorf("rediscache: stamp: lua/stamp.lua returned %q", text)
		}
		stamps[h.Tags[i]] = st
	}
	return stamps, nil
}

func (s *store) queueStamps(ctx context.Context, pipe redis.Pipeliner, mode string, h cache.Hold, keep time.Duration) (*call, error) {
	args := []any{mode, keep.Milliseconds(), s.events, h.Token, h.TTL.Milliseconds()}
	for _, t := range h.Tags {
		args = append(args, stamped(t))
	}
	return s.scripts.queue(ctx, pipe, s.scripts.stamp, append([]string{s.clock()}, s.stampKeys(h.Tags)...), args...)
}

// readStamps reads the reply to an MGET that begins with the stamps of tags. One that is no
// stamp counts as missing.
func readStamps(mget *redis.SliceCmd, tags []string) (stamps map[string]stamp, missing []string, err error) {
	if mget == nil {
		return nil, nil, nil
	}
	values, err := mget.Result()
	if err != nil {
		return nil, nil, err
	}
	stamps = make(map[string]stamp, len(tags))
	if len(values) < len(tags) {
		return nil, nil, fmt.Errorf("%d values for %d stamps", len(values), len(tags))
	}
	for i, t := range tags {
		text, _ := values[i].(string)
		st, ok := parseStamp(text)
		if !ok {
			missing = append(missing, t)
			continue
		}
		stamps[t] = st
	}
	return stamps, missing, nil
}
