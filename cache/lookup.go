package cache

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"
)

const (
	maxRounds = 16 // claims without waiting, before a request goes around the store
	firstPoll = 5 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
)

// claimOf makes a claim with a token of its own: two attempts never share one, or the fill of
// the first could pass for the second's.
func (s *space[V]) claimOf(sp *spec, mode Mode) Claim {
	return Claim{Key: sp.key, Tags: sp.tags, Token: rand.Text()[:16], TTL: s.opts.lease(), Mode: mode}
}

func (s *space[V]) claim(ctx context.Context, c Claim) (Entry, error) {
	ctx, cancel := s.storeContext(ctx)
	defer cancel()
	entries, err := s.store.Acquire(ctx, []Claim{c})
	s.outcome(ctx, "acquire", err)
	if err != nil {
		return Entry{}, err
	}
	return entries[0], nil
}

// usable reports whether the entry may be read from and filled into the store now.
func (s *space[V]) usable(ctx context.Context, sp *spec) bool {
	if !s.breaker.allow() {
		return false
	}
	if !s.pending.blocks(sp.key, sp.tags) {
		return true
	}
	s.flush(ctx)
	return !s.pending.blocks(sp.key, sp.tags)
}

// lookup is one flight: read, or take the lease and load, or wait for whoever has it.
func (s *space[V]) lookup(ctx context.Context, sp *spec, load func(context.Context) (V, error)) result[V] {
	var (
		wake    <-chan struct{}
		mode    Mode
		seen    string
		pause   = firstPoll
		patient = s.now() + sp.timeout + s.opts.lease()
	)
	for rounds := 0; rounds < maxRounds; rounds++ {
		m := s.coherence.mark(sp.key, sp.tags)
		proof := s.coherence.ticks.Add(1)
		if !s.usable(ctx, sp) {
			break
		}
		claim := s.claimOf(sp, mode)
		claim.Seen = seen
		e, err := s.claim(ctx, claim)
		if err != nil {
			break
		}
		if e.Granted {
			return s.load(ctx, sp, load, grant{entry: e, lease: Lease{Key: sp.key, Token: claim.Token}, mark: m})
		}
		switch e.State {
		case Filled:
			if r, ok := s.accept(ctx, sp, e, m, load); ok {
				r.proof = proof
				return r
			}
			mode, seen = ClaimReplace, e.ID
			continue
		case Leased:
			mode = ClaimAwait
			if wake == nil { // be listening before asking to be told
				ch, remove := s.waiters.add(sp.key)
				defer remove()
				wake = ch
				continue
			}
			if sp.timeout >= 0 && s.now() > patient {
				return s.bypass(ctx, sp, load)
			}
			rounds--
			s.await(wake, pause)
			pause = min(2*pause, lastPoll)
			continue
		}
		break
	}
	return s.bypass(ctx, sp, load)
}

// await waits for a message, or a little: without Run there are none, and they can be lost.
func (s *space[V]) await(wake <-chan struct{}, pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-wake:
	case <-t.C:
	}
}

// accept turns a stored entry into a result, if it is one that may be served.
func (s *space[V]) accept(ctx context.Context, sp *spec, e Entry, m mark, load func(context.Context) (V, error)) (r result[V], ok bool) {
	if !e.Valid {
		return r, false
	}
	b, err := parseBody(e.Body)
	if err != nil || b.schema != s.schema {
		return r, false
	}
	age := max(b.life-e.Left, 0)
	fresh, stale := min(b.fresh, sp.fresh), sp.stale
	if b.notFound {
		fresh, stale = min(b.fresh, sp.notFound), 0
	}
	if age >= fresh+stale {
		return r, false
	}
	r = result[V]{stored: time.Now().Add(-age), status: StatusHit}
	if b.notFound {
		r.err = ErrNotFound
	} else if r.value, err = decode[V](b.payload); err != nil {
		s.opts.report(ctx, fmt.Errorf("cache: %s: %w", s.name, err), nil) // or it would never hit, silently
		return result[V]{}, false
	}
	if age >= fresh {
		r.status = StatusStale
		s.opts.count(ctx, "cache.stale", "cache", s.name)
		s.refresh(ctx, sp, load)
		return r, true
	}
	s.opts.count(ctx, "cache.hits", "cache", s.name, "level", "l2")
	s.putLocal(sp, &item{
		value: r.value, notFound: b.notFound, stored: r.stored,
		fresh: s.now() + fresh - age, mark: m, size: len(e.Body),
	})
	return r, true
}
