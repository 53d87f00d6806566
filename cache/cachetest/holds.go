package cachetest

import (
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

// holds are the ends of the holds on one name, by token.
type holds map[string]time.Time

// prune removes what has ended and reports whether anything was removed.
func (h holds) prune(now time.Time) (ended bool) {
	for token, end := range h {
		if !now.Before(end) {
			delete(h, token)
			ended = true
		}
	}
	return ended
}

func (h holds) last() (end time.Time) {
	for _, e := range h {
		if e.After(end) {
			end = e
		}
	}
	return end
}

func (s *server) hold(h cache.Hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, k := range h.Keys {
		r := s.get(k)
		if r == nil || len(r.holds) == 0 {
			r = &record{holds: make(holds)}
			s.records[k] = r
		}
		r.holds[h.Token] = now.Add(h.TTL)
		r.expires = r.holds.last()
	}
	for _, t := range h.Tags {
		if s.tagHolds[t] == nil {
			s.tagHolds[t] = make(holds)
		}
		s.tagHolds[t][h.Token] = now.Add(h.TTL)
	}
	s.announce(h.Keys, h.Tags)
}

func (s *server) release(h cache.Hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, k := range h.Keys {
		r := s.get(k)
		if r == nil {
			continue
		}
		delete(r.holds, h.Token)
		r.holds.prune(now)
		r.expires = r.holds.last()
		if len(r.holds) == 0 {
			delete(s.records, k)
		}
	}
	for _, t := range h.Tags {
		delete(s.tagHolds[t], h.Token)
		if len(s.tagHolds[t]) == 0 {
			delete(s.tagHolds, t)
		}
	}
	s.announce(h.Keys, h.Tags)
}
