package cachetest

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

// server is the state that all connections share. Each method is one atomic transition.
type server struct {
	mu       sync.Mutex
	records  map[string]*record
	swept    int // number of records that the last sweep left
	stamps   map[string]int64
	tagHolds map[string]holds
	clock    int64 // highest stamp given out
	versions int64
	watchers []*watcher
	tools    map[string]*tool
}

// record is one entry. Without a value it is a lease; with one, a lease may stand beside it.
type record struct {
	filled  bool
	body    []byte
	seq     int64
	expires time.Time
	token   string    // of the lease, or of the fill when no lease was taken since
	until   time.Time // end of a lease beside a value; zero for none
	awaited bool
	paused  bool // until is the end of a pause after a failed attempt
	id      string
	version int64
	holds   holds // by writers; then there is nothing else
}

func (s *server) tick() int64 {
	s.clock = max(s.clock+1, time.Now().UnixMicro())
	return s.clock
}

// get returns the living record of key. The caller holds mu.
func (s *server) get(key string) *record {
	r := s.records[key]
	if r != nil && !time.Now().Before(r.expires) {
		delete(s.records, key)
		return nil
	}
	return r
}

const sweepAfter = 1024

// sweep removes ended records whenever their number has doubled, for those that nobody asks
// for again. The caller holds mu.
func (s *server) sweep(now time.Time) {
	if len(s.records) < 2*s.swept+sweepAfter {
		return
	}
	for key, r := range s.records {
		if !now.Before(r.expires) {
			delete(s.records, key)
		}
	}
	s.swept = len(s.records)
}

func (s *server) touch(r *record) {
	s.versions++
	r.id = strconv.FormatInt(s.versions, 10) + "/" + strconv.FormatInt(r.seq, 10)
}

// compare compares the value that had the id seen with tags.
func (s *server) compare(seen string, tags []string) cache.Entry {
	e := cache.Entry{State: cache.Filled}
	highest, held := s.stamp(tags)
	if held {
		e.State = cache.Held
	}
	_, text, _ := strings.Cut(seen, "/")
	seq, err := strconv.ParseInt(text, 10, 64)
	e.Valid = err == nil && !held && seq >= highest
	return e
}

// stamp returns the highest stamp of tags, making those that are missing, and whether any of
// the tags is held. The end of a hold, whoever notices it, is an invalidation: its writer may
// have died after the commit.
func (s *server) stamp(tags []string) (highest int64, held bool) {
	for _, t := range tags {
		ended := s.tagHolds[t].prune(time.Now())
		held = held || len(s.tagHolds[t]) > 0
		if _, ok := s.stamps[t]; ended || s.clock == 0 {
			s.stamps[t] = s.tick()
		} else if !ok {
			s.stamps[t] = s.clock
		}
		highest = max(highest, s.stamps[t])
	}
	return highest, held
}

func (s *server) acquire(c cache.Claim) cache.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Mode == cache.ClaimCompare {
		return s.compare(c.Seen, c.Tags)
	}
	highest, held := s.stamp(c.Tags)
	seq := s.clock
	if c.Mode == cache.ClaimNothing {
		seq = highest // as stores may, for which the clock would be one key more to read
	}
	now, r := time.Now(), s.get(c.Key)
	switch {
	case held || r != nil && len(r.holds) > 0:
		return cache.Entry{State: cache.Held, Seq: seq}
	case r == nil && c.Mode == cache.ClaimNothing:
		return cache.Entry{State: cache.Missing, Seq: seq}
	case r == nil || c.Mode == cache.ClaimReplace && r.filled && r.id == c.Seen:
		s.sweep(now)
		r = &record{token: c.Token, expires: now.Add(c.TTL)}
		s.touch(r)
		s.records[c.Key] = r
	}
	granted := s.grant(r, c, now)
	e := cache.Entry{State: cache.Leased, Granted: granted, Left: r.expires.Sub(now), Seq: seq, ID: r.id}
	if r.filled {
		e.State, e.Valid, e.Version = cache.Filled, r.seq >= highest, r.version
		e.Paused = c.Mode == cache.ClaimBeside && r.paused && !now.After(r.until)
		e.Body = append([]byte{}, r.body...)
	}
	return e
}

