package cache

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
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
	return Claim{Key: sp.key, Tags: sp.tags, Token: crand.Text()[:16], TTL: s.opts.lease(), Mode: mode}
}

func (s *space[V]) claim(ctx context.Context, c Claim) (Entry, error) {
	entries, err := s.store.Acquire(s.storeContext(ctx), []Claim{c})
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

// lookup is a flight that no glance could end: take the lease and load, or wait for whoever has it.
func (s *space[V]) lookup(ctx context.Context, sp *spec, from sight, load loader[V]) result[V] {
	if from.failed {
		return s.bypass(ctx, sp, load)
	}
	var (
		wake    <-chan struct{}
		mode    = from.mode
		seen    = from.seen
		old     *result[V] // to be served if loading fails
		pause   = firstPoll
		patient = s.now() + sp.timeout + s.opts.lease()
	)
	if sp.soft > 0 {
		patient = min(patient, s.now()+sp.soft)
	}
	for rounds := 0; rounds < maxRounds; rounds++ {
		m := s.mark(sp)
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
		f := s.read(ctx, sp, &e, m)
		if f.private {
			return s.apart(ctx, sp, load, &e, claim.Token)
		}
		if f.served(sp) {
			r, due := s.serve(ctx, sp, &f, proof)
			if due {
				s.refresh(ctx, sp, load)
			}
			return r
		}
		if old = nil; f.ok {
			old = &result[V]{value: f.value, own: f.own, stored: f.stored, status: StatusStale, proof: proof}
		}
		if e.Granted {
			r := s.load(ctx, sp, load, grant{entry: e, lease: Lease{Key: sp.key, Token: claim.Token}, mark: m}, f.previous())
			return s.orOld(ctx, sp, r, old)
		}
		switch {
		case e.State == Filled && !f.ok:
			mode, seen = ClaimReplace, e.ID
			continue
		case e.State == Filled && e.Paused:
			return s.orOld(ctx, sp, result[V]{err: errPaused}, old)
		case e.State == Filled && mode != ClaimBeside && mode != ClaimAwait:
			mode = ClaimBeside
			continue
		case e.State == Filled, e.State == Leased:
			if wake == nil { // be listening before asking to be told
				ch, remove := s.waiters.add(sp.key)
				defer remove()
				wake, mode = ch, ClaimAwait
				continue
			}
			if (sp.timeout >= 0 || sp.soft > 0) && s.now() > patient {
				if old != nil && sp.soft > 0 {
					return s.orOld(ctx, sp, result[V]{err: errPaused}, old)
				}
				return s.orOld(ctx, sp, s.bypass(ctx, sp, load), old)
			}
			rounds--
			s.await(wake, pause)
			pause = min(2*pause, lastPoll)
			if mode = ClaimAwait; e.State == Filled {
				mode = ClaimBeside
			}
			continue
		}
		break
	}
	return s.orOld(ctx, sp, s.bypass(ctx, sp, load), old)
}

// apart loads for the caller's unit of work and for nobody else.
func (s *space[V]) apart(ctx context.Context, sp *spec, load loader[V], e *Entry, token string) result[V] {
	if e.Granted {
		s.abandon(ctx, Lease{Key: sp.key, Token: token})
	}
	r := s.bypass(ctx, sp, load)
	r.proof = 0
	return r
}

// errPaused never reaches a caller: the old value does, and nobody is to be told.
var errPaused = errors.New("cache: not now")

// orOld is the old value, if there is one, in place of an error.
func (s *space[V]) orOld(ctx context.Context, sp *spec, r result[V], old *result[V]) result[V] {
	if old == nil || r.err == nil || errors.Is(r.err, ErrNotFound) || s.pending.blocks(sp.key, sp.tags) || s.pending.blocks("", old.own) {
		return r
	}
	if r.err != errPaused {
		s.opts.report(ctx, fmt.Errorf("cache: %s: an old value is served: %w", s.name, r.err), nil)
	}
	s.count(ctx, stale)
	return *old
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

// found is what an entry of the store has for a request.
type found[V any] struct {
	ok        bool // it may be served, if need be only when loading fails
	value     V
	notFound  bool
	validator string
	tags, own []string // that its load named; those of them that the request did not know, as the store knows them
	mark      mark     // for memory
	private   bool     // not ok, for it may be what the caller's unit of work has changed
	stored    time.Time
	age       time.Duration
	fresh     time.Duration // of which age is to be less
	cost      time.Duration // of its load
	size      int
}

// served reports whether the value is served without trying to load first.
func (f *found[V]) served(sp *spec) bool {
	return f.ok && f.age < f.fresh+f.stale(sp)
}

func (f *found[V]) stale(sp *spec) time.Duration {
	if f.notFound {
		return 0
	}
	return sp.stale
}

// previous is what a load may be shown of f: a copy, or f would be on the heap for each hit.
func (f found[V]) previous() *found[V] {
	if !f.ok || f.notFound {
		return nil
	}
	return &f
}

// read decodes a stored entry, if it is one that may be served; m was taken before the entry was
// claimed. Where the value's own tags say that it may not, read changes e accordingly.
func (s *space[V]) read(ctx context.Context, sp *spec, e *Entry, m mark) (f found[V]) {
	f, b := s.open(sp, e, m)
	if len(f.own) > 0 {
		s.compare(ctx, e, &f)
	}
	s.decode(ctx, &f, &b)
	return f
}

// open is read without its second look and without the value. The own tags of what it returns
// are to be compared after it, because f.mark counts on them from here on.
func (s *space[V]) open(sp *spec, e *Entry, m mark) (f found[V], b body) {
	if e.State != Filled || !e.Valid {
		return f, b
	}
	b, err := parseBody(e.Body)
	if err != nil || b.schema != s.schema {
		return f, b
	}
	f.age, f.fresh, f.cost, f.size = max(b.life-e.Left, 0), b.fresh, b.cost, len(e.Body)
	if !b.ownTTL {
		f.fresh = min(f.fresh, sp.fresh)
	}
	life := f.fresh + sp.stale + sp.ifError
	if f.notFound = b.notFound; f.notFound {
		f.fresh = min(b.fresh, sp.notFound)
		life = f.fresh
	}
	f.ok, f.mark = f.age < life, m
	if f.ok && b.tags != nil {
		f.tags, f.own = b.tags, sp.with(b.tags)[len(sp.tags):]
		f.mark = s.coherence.extend(m, f.own)
	}
	return f, b
}

// decode completes what is to be served.
func (s *space[V]) decode(ctx context.Context, f *found[V], b *body) {
	if !f.ok {
		return
	}
	if !f.notFound {
		var size int
		var err error
		if f.value, size, err = decodeWith[V](&s.format, b.payload, b.packed); err != nil {
			s.opts.report(ctx, fmt.Errorf("cache: %s: %w", s.name, err), nil) // or it would never hit, silently
			*f = found[V]{}
			return
		}
		f.size += size - len(b.payload)
	}
	f.validator, f.stored = b.validator, time.Now().Add(-f.age)
}

// serve turns what was found into a result, and says whether it is due to be refreshed.
func (s *space[V]) serve(ctx context.Context, sp *spec, f *found[V], proof uint64) (r result[V], due bool) {
	r = result[V]{value: f.value, stored: f.stored, status: StatusHit, proof: proof}
	if f.notFound {
		r.err = ErrNotFound
	}
	if f.age >= f.fresh {
		r.status = StatusStale
		s.count(ctx, stale)
		return r, true
	}
	s.count(ctx, hits)
	if f.age+early(f.cost, f.fresh) >= f.fresh {
		s.count(ctx, earlies)
		due = true
	}
	if sp.local != nil {
		s.putLocal(sp, &item[V]{
			value: f.value, notFound: f.notFound, stored: f.stored, own: f.own,
			fresh: s.now() + f.fresh - f.age - earliest(f.cost, f.fresh), mark: f.mark, size: f.size + len(sp.key),
		})
	}
	return r, due
}

// early is how long before its end a value that takes cost to load is loaded again, drawn
// anew for each reader: XFetch with beta = 1, of Vattani, Chierichetti and Lowenstein,
// "Optimal Probabilistic Cache Stampede Prevention", PVLDB 8(8), 2015. The chance of being
// early by more than r is exp(-r/cost), so the more readers a value has the surer it is
// loaded before it ends, and the lease sees to it that only one loads. In the first half of
// its life a value is left alone, or one that takes as long to load as it lives would be
// loaded all the time.
func early(cost, fresh time.Duration) time.Duration {
	return min(time.Duration(float64(cost)*rand.ExpFloat64()), fresh/2)
}

// earliest is how long before its end memory leaves a value to the store: its readers could
// be early from then on (with a chance of less than 1 % each), and only there they draw.
func earliest(cost, fresh time.Duration) time.Duration { return min(5*cost, fresh/2) }

// spare is what the store has for a caller who has waited long enough.
func (s *space[V]) spare(ctx context.Context, sp *spec) (r result[V], ok bool) {
	if !s.usable(ctx, sp) {
		return r, false
	}
	e, err := s.claim(ctx, Claim{Key: sp.key, Tags: sp.tags, Mode: ClaimNothing})
	if err != nil {
		return r, false
	}
	f := s.read(ctx, sp, &e, mark{})
	if !f.ok {
		return r, false
	}
	r = result[V]{value: f.value, stored: f.stored, status: StatusHit}
	if f.notFound {
		r.err = ErrNotFound
	}
	if f.age >= f.fresh {
		r.status = StatusStale
		s.count(ctx, stale)
	}
	return r, true
}
