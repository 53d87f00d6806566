package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// grant is the right to load an entry and store it.
type grant struct {
	entry Entry
	lease Lease
	mark  mark // taken before the claim
}

// beside reports whether a value stays readable while the grant's holder loads.
func (g *grant) beside() bool { return g.entry.State == Filled }

// bypass loads without the store.
func (s *space[V]) bypass(ctx context.Context, sp *spec, load loader[V]) result[V] {
	s.count(ctx, bypasses)
	proof := s.coherence.ticks.Add(1)
	if s.secluded(ctx, sp) {
		proof = 0
	}
	var l Loaded[V]
	err := s.call(ctx, sp, func(ctx context.Context) (err error) {
		l, err = load(ctx, nil)
		return err
	})
	return result[V]{value: l.Value, err: err, stored: time.Now(), status: StatusBypass, proof: proof}
}

// load runs the caller's function, which may look at what the entry has so far, and stores what
// it returns, if the lease lives until then.
func (s *space[V]) load(ctx context.Context, sp *spec, load loader[V], g grant, prev *found[V]) result[V] {
	s.count(ctx, misses)
	began, since := s.coherence.ticks.Add(1), s.now()
	alone := s.secluded(ctx, sp)
	if alone {
		began = 0
	}
	var l Loaded[V]
	err := s.callLeased(ctx, sp, []Lease{g.lease}, func(ctx context.Context) (err error) {
		l, err = load(ctx, prev)
		return err
	})
	r := result[V]{value: l.Value, err: err, stored: time.Now(), status: StatusMiss, proof: began}
	b, data := s.pack(ctx, sp, &g, l, err, s.now()-since)
	tags := sp.with(b.tags)
	r.own = tags[len(sp.tags):]
	m := s.coherence.extend(g.mark, r.own)
	sent := s.coherence.ticks.Add(1)
	if data == nil || alone || s.pending.blocks(sp.key, tags) { // the store does not know what this process knows
		s.abandon(ctx, g.lease)
		return r
	}
	version := sp.versionOf(l.Value, err)
	if b.tags != nil {
		version = 0 // or a Put, which cannot know them, would take the tags away
	}
	if !s.fill(ctx, g, Fill{
		Key: sp.key, Tags: tags, Token: g.lease.Token, Seq: g.entry.Seq,
		Body: data, TTL: b.life, Version: version,
	}) {
		return r
	}
	r.proof = sent // the store took it: nothing was invalidated until then
	s.keep(sp, &r, &b, m, since, len(data))
	return r
}

// pack writes what a load came to as the store is to keep it. Nil data is for what is not to be
// kept: then the lease is to be given back, with the Pause that pack gave it.
func (s *space[V]) pack(ctx context.Context, sp *spec, g *grant, l Loaded[V], err error, cost time.Duration) (b body, data []byte) {
	b = body{schema: s.schema, cost: cost, validator: l.Validator}
	if refused := checkOwn(l.Tags); refused != nil {
		s.opts.report(ctx, fmt.Errorf("cache: %s: %w", s.name, refused), nil)
		s.pause(g)
		return b, nil
	}
	if len(l.Tags) > 0 {
		b.tags = l.Tags
	}
	fresh := sp.fresh
	if b.ownTTL = l.TTL > 0; b.ownTTL {
		fresh = min(max(l.TTL, time.Millisecond), longest)
	}
	b.fresh = sp.shorten(fresh)
	b.life = b.fresh + sp.stale + sp.ifError
	switch {
	case err == nil && l.TTL < 0:
		if !g.beside() {
			return b, nil
		}
		// An old value is replaced by nothing.
		b.notFound, b.fresh, b.life = true, 0, time.Millisecond
	case err == nil:
		if b.payload, b.packed, err = encodeWith(&s.format, l.Value); err != nil {
			s.opts.report(ctx, fmt.Errorf("cache: %s: %w", s.name, err), nil)
			s.pause(g)
			return b, nil
		}
	case errors.Is(err, ErrNotFound) && (sp.notFound >= time.Millisecond || g.beside()):
		// Absence that is not to be kept still has to replace an old value.
		b.notFound, b.fresh = true, sp.shorten(max(sp.notFound, 0))
		b.life = max(b.fresh, time.Millisecond)
	default:
		s.pause(g)
		return b, nil
	}
	return b, b.append(nil)
}

