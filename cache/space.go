package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"
)

// space is one cache below its key type: what to do for an entry whose name is known.
type space[V any] struct {
	*core
	name   string
	tally  *tally
	seed   maphash.Seed // of its keys in memory
	schema uint64
	format format
	slots  slots

	mu       sync.Mutex
	flights  map[string]*flight[V]
	idle     []*flight[V]    // landed, to be used again
	renewing map[string]bool // keys being refreshed in the background
}

// spec is one request for an entry.
type spec struct {
	key, tenant                     string
	tags                            []string
	fresh, stale, notFound, timeout time.Duration
	ifError, soft                   time.Duration
	jitter                          float64
	refresh                         bool // in the background, for nobody who waits
	asks                            bool // the load may name tags

	version func(any) int64 // of a value; nil if not known

	local any    // *localKey for memory; nil to leave memory alone
	hash  uint64 // of it
}

// mark is what the memory of this request depends on.
func (s *space[V]) mark(sp *spec) (m mark) {
	if sp.local != nil {
		m = s.coherence.mark(sp.key, sp.tags)
	}
	return m
}

// versionOf is the version to store with what a load came to.
func (sp *spec) versionOf(v any, err error) int64 {
	if sp.version == nil || err != nil {
		return 0
	}
	return sp.version(v)
}

// shorten takes the jitter off a life.
func (sp *spec) shorten(life time.Duration) time.Duration {
	return life - time.Duration(rand.Float64()*sp.jitter*float64(life))
}

// result is what a request comes to.
type result[V any] struct {
	value  V
	own    []string // tags of the value's own
	err    error    // ErrNotFound (perhaps wrapped), an error of load, or why there was none
	stored time.Time
	status string

	// proof is the tick of a moment at which the value was up to date for certain.
	proof uint64
}

// get is what a caller gets: nothing but the error if there is one.
func (r result[V]) get() (V, error) {
	if r.err != nil {
		var zero V
		return zero, r.err
	}
	return r.value, nil
}

// shareable reports whether a caller that started at tick start may have the result. An error
// is no old data, and sharing it spares whatever is failing.
func (r *result[V]) shareable(start uint64) bool {
	return r.proof >= start || r.err != nil && !errors.Is(r.err, ErrNotFound)
}

// refresh loads a newer value in the background, at most once at a time; it is dropped, not
// queued, when too many are at work.
func (s *space[V]) refresh(ctx context.Context, sp *spec, load loader[V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.renewing[sp.key] {
		return
	}
	select {
	case s.refreshes <- struct{}{}:
	default:
		return
	}
	s.renewing[sp.key] = true
	ctx = context.WithoutCancel(ctx)
	s.work.start(func() {
		defer func() {
			if p := recover(); p != nil {
				_ = s.panicked(ctx, p) // reported; there is no caller to tell
			}
			<-s.refreshes
			s.mu.Lock()
			delete(s.renewing, sp.key)
			s.mu.Unlock()
		}()
		sp := *sp
		sp.refresh = true
		s.refreshNow(ctx, &sp, load)
	})
}

func (s *space[V]) refreshNow(ctx context.Context, sp *spec, load loader[V]) {
	m := s.mark(sp)
	claim := s.claimOf(sp, ClaimBeside)
	if e, err := s.claim(ctx, claim); err == nil && e.Granted {
		f := s.read(ctx, sp, &e, m)
		g := grant{entry: e, lease: Lease{Key: sp.key, Token: claim.Token}, mark: m}
		if f.private {
			s.abandon(ctx, g.lease)
			return
		}
		r := s.load(ctx, sp, load, g, f.previous())
		if r.err != nil && !errors.Is(r.err, ErrNotFound) && !errors.Is(r.err, ErrLoadShed) {
			s.opts.report(ctx, fmt.Errorf("cache: %s: refresh: %w", s.name, r.err), nil)
		}
	}
}
