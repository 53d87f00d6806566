package tenancytest

import (
	"context"
	"slices"
	"sync"

	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// Sink is an outbox.Sink in memory, for tests of relays. The zero value is ready for use, by any number of relays.
type Sink struct {
	mu       sync.Mutex // guards the rest
	position string
	events   []outbox.Event
	saved    *Sink
	faults   []error
	changed  chan struct{}
}

var _ outbox.Sink = (*Sink)(nil)

// Events returns what was delivered, in order.
func (s *Sink) Events() []outbox.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// Wait returns when at least n events were delivered, or with the error of ctx.
func (s *Sink) Wait(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		if len(s.events) >= n {
			s.mu.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// FailNext makes the next calls of Deliver fail, one per error. The delivery is done all the same: to the relay its outcome
// is unknown.
func (s *Sink) FailNext(errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, errs...)
}

// Save remembers the state for Restore.
func (s *Sink) Save() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = &Sink{position: s.position, events: slices.Clone(s.events)}
}

// Restore throws the sink back to the state of the last Save, as a server that loses its last seconds does.
func (s *Sink) Restore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saved != nil {
		s.position, s.events = s.saved.position, slices.Clone(s.saved.events)
	}
}

// Position implements outbox.Sink.
func (s *Sink) Position(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.position, nil
}

// Deliver implements outbox.Sink.
func (s *Sink) Deliver(_ context.Context, from, to string, events []outbox.Event) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.position != from {
		return false, nil
	}
	s.position = to
	s.events = append(s.events, events...)
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	if len(s.faults) > 0 {
		err := s.faults[0]
		s.faults = s.faults[1:]
		return false, err
	}
	return true, nil
}