// pause spares the source where an old value stays: each of its readers would load again.
func (s *space[V]) pause(g *grant) {
	if g.beside() {
		g.lease.Pause = s.opts.lease()
	}
}

// keep puts what was loaded since, and is in the store now, into memory.
func (s *space[V]) keep(sp *spec, r *result[V], b *body, m mark, since time.Duration, size int) {
	if sp.local == nil {
		return
	}
	s.putLocal(sp, &item[V]{
		value: r.value, notFound: b.notFound, stored: r.stored, own: r.own,
		fresh: since + b.cost + b.fresh - earliest(b.cost, b.fresh), mark: m, size: size + len(sp.key),
	})
}

func (s *space[V]) fill(ctx context.Context, g grant, f Fill) bool {
	ok, err := s.store.Fill(s.storeContext(ctx), []Fill{f})
	s.outcome(ctx, "fill", err)
	if err != nil {
		s.abandon(ctx, g.lease) // a full store refuses values, yet takes leases back
		return false
	}
	if !ok[0] {
		s.count(ctx, rejected)
	}
	return ok[0]
}

func (s *space[V]) abandon(ctx context.Context, l Lease) {
	s.outcome(ctx, "abandon", s.store.Abandon(s.storeContext(ctx), []Lease{l}))
}

// callLeased runs load while renewing its leases at each third of their length, but not beyond
// the load's timeout: a load that ignores it must not keep others from taking over.
func (s *space[V]) callLeased(ctx context.Context, sp *spec, leases []Lease, load func(context.Context) error) error {
	var mu sync.Mutex
	var t *time.Timer
	stopped := false
	every, end := s.opts.lease()/3, s.now()+sp.timeout
	mu.Lock()
	t = time.AfterFunc(every, func() {
		err := s.store.Renew(s.storeContext(ctx), leases, s.opts.lease())
		s.outcome(ctx, "renew", err) // a lost lease shows when the fill is refused
		mu.Lock()
		defer mu.Unlock()
		if !stopped && (sp.timeout < 0 || s.now() < end) {
			t.Reset(every)
		}
	})
	mu.Unlock()
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		t.Stop()
	}()
	return s.call(ctx, sp, load)
}

// call runs load in its turn, within its timeout, and turns a panic into an error.
func (s *space[V]) call(ctx context.Context, sp *spec, load func(context.Context) error) (err error) {
	if !s.slots.take(ctx, !sp.refresh) {
		s.count(ctx, shed)
		return fmt.Errorf("%w: %s", ErrLoadShed, s.name)
	}
	defer s.slots.give()
	ctx, cancel := withTimeout(ctx, sp.timeout)
	defer cancel()
	returned := false
	defer func() {
		if !returned {
			err = s.panicked(ctx, recover())
		}
		if err != nil && !isNotFound(err) {
			s.count(ctx, loadErrors)
		}
	}()
	err = load(ctx)
	returned = true
	return err
}

// panicked reports a panic, or the end of the goroutine if p is nil, of a load.
func (s *space[V]) panicked(ctx context.Context, p any) error {
	err := fmt.Errorf("%w: %s: %v", ErrLoadPanic, s.name, p)
	if p == nil {
		err = errEnded(s.name)
	}
	s.opts.report(ctx, err, debug.Stack())
	return err
}

// broken is for a flight that did not return: a codec panicked, or a load ended its goroutine,
// which call has reported.
func (s *space[V]) broken(ctx context.Context, p any) error {
	if p == nil {
		return errEnded(s.name)
	}
	return s.panicked(ctx, p)
}

func errEnded(name string) error {
	return fmt.Errorf("%w: %s: it ended its goroutine", ErrLoadPanic, name)
}