// grant gives the claim the lease it asks for, if that is free.
func (s *server) grant(r *record, c cache.Claim, now time.Time) bool {
	switch granted := c.Token != "" && r.token == c.Token && (!r.filled || !r.until.IsZero()); {
	case granted || c.Mode == cache.ClaimNothing:
		return granted
	case c.Mode == cache.ClaimBeside && r.filled && now.After(r.until):
		r.token, r.until, r.paused, r.awaited = c.Token, now.Add(c.TTL), false, false
		s.touch(r)
		return true
	case c.Mode == cache.ClaimAwait && (!r.filled || !r.paused && now.Before(r.until)):
		r.awaited = true
	}
	return false
}

func (s *server) fill(f cache.Fill) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.get(f.Key)
	if f.Token == "" {
		return s.put(r, f)
	}
	if r == nil || r.token != f.Token {
		return false
	}
	stored := true
	if !r.filled || !r.until.IsZero() { // else it is a repetition
		s.woken(r, f.Key)
		if stored = !r.filled || f.Version == 0 || f.Version >= r.version; stored {
			*r = record{
				filled: true, body: append([]byte{}, f.Body...), seq: f.Seq, version: f.Version,
				token: f.Token, expires: time.Now().Add(f.TTL),
			}
		} else {
			r.token, r.until = "", time.Time{}
		}
		s.touch(r)
	}
	stamp, held := s.stamp(f.Tags)
	return stored && !held && f.Seq >= stamp
}

// put stores a caller's own value over an older one, see [cache.Store].
func (s *server) put(r *record, f cache.Fill) bool {
	if r != nil && (len(r.holds) > 0 || r.filled && r.version > f.Version) {
		return false
	}
	s.publish(cache.Event{Kind: cache.EventInvalidated, Name: f.Key})
	if r == nil || !r.filled || r.version == 0 {
		delete(s.records, f.Key)
		return false
	}
	*r = record{
		filled: true, body: append([]byte{}, f.Body...), seq: r.seq, version: f.Version,
		expires: time.Now().Add(f.TTL),
	}
	s.touch(r)
	stamp, held := s.stamp(f.Tags)
	return !held && r.seq >= stamp
}

// woken tells those who await the lease of r that it has ended.
func (s *server) woken(r *record, key string) {
	if r.awaited {
		r.awaited = false
		s.publish(cache.Event{Kind: cache.EventFilled, Name: key})
	}
}

func (s *server) renew(l cache.Lease, ttl time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.get(l.Key)
	switch {
	case r == nil || r.token != l.Token:
	case !r.filled:
		r.expires = time.Now().Add(ttl)
	case !r.until.IsZero():
		r.until = time.Now().Add(ttl)
	}
}

func (s *server) abandon(l cache.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.get(l.Key)
	if r == nil || r.token != l.Token || r.filled && r.until.IsZero() {
		return
	}
	s.woken(r, l.Key)
	if !r.filled {
		delete(s.records, l.Key)
		return
	}
	r.until, r.token, r.paused = time.Time{}, "", l.Pause > 0
	if r.paused {
		r.until = time.Now().Add(l.Pause)
	}
	s.touch(r)
}

func (s *server) invalidate(keys, tags []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		if r := s.get(k); r != nil && len(r.holds) == 0 {
			delete(s.records, k)
		}
	}
	s.announce(keys, tags)
}

// announce moves the stamps of tags and tells the watchers of all names.
func (s *server) announce(keys, tags []string) {
	for _, k := range keys {
		s.publish(cache.Event{Kind: cache.EventInvalidated, Name: k})
	}
	for _, t := range tags {
		s.stamps[t] = s.tick()
		s.publish(cache.Event{Kind: cache.EventStamped, Name: t})
	}
}

func (s *server) beat(node string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watchers {
		if w.node == node {
			w.put(cache.Event{Kind: cache.EventBeat, N: n})
		}
	}
}

// publish is called with mu held, so that all watchers see the order of execution.
func (s *server) publish(e cache.Event) {
	for _, w := range s.watchers {
		w.put(e)
	}
}

func (s *server) subscribe(node string) *watcher {
	w := &watcher{node: node, signal: make(chan struct{}, 1)}
	w.put(cache.Event{Kind: cache.EventReady})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers = append(s.watchers, w)
	return w
}

func (s *server) unsubscribe(gone *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range s.watchers {
		if w == gone {
			s.watchers = append(s.watchers[:i:i], s.watchers[i+1:]...)
			return
		}
	}
}
