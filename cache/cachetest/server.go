package cachetest

import (
	"strconv"
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
	clock    int64 // highest stamp given out
	versions int64
	watchers []*watcher
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
	version string
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
	r.version = strconv.FormatInt(s.versions, 10)
}

// stamp returns the highest stamp of tags, making those that are missing.
func (s *server) stamp(tags []string) (highest int64) {
	for _, t := range tags {
		if _, ok := s.stamps[t]; !ok {
			s.stamps[t] = s.tick()
		}
		highest = max(highest, s.stamps[t])
	}
	return highest
}

func (s *server) acquire(c cache.Claim) cache.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq, now, r := s.stamp(c.Tags), time.Now(), s.get(c.Key)
	if r == nil || c.Mode == cache.ClaimReplace && r.filled && r.version == c.Seen {
		s.sweep(now)
		r = &record{token: c.Token, expires: now.Add(c.TTL)}
		s.touch(r)
		s.records[c.Key] = r
	}
	granted := r.token == c.Token && (!r.filled || !r.until.IsZero())
	switch c.Mode {
	case cache.ClaimBeside:
		if r.filled && now.After(r.until) {
			r.token, r.until, granted = c.Token, now.Add(c.TTL), true
			s.touch(r)
		}
	case cache.ClaimAwait:
		if !r.filled && !granted {
			r.awaited = true
		}
	}
	e := cache.Entry{State: cache.Leased, Granted: granted, Left: r.expires.Sub(now), Seq: seq, Version: r.version}
	if r.filled {
		e.State, e.Valid = cache.Filled, r.seq >= seq
		e.Body = append([]byte{}, r.body...)
	}
	return e
}

func (s *server) fill(f cache.Fill) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.get(f.Key)
	if r == nil || r.token != f.Token {
		return false
	}
	if !r.filled || !r.until.IsZero() { // else it is a repetition
		if r.awaited {
			s.publish(cache.Event{Kind: cache.EventFilled, Name: f.Key})
		}
		*r = record{
			filled: true, body: append([]byte{}, f.Body...), seq: f.Seq,
			token: f.Token, expires: time.Now().Add(f.TTL),
		}
		s.touch(r)
	}
	return f.Seq >= s.stamp(f.Tags)
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
	switch {
	case r == nil || r.token != l.Token:
	case !r.filled:
		delete(s.records, l.Key)
		if r.awaited {
			s.publish(cache.Event{Kind: cache.EventFilled, Name: l.Key})
		}
	default:
		r.until, r.token = time.Time{}, ""
		s.touch(r)
	}
}

func (s *server) invalidate(keys, tags []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		delete(s.records, k)
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

const maxQueue = 100_000

// watcher is the queue between the server and one Watch.
type watcher struct {
	node   string
	signal chan struct{}

	mu      sync.Mutex
	queue   []cache.Event
	overrun bool
}

func (w *watcher) put(e cache.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) >= maxQueue {
		w.overrun = true
	} else {
		w.queue = append(w.queue, e)
	}
	select {
	case w.signal <- struct{}{}:
	default: // it is set
	}
}

func (w *watcher) take() (events []cache.Event, overrun bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	events, w.queue = w.queue, nil
	return events, w.overrun
}
