package cachetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

// ErrDown is what every call returns while a [Store] is [Store.Down].
var ErrDown = errors.New("cachetest: the store is down")

// errCut ends a Watch whose connection was cut.
var errCut = errors.New("cachetest: the watch was cut")

// Store is one process's connection to a store in memory. It is safe for concurrent use.
type Store struct {
	server *server

	mu        sync.Mutex
	down      bool
	drop      bool
	cut       chan struct{}
	intercept func(op string) error
}

var _ cache.Store = (*Store)(nil)

// New returns an empty store for a test.
func New(t testing.TB) *Store {
	t.Helper()
	return NewStore()
}

// NewStore returns an empty store for a program, such as a demo, or an Example. It forgets
// entries when their time is over, but keeps a number for each tag it ever saw.
func NewStore() *Store {
	return connect(&server{records: make(map[string]*record), stamps: make(map[string]int64), tagHolds: make(map[string]holds)})
}

func connect(srv *server) *Store { return &Store{server: srv, cut: make(chan struct{})} }

// Node returns another connection to the same store, with faults of its own: give each hub
// of a test one to simulate several processes.
func (s *Store) Node() *Store { return connect(s.server) }

// Down makes every call on this connection fail with [ErrDown], and ends its watches.
func (s *Store) Down(down bool) {
	s.mu.Lock()
	s.down = down
	s.mu.Unlock()
	if down {
		s.Cut()
	}
}

// DropEvents makes watches on this connection lose all events silently, as a half-open
// network connection does.
func (s *Store) DropEvents(drop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop = drop
}

// Cut ends the watches of this connection with an error.
func (s *Store) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.cut)
	s.cut = make(chan struct{})
}

// Intercept calls f before each call on this connection with the method's name in lower case
// ("acquire", "fill", "renew", "abandon", "invalidate", "hold", "release", "beat", "watch");
// its error becomes the call's, and f may block. Nil removes it.
func (s *Store) Intercept(f func(op string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

func (s *Store) enter(ctx context.Context, op string) error {
	s.mu.Lock()
	down, f := s.down, s.intercept
	s.mu.Unlock()
	if f != nil {
		if err := f(op); err != nil {
			return fmt.Errorf("cachetest: %s: %w", op, err)
		}
	}
	if down {
		return ErrDown
	}
	return ctx.Err()
}

// Acquire implements [cache.Store].
func (s *Store) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	if err := s.enter(ctx, "acquire"); err != nil {
		return nil, err
	}
	out := make([]cache.Entry, len(claims))
	for i, c := range claims {
		out[i] = s.server.acquire(c)
	}
	return out, nil
}

// Fill implements [cache.Store].
func (s *Store) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	if err := s.enter(ctx, "fill"); err != nil {
		return nil, err
	}
	out := make([]bool, len(fills))
	for i, f := range fills {
		out[i] = s.server.fill(f)
	}
	return out, nil
}

// Renew implements [cache.Store].
func (s *Store) Renew(ctx context.Context, leases []cache.Lease, ttl time.Duration) error {
	if err := s.enter(ctx, "renew"); err != nil {
		return err
	}
	for _, l := range leases {
		s.server.renew(l, ttl)
	}
	return nil
}

// Abandon implements [cache.Store].
func (s *Store) Abandon(ctx context.Context, leases []cache.Lease) error {
	if err := s.enter(ctx, "abandon"); err != nil {
		return err
	}
	for _, l := range leases {
		s.server.abandon(l)
	}
	return nil
}

// Invalidate implements [cache.Store].
func (s *Store) Invalidate(ctx context.Context, keys, tags []string) error {
	if err := s.enter(ctx, "invalidate"); err != nil {
		return err
	}
	s.server.invalidate(keys, tags)
	return nil
}

// Hold implements [cache.Store].
func (s *Store) Hold(ctx context.Context, h cache.Hold) error {
	if err := s.enter(ctx, "hold"); err != nil {
		return err
	}
	s.server.hold(h)
	return nil
}

// Release implements [cache.Store].
func (s *Store) Release(ctx context.Context, h cache.Hold) error {
	if err := s.enter(ctx, "release"); err != nil {
		return err
	}
	s.server.release(h)
	return nil
}

// Beat implements [cache.Store].
func (s *Store) Beat(ctx context.Context, node string, n int64) error {
	if err := s.enter(ctx, "beat"); err != nil {
		return err
	}
	s.server.beat(node, n)
	return nil
}

// Watch implements [cache.Store].
func (s *Store) Watch(ctx context.Context, node string, sink func(cache.Event)) error {
	s.mu.Lock()
	cut := s.cut
	s.mu.Unlock()
	if err := s.enter(ctx, "watch"); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	w := s.server.subscribe(node)
	defer s.server.unsubscribe(w)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-cut:
			return errCut
		case <-w.signal:
		}
		events, overrun := w.take()
		if overrun {
			return errors.New("cachetest: the watcher is too slow")
		}
		for _, e := range events {
			s.mu.Lock()
			drop := s.drop
			s.mu.Unlock()
			if !drop {
				sink(e)
			}
		}
	}
}
