package rediscache

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/cache"
)

// glance is a read of one entry with the stamps of its tags in one command, MGET, which costs
// what a GET does; a pipeline costs half as much again. The one thing that MGET does not tell
// is how long the entry has to live. So the entry says when it expires, by Redis' clock, of
// which the store keeps a reading.
//
// A glance answers the usual case and leaves all others to Acquire's other way. A master that
// was made a replica would go on to answer it with what it has. So a reading is taken only
// together with a command that a replica refuses, and a glance needs one.
type glance struct { // one allocation
	key   keyArg
	name  [160]byte // of the entry, if it is long enough
	args  [8]any
	entry [1]cache.Entry
}

// keyArg is a key as an argument of a command that is not copied to become one.
type keyArg struct{ name []byte }

func (k *keyArg) MarshalBinary() ([]byte, error) { return k.name, nil }

// String is for those who log or trace commands.
func (k *keyArg) String() string { return string(k.name) }

// glance reports false for what it leaves alone.
func (s *store) glance(ctx context.Context, c *cache.Claim) ([]cache.Entry, bool, error) {
	now, ok := s.time.now()
	if !ok || s.scattered.Load() {
		return nil, false, nil
	}
	g := &glance{}
	g.key.name = s.appendEntry(g.name[:0], c.Key)
	args := append(g.args[:0], "mget", &g.key)
	for _, t := range c.Tags {
		args = append(args, s.stampArg(t))
	}
	cmd := redis.NewStringSliceCmd(ctx, args...)
	if err := s.rdb.Process(ctx, cmd); err != nil {
		if redis.HasErrorPrefix(err, "CROSSSLOT") {
			s.scattered.Store(true)
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("rediscache: acquire: %w", err)
	}
	values := cmd.Val() // of what is missing, or no string, it has ""
	if len(values) != 1+len(c.Tags) {
		return nil, false, fmt.Errorf("rediscache: acquire: %d values for %d keys", len(values), 1+len(c.Tags))
	}
	e, seq := &g.entry[0], int64(0)
	e.State = cache.Missing
	if raw := values[0]; raw != "" {
		*e, _, seq = parseEntry(raw)
		if e.State == cache.Filled && seq >= 0 {
			left := expiry(raw) - now.UnixMilli()
			if left <= 0 { // it has just gone, or never was ours
				return nil, false, nil
			}
			e.Left = time.Duration(left) * time.Millisecond
		}
		e.Paused = false
	}
	for _, text := range values[1:] {
		st, ok := parseStamp(text)
		if !ok || st.held {
			return nil, false, nil
		}
		e.Seq = max(e.Seq, st.seq)
	}
	e.Valid = e.State == cache.Filled && seq >= e.Seq
	return g.entry[:], true, nil
}

// serverTime tells the time by Redis' clock, from a reading that is not old.
type serverTime struct{ last atomic.Pointer[reading] }

type reading struct{ local, server time.Time }

const (
	readingLife = time.Second            // Redis' clock may be set, and its role change
	readingSlow = 100 * time.Millisecond // of an answer that says little about the time
)

func (t *serverTime) now() (time.Time, bool) {
	r := t.last.Load()
	if r == nil {
		return time.Time{}, false
	}
	age := time.Since(r.local)
	return r.server.Add(age), age < readingLife
}

// set takes the answer to a TIME sent at sent. That it was true a little later lets entries
// pass for a little older than they are.
func (t *serverTime) set(sent time.Time, cmd *redis.TimeCmd) {
	if server, err := cmd.Result(); err == nil && time.Since(sent) < readingSlow {
		t.last.Store(&reading{local: sent, server: server})
	}
}

const maxStampArgs = 10_000

// stampArg is the key of tag's stamp as an argument of a command; the few tags that all
// entries have in common are written once.
func (s *store) stampArg(tag string) any {
	s.mu.RLock()
	arg, ok := s.stampArgs[tag]
	s.mu.RUnlock()
	if ok {
		return arg
	}
	arg = s.stamp(tag)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stampArgs == nil || len(s.stampArgs) >= maxStampArgs {
		s.stampArgs = make(map[string]any)
	}
	s.stampArgs[tag] = arg
	return arg
}
