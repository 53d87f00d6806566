package analyticstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ashlar-go/ashlar/analytics"
)

// ErrDown is what a [Store] answers while it is down.
var ErrDown = errors.New("analyticstest: store is down")

// Store is an analytics.Store in memory. Make it with [NewStore].
type Store struct {
	mu       sync.Mutex
	records  []analytics.Record
	tokens   map[string]bool
	attempts []string
	down     bool
	lose     int
	refuse   func(analytics.Record) bool
}

var _ analytics.Store = (*Store)(nil)

// NewStore returns an empty store that works.
func NewStore() *Store { return &Store{tokens: map[string]bool{}} }

// SetDown makes Insert and Query fail with [ErrDown] and without effect, until it is called with false.
func (s *Store) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// LoseAnswers makes the next n Inserts take effect and then fail, as when the connection breaks before the answer.
func (s *Store) LoseAnswers(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = n
}

// Refuse makes Insert refuse whole batches that contain a record for which f is true, with analytics.ErrRejected. nil
// refuses nothing.
func (s *Store) Refuse(f func(analytics.Record) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = f
}

// Records returns the stored records of all tenants in order of arrival. The slice is the caller's.
func (s *Store) Records() []analytics.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// Attempts returns the token of every Insert so far, failed ones included. The slice is the caller's.
func (s *Store) Attempts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.attempts)
}

// Insert implements analytics.Store.
func (s *Store) Insert(ctx context.Context, b analytics.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts = append(s.attempts, b.Token)
	if s.down {
		return ErrDown
	}
	if s.refuse != nil {
		if i := slices.IndexFunc(b.Records, s.refuse); i >= 0 {
			return fmt.Errorf("%w: record %s", analytics.ErrRejected, b.Records[i].ID)
		}
	}
	if !s.tokens[b.Token] {
		s.tokens[b.Token] = true
		s.records = append(s.records, b.Records...)
	}
	if s.lose > 0 {
		s.lose--
		return errors.New("analyticstest: the answer was lost")
	}
	return nil
}

// Query implements analytics.Store.
func (s *Store) Query(ctx context.Context, q analytics.Query) ([]analytics.Row, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		return nil, ErrDown
	}
	records := s.records[:len(s.records):len(s.records)] // only ever appended to
	s.mu.Unlock()
	return aggregate(records, q)
}
