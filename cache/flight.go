package cache

import (
	"context"
	"fmt"
	"time"
)

// flight is a request in progress, on behalf of all callers in this process.
type flight[V any] struct {
	done   chan struct{} // closed when it has landed; nil while nobody waits
	result result[V]     // to be read after done
	claims [1]Claim      // of the glance
}

const maxIdle = 64 // flights that are kept for use again

// sight is what a glance at the store came to, for the lookup to start from.
type sight struct {
	mode   Mode
	seen   string
	failed bool // the store is to be left alone
	alone  bool // load for this caller only: what there is, his unit of work has changed
}

// fetch answers from the store or by loading, together with others who want the same. load
// makes the function that loads, for which a hit has no use.
//
// The first caller leads: it looks into the store by itself, which is all there is to a hit.
// What may take longer than that, and must not end with its caller, gets a goroutine.
//
// The rule for joining: a caller may take the result of a flight that others started only if
// the value was proven up to date after the caller came (otherwise it might have come after
// an invalidation that the flight did not see). Failing that it joins or starts the next
// flight, which begins after it came. Ticks, not times, order these moments.
func (s *space[V]) fetch(ctx context.Context, sp *spec, load func() loader[V]) result[V] {
	start := s.coherence.ticks.Add(1)
	var soft <-chan time.Time
	for waited := false; ; waited = true {
		if ctx.Err() != nil {
			return result[V]{err: fmt.Errorf("cache: %s: %w", s.name, ctx.Err())}
		}
		f, mine := s.join(sp.key)
		if mine {
			if r, ok := s.glance(ctx, sp, f, load); ok {
				return r
			}
		}
		if !waited && sp.soft > 0 {
			soft = time.After(sp.soft)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			continue
		case <-soft:
			soft = nil
			if r, ok := s.spare(ctx, sp); ok {
				return r
			}
			select {
			case <-f.done:
			case <-ctx.Done():
				continue
			}
		}
		r := f.result
		if mine {
			return r
		}
		if r.shareable(start) {
			if r.status == StatusMiss {
				r.status = StatusCollapsed
				s.count(ctx, collapsed)
			}
			return r
		}
	}
}

// join returns the flight for the entry, and whether this call started it and is to lead it.
func (s *space[V]) join(key string) (f *flight[V], mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.flights[key]; ok {
		if f.done == nil {
			f.done = make(chan struct{})
		}
		return f, false
	}
	if n := len(s.idle); n > 0 {
		f, s.idle = s.idle[n-1], s.idle[:n-1]
	} else {
		f = new(flight[V])
	}
	s.flights[key] = f
	return f, true
}

// land ends a flight and tells those who wait for it.
func (s *space[V]) land(key string, f *flight[V], r result[V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flights, key)
	if f.done != nil {
		f.result = r
		close(f.done)
		return
	}
	if len(s.idle) < maxIdle {
		f.claims[0] = Claim{} // keep nothing alive
		s.idle = append(s.idle, f)
	}
}

// glance lands the flight if the store has a value that may be served; if not, the flight goes
// on in a goroutine of its own.
func (s *space[V]) glance(ctx context.Context, sp *spec, f *flight[V], load func() loader[V]) (r result[V], ok bool) {
	returned := false
	defer func() {
		if !returned {
			r, ok = result[V]{err: s.broken(ctx, recover())}, true
			s.land(sp.key, f, r)
		}
	}()
	r, from, due, ok := s.look(ctx, sp, f)
	if ok {
		s.land(sp.key, f, r)
	}
	if from.alone {
		s.land(sp.key, f, result[V]{}) // without proof: who joined looks for himself
		returned = true
		return s.bypass(ctx, sp, load()), true
	}
	if !ok || due {
		own := *sp
		if ok {
			s.refresh(ctx, &own, load())
		} else {
			s.depart(ctx, &own, f, from, load())
		}
	}
	returned = true
	return r, ok
}

// look reads the entry without a lease, so that nothing is left behind if the caller goes.
func (s *space[V]) look(ctx context.Context, sp *spec, f *flight[V]) (r result[V], from sight, due, ok bool) {
	m, proof := s.mark(sp), s.coherence.ticks.Add(1)
	if !s.usable(ctx, sp) {
		return r, sight{failed: true}, false, false
	}
	f.claims[0] = Claim{Key: sp.key, Tags: sp.tags, Mode: ClaimNothing}
	entries, err := s.store.Acquire(s.callContext(ctx), f.claims[:])
	if err != nil {
		if ended(ctx) { // which says nothing about the store
			return r, sight{}, false, false
		}
		s.outcome(ctx, "acquire", err)
		return r, sight{failed: true}, false, false
	}
	s.outcome(ctx, "acquire", nil)
	e := &entries[0]
	found := s.read(ctx, sp, e, m)
	switch {
	case found.private:
		from = sight{alone: true}
	case found.served(sp):
		r, due = s.serve(ctx, sp, &found, proof)
		return r, sight{}, due, true
	case e.State == Filled && !found.ok:
		from = sight{mode: ClaimReplace, seen: e.ID}
	case e.State == Filled:
		from = sight{mode: ClaimBeside}
	}
	return r, from, false, false
}

// depart takes a flight off the hands of its caller.
func (s *space[V]) depart(ctx context.Context, sp *spec, f *flight[V], from sight, load loader[V]) {
	s.mu.Lock()
	if f.done == nil {
		f.done = make(chan struct{})
	}
	s.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	s.work.start(func() {
		var r result[V]
		returned := false
		defer func() {
			if !returned {
				r = result[V]{err: s.broken(ctx, recover())}
			}
			s.land(sp.key, f, r)
		}()
		r = s.lookup(ctx, sp, from, load)
		returned = true
	})
}
