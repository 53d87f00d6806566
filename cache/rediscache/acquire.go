package rediscache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/cache"
)

// inquiry is one claim on its way.
type inquiry struct {
	claim cache.Claim
	value interface { // of SET NX GET, for ClaimMissing, or of GETEX, for ClaimCompare of the clock
		Result() (string, error)
	}
	left *redis.DurationCmd // beside it
	call *call              // for the other modes
	full bool               // the server has no room for a lease; value is of GET
}

// Acquire reads all entries, and the stamps of all their tags, in one round trip, and a single
// one without a lease in one command; one round trip more where a stamp is missing, a tag is
// held, the server is full or lost its scripts.
func (s *store) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	if len(claims) == 1 && claims[0].Mode == cache.ClaimNothing {
		if entries, ok, err := s.glance(ctx, &claims[0]); ok || err != nil {
			return entries, err
		}
	}
	pipe := s.rdb.Pipeline()
	inquiries := make([]inquiry, len(claims))
	var calls []*call
	for i, c := range claims {
		r := &inquiries[i]
		r.claim = c
		if err := s.queueClaim(ctx, pipe, r); err != nil {
			return nil, fmt.Errorf("rediscache: acquire: %w", err)
		}
		if r.call != nil {
			calls = append(calls, r.call)
		}
	}
	tags := tagsOf(len(claims), func(i int) []string { return claims[i].Tags })
	mget := pipe.MGet(ctx, append(s.stampKeys(tags), s.clock())...)
	var clock *redis.TimeCmd
	if !s.scattered.Load() {
		clock = pipe.Time(ctx)
	}
	sent := time.Now()
	s.exec(ctx, pipe, calls)
	if clock != nil && inquiries[0].proves() {
		s.time.set(sent, clock)
	}
	s.readFull(ctx, inquiries)
	stamps, seq, err := s.settle(ctx, mget, tags)
	if err != nil {
		return nil, fmt.Errorf("rediscache: acquire: %w", err)
	}
	entries := make([]cache.Entry, len(claims))
	var useless []cache.Lease
	for i := range inquiries {
		r := &inquiries[i]
		if entries[i], err = r.result(stamps, seq); err != nil {
			return nil, fmt.Errorf("rediscache: acquire: %w", err)
		}
		if entries[i].State == cache.Held && entries[i].Granted {
			entries[i].Granted = false
			useless = append(useless, cache.Lease{Key: r.claim.Key, Token: r.claim.Token})
		}
	}
	if len(useless) > 0 {
		if err := s.Abandon(ctx, useless); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

func (s *store) queueClaim(ctx context.Context, pipe redis.Pipeliner, r *inquiry) (err error) {
	c, key := r.claim, s.entry(r.claim.Key)
	switch c.Mode {
	case cache.ClaimCompare:
		r.value = pipe.GetEx(ctx, s.clock(), redis.KeepTTL)
		return nil
	case cache.ClaimNothing:
		r.value, r.left = pipe.GetEx(ctx, key, redis.KeepTTL), pipe.PTTL(ctx, key) // refused by a replica, unlike GET
		return nil
	}
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

// proves reports whether the server has shown that it is a master, by executing a write.
func (r *inquiry) proves() bool {
	if r.call != nil {
		return false
	}
	_, err := r.value.Result()
	return err == nil || errors.Is(err, redis.Nil)
}

// readFull reads the entries of the claims that a full server refused, as it does even where
// there is a value and SET NX would change nothing.
func (s *store) readFull(ctx context.Context, inquiries []inquiry) {
	pipe := s.rdb.Pipeline()
	for i := range inquiries {
		r := &inquiries[i]
		var err error
		if r.call != nil {
			err = r.call.cmd.Err()
		} else {
			_, err = r.value.Result()
		}
		if isFull(err) {
			key := s.entry(r.claim.Key)
			r.call, r.full = nil, true
			r.value, r.left = pipe.Get(ctx, key), pipe.PTTL(ctx, key)
		}
	}
	s.exec(ctx, pipe, nil)
}

// isFull recognizes the answer of a server at its maxmemory.
func isFull(err error) bool { return redis.HasErrorPrefix(err, "OOM") }

// settle returns the stamps that mget read, those made that were missing, and those tried
// again that are held: the end of a hold shows only in the script. After the stamps mget read
// the clock, which is 0 if it was lost; then it is made as well.
func (s *store) settle(ctx context.Context, mget *redis.SliceCmd, tags []string) (stamps map[string]stamp, clock int64, err error) {
	stamps, unsettled, err := readStamps(mget, tags)
	if err != nil {
		return nil, 0, err
	}
	if text, ok := mget.Val()[len(mget.Val())-1].(string); ok {
		now, _ := parseStamp(text)
		clock = now.seq
	}
	for t, st := range stamps {
		if st.held {
			unsettled = append(unsettled, t)
		}
	}
	if len(unsettled) == 0 && clock > 0 {
		return stamps, clock, nil
	}
	made, err := s.stampAll(ctx, "make", cache.Hold{Tags: unsettled}, stampTTL)
	if err != nil {
		return nil, 0, err
	}
	for t, st := range made {
		stamps[t] = st
	}
	return stamps, clock, nil
}

// result turns the replies into an entry.
func (r *inquiry) result(stamps map[string]stamp, clock int64) (cache.Entry, error) {
	raw, left, granted, err := r.replies()
	var e cache.Entry
	var token string
	var seq int64
	switch compare := r.claim.Mode == cache.ClaimCompare; {
	case compare && (err == nil || errors.Is(err, redis.Nil)):
		e.State, seq = cache.Filled, seqIn(r.claim.Seen)
	case errors.Is(err, redis.Nil):
		e.State = cache.Missing
	case redis.HasErrorPrefix(err, "WRONGTYPE") && !compare:
		e.State = cache.Held // somebody else's data: leave it alone
	case err != nil:
		return cache.Entry{}, err
	default:
		e, token, seq = parseEntry(raw)
		e.Left = left
		e.Granted = granted || e.State == cache.Leased && token == r.claim.Token
		e.Paused = e.Paused && r.claim.Mode == cache.ClaimBeside && !e.Granted
	}
	var highest int64
	for _, t := range r.claim.Tags {
		st := stamps[t]
		highest = max(highest, st.seq)
		if st.held {
			e.State = cache.Held
		}
	}
	e.Valid = e.State == cache.Filled && seq >= highest
	e.Seq = max(highest, clock)
	return e, nil
}

// replies returns redis.Nil for a missing entry of which no lease was taken.
func (r *inquiry) replies() (raw string, left time.Duration, granted bool, err error) {
	if r.call == nil {
		raw, err = r.value.Result()
		if errors.Is(err, redis.Nil) && r.claim.Mode == cache.ClaimMissing && !r.full {
			return leaseHeader(r.claim.Token), r.claim.TTL, true, nil
		}
		if err == nil && r.left != nil {
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
