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

// reading is one claim on its way.
type reading struct {
	claim cache.Claim
	value *redis.StatusCmd   // of SET NX GET, for ClaimMissing
	left  *redis.DurationCmd // beside it
	call  *call              // for the other modes
}

// Acquire reads all entries, and the stamps of all their tags, in one round trip; one more
// where a stamp is missing or the server lost its scripts.
func (s *store) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	pipe := s.rdb.Pipeline()
	readings := make([]reading, len(claims))
	var calls []*call
	for i, c := range claims {
		r := &readings[i]
		r.claim = c
		if err := s.queueClaim(ctx, pipe, r); err != nil {
			return nil, fmt.Errorf("rediscache: acquire: %w", err)
		}
		if r.call != nil {
			calls = append(calls, r.call)
		}
	}
	tags := tagsOf(len(claims), func(i int) []string { return claims[i].Tags })
	var mget *redis.SliceCmd
	if len(tags) > 0 {
		mget = pipe.MGet(ctx, s.stampKeys(tags)...)
	}
	s.exec(ctx, pipe, calls)
	stamps, missing, err := readStamps(mget, tags)
	if err != nil {
		return nil, fmt.Errorf("rediscache: acquire: %w", err)
	}
	if len(missing) > 0 {
		made, err := s.stampAll(ctx, "make", missing)
		if err != nil {
			return nil, err
		}
		for t, n := range made {
			stamps[t] = n
		}
	}
	entries := make([]cache.Entry, len(claims))
	for i := range readings {
		if entries[i], err = readings[i].result(stamps); err != nil {
			return nil, fmt.Errorf("rediscache: acquire: %w", err)
		}
	}
	return entries, nil
}

func (s *store) queueClaim(ctx context.Context, pipe redis.Pipeliner, r *reading) (err error) {
	c, key := r.claim, s.entry(r.claim.Key)
	if len(c.Token) != tokenLen {
		return fmt.Errorf("a token has %d characters, not %d", tokenLen, len(c.Token))
	}
	mode := ""
	switch c.Mode {
	case cache.ClaimMissing:
		r.value = pipe.SetArgs(ctx, key, leaseHeader(c.Token), redis.SetArgs{Mode: "NX", Get: true, TTL: c.TTL})
		r.left = pipe.PTTL(ctx, key)
		return nil
	case cache.ClaimBeside:
		mode = "beside"
	case cache.ClaimReplace:
		mode = "replace"
	case cache.ClaimAwait:
		mode = "await"
	default:
		return fmt.Errorf("unknown mode %d", c.Mode)
	}
	r.call, err = s.scripts.queue(ctx, pipe, s.scripts.claim, []string{key}, c.Token, c.TTL.Milliseconds(), mode, c.Seen)
	return err
}

// result turns the replies into an entry.
func (r *reading) result(stamps map[string]int64) (cache.Entry, error) {
	raw, left, granted, err := r.replies()
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return cache.Entry{State: cache.Held}, nil // somebody else's data: leave it alone
	}
	if err != nil {
		return cache.Entry{}, err
	}
	e, token, seq := parseEntry(raw)
	e.Left = left
	e.Granted = granted || e.State == cache.Leased && token == r.claim.Token
	for _, t := range r.claim.Tags {
		e.Seq = max(e.Seq, stamps[t])
	}
	e.Valid = e.State == cache.Filled && seq >= e.Seq
	return e, nil
}

func (r *reading) replies() (raw string, left time.Duration, granted bool, err error) {
	if r.call == nil {
		raw, err = r.value.Result()
		if errors.Is(err, redis.Nil) {
			return leaseHeader(r.claim.Token), r.claim.TTL, true, nil
		}
		if err == nil {
			left, err = r.left.Result()
		}
		return raw, left, false, err
	}
	parts, err := r.call.cmd.Slice()
	if err != nil {
		return "", 0, false, err
	}
	if len(parts) != 3 {
		return "", 0, false, fmt.Errorf("lua/claim.lua returned %d parts", len(parts))
	}
	raw, ok1 := parts[0].(string)
	ms, ok2 := parts[1].(int64)
	mine, ok3 := parts[2].(int64)
	if !ok1 || !ok2 || !ok3 {
		return "", 0, false, errors.New("lua/claim.lua returned other types")
	}
	return raw, time.Duration(ms) * time.Millisecond, mine == 1, nil
}

// Fill stores the values and reads the stamps of their tags again in one round trip. The
// stamps in use get their TTL anew, so that only those of forgotten tags end.
func (s *store) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	if len(fills) == 0 {
		return nil, nil
	}
	pipe := s.rdb.Pipeline()
	calls := make([]*call, len(fills))
	keep := stampTTL
	for i, f := range fills {
		c, err := s.scripts.queue(ctx, pipe, s.scripts.fill, []string{s.entry(f.Key)},
			f.Token, valueHeader(f.Token, f.Seq)+string(f.Body), f.TTL.Milliseconds(), s.events, filled(f.Key))
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
	stamps, _, err := readStamps(mget, tags)
	if err != nil {
		return nil, fmt.Errorf("rediscache: fill: %w", err)
	}
	done := make([]bool, len(fills))
	for i, c := range calls {
		n, err := c.cmd.Int()
		if err != nil {
			return nil, fmt.Errorf("rediscache: fill: %w", err)
		}
		done[i] = n == 1
		for _, t := range fills[i].Tags {
			stamp, known := stamps[t]
			done[i] = done[i] && known && fills[i].Seq >= stamp
		}
	}
	return done, nil
}

// tagsOf returns the different tags of n elements.
func tagsOf(n int, of func(i int) []string) []string {
	if n == 1 {
		return of(0)
	}
	seen := make(map[string]bool)
	var tags []string
	for i := range n {
		for _, t := range of(i) {
			if !seen[t] {
				seen[t] = true
				tags = append(tags, t)
			}
		}
	}
	return tags
}

// readStamps reads the reply to an MGET of stamps. One that is no number counts as missing.
func readStamps(mget *redis.SliceCmd, tags []string) (stamps map[string]int64, missing []string, err error) {
	if mget == nil {
		return nil, nil, nil
	}
	values, err := mget.Result()
	if err != nil {
		return nil, nil, err
	}
	stamps = make(map[string]int64, len(tags))
	for i, v := range values {
		text, _ := v.(string)
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			missing = append(missing, tags[i])
			continue
		}
		stamps[tags[i]] = n
	}
	return stamps, missing, nil
}
