package tenancytest

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
)

// faulty is a session of a real server under the faults of its kit. As in memory, they strike between batches.
type faulty struct {
	tenancy.Session
	kit     *Kit
	aborted bool // by a fault; the server has not heard of it
}

// Send implements tenancy.Session.
func (s *faulty) Send(ctx context.Context, b *tenancy.Batch) (pgx.BatchResults, error) {
	if s.Lost() {
		return nil, &tenancy.StepError{Index: -1, Err: ErrConnLost}
	}
	if err := s.kit.trip(); err != nil {
		s.aborted = true
		if errors.Is(err, ErrConnLost) {
			s.cut()
		}
		return nil, &tenancy.StepError{Index: -1, Err: err}
	}
	if s.aborted && (len(b.Steps) == 0 || b.Steps[0].Op != tenancy.OpRollbackTo) {
		return nil, &tenancy.StepError{Index: 0, Err: errAborted()}
	}
	s.aborted = false
	lose, done := s.kit.losing()
	if !b.Commit || !lose {
		return s.Session.Send(ctx, b)
	}
	until := *b
	until.CommitLSN = nil // nobody hears of it
	if !done {
		until.Commit, until.Events = false, nil
	}
	br, err := s.Session.Send(ctx, &until)
	if err != nil {
		return nil, err
	}
	return &unanswered{BatchResults: br, session: s}, nil
}

// cut breaks the connection.
func (s *faulty) cut() {
	_ = s.Conn().PgConn().Conn().Close() // it is gone in any case
	_ = s.Conn().Close(context.Background())
}

// LargeObjects serves Tx.LargeObjects.
func (s *faulty) LargeObjects() pgx.LargeObjects {
	return s.Session.(interface{ LargeObjects() pgx.LargeObjects }).LargeObjects()
}

// Release implements tenancy.Session.
func (s *faulty) Release(ctx context.Context) {
	s.Session.Release(ctx)
	s.kit.mu.Lock()
	defer s.kit.mu.Unlock()
	s.kit.open--
}

// unanswered are the results of a batch whose COMMIT gets no answer.
type unanswered struct {
	pgx.BatchResults
	session *faulty
	closed  bool
	err     error
}

// Close loses the connection after everything else was answered.
func (r *unanswered) Close() error {
	if r.closed {
		return r.err
	}
	r.closed = true
	if r.err = r.BatchResults.Close(); r.err == nil {
		r.session.kit.lost()
		r.session.cut()
		r.err = ErrConnLost
	}
	return r.err
}
