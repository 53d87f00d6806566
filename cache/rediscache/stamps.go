package rediscache

import (
	"context"
	"fmt"
	"strconv"

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
func (s *store) stampAll(ctx context.Context, mode string, h cache.Hold) (map[string]stamp, error) {
	args := []any{mode, stampTTL.Milliseconds(), s.events, h.Token, h.TTL.Milliseconds()}
	for _, t := range h.Tags {
		args = append(args, stamped(t))
	}
	calls, err := s.each(ctx, "stamp", 1, s.scripts.stamp, func(int) ([]string, []any) {
		return append([]string{s.clock()}, s.stampKeys(h.Tags)...), args
	})
	if err != nil {
		return nil, err
	}
	texts, err := calls[0].cmd.StringSlice()
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

// readStamps reads the reply to an MGET of stamps. One that is no stamp counts as missing.
func readStamps(mget *redis.SliceCmd, tags []string) (stamps map[string]stamp, missing []string, err error) {
	if mget == nil {
		return nil, nil, nil
	}
	values, err := mget.Result()
	if err != nil {
		return nil, nil, err
	}
	stamps = make(map[string]stamp, len(tags))
	for i, v := range values {
		text, _ := v.(string)
		st, ok := parseStamp(text)
		if !ok {
			missing = append(missing, tags[i])
			continue
		}
		stamps[tags[i]] = st
	}
	return stamps, missing, nil
}

// Hold goes to the entries first: what they held is gone before anybody sees a stamp move.
func (s *store) Hold(ctx context.Context, h cache.Hold) error {
	if len(h.Token) != tokenLen {
		return fmt.Errorf("rediscache: hold: a token has %d characters, not %d", tokenLen, len(h.Token))
	}
	_, err := s.each(ctx, "hold", len(h.Keys), s.scripts.hold, func(i int) ([]string, []any) {
		return []string{s.entry(h.Keys[i])}, []any{h.Token, h.TTL.Milliseconds(), s.events, invalidated(h.Keys[i])}
	})
	if err != nil || len(h.Tags) == 0 {
		return err
	}
	_, err = s.stampAll(ctx, "hold", h)
	return err
}

func (s *store) Release(ctx context.Context, h cache.Hold) error {
	_, err := s.each(ctx, "release", len(h.Keys), s.scripts.release, func(i int) ([]string, []any) {
		return []string{s.entry(h.Keys[i])}, []any{h.Token, s.events, invalidated(h.Keys[i])}
	})
	if err != nil || len(h.Tags) == 0 {
		return err
	}
	_, err = s.stampAll(ctx, "release", h)
	return err
}
