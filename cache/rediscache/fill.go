package rediscache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/cache"
)

// Fill stores the values and reads the stamps of their tags again in one round trip, or two for
// tags that have no stamp yet. The stamps in use get their TTL anew, so that only those of
// forgotten tags end.
func (s *store) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	if len(fills) == 0 {
		return nil, nil
	}
	pipe := s.rdb.Pipeline()
	calls := make([]*call, len(fills))
	keep := stampTTL
	for i, f := range fills {
		c, err := s.queueFill(ctx, pipe, f)
		if err != nil {
			return nil, fmt.Errorf("rediscache: fill: %w", err)
		}
		calls[i] = c
		keep = max(keep, 2*f.TTL)
	}
	tags := tagsOf(len(fills), func(i int) []string { return fills[i].Tags })
	var mget *redis.SliceCmd
	if len(tags) > 0 {
		keys := s.stampKeys(tags)
		mget = pipe.MGet(ctx, keys...)
		for _, k := range keys {
			pipe.PExpire(ctx, k, keep)
		}
	}
	s.exec(ctx, pipe, calls)
	stamps, missing, err := readStamps(mget, tags)
	if err == nil && len(missing) > 0 { // as those of tags are which a load was the first to name
		var made map[string]stamp
		made, err = s.stampAll(ctx, "make", cache.Hold{Tags: missing}, keep)
		maps.Copy(stamps, made)
	}
	if err != nil {
		return nil, fmt.Errorf("rediscache: fill: %w", err)
	}
	done := make([]bool, len(fills))
	for i, c := range calls {
		seq, err := seqOf(c, fills[i])
		if err != nil {
			return nil, fmt.Errorf("rediscache: fill: %w", err)
		}
		done[i] = seq >= 0
		for _, t := range fills[i].Tags {
			st := stamps[t]
			done[i] = done[i] && !st.held && seq >= st.seq
		}
	}
	return done, nil
}

func (s *store) queueFill(ctx context.Context, pipe redis.Pipeliner, f cache.Fill) (*call, error) {
	key, ttl := []string{s.entry(f.Key)}, f.TTL.Milliseconds()
	switch {
	case f.Version < 0 || f.Token == "" && f.Version == 0:
		return nil, fmt.Errorf("version %d", f.Version)
	case f.Token == "":
		return s.scripts.queue(ctx, pipe, s.scripts.put, key,
			valueHeader(noToken, 0, f.Version)+string(f.Body), ttl, s.events, invalidated(f.Key))
	}
	return s.scripts.queue(ctx, pipe, s.scripts.fill, key,
		f.Token, valueHeader(f.Token, f.Seq, f.Version)+string(f.Body), ttl, s.events, filled(f.Key))
}

// seqOf returns the seq under which f was stored, or -1 if it was not.
func seqOf(c *call, f cache.Fill) (int64, error) {
	if f.Token == "" {
		text, err := c.cmd.Text()
		if errors.Is(err, redis.Nil) {
			return -1, nil
		}
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(text, 10, 64)
	}
	n, err := c.cmd.Int()
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return -1, nil
	}
	return f.Seq, nil
}
