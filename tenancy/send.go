package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// over tells whether the unit has ended, or has begun to: COMMIT has what it takes with it, so what came now would be
// neither stored nor refused. The caller holds mu.
func (tx *Tx) over() bool { return tx.done || tx.ending }

// usable tells whether statements make sense. The caller holds mu.
func (tx *Tx) usable() error {
	switch {
	case tx.over():
		return ErrTxDone
	case tx.failed != nil:
		return fmt.Errorf("tenancy: an earlier statement of this unit failed: %w", tx.failed.err)
	}
	return nil
}

// enter claims the unit, and the use of its connection, for one statement. Whoever gets nil calls leave.
func (tx *Tx) enter(ctx context.Context) error {
	if conflicts(ctx, tx.who) {
		return ErrTenantMismatch
	}
	tx.mu.Lock()
	err := tx.usable()
	if err == nil && !tx.busy.CompareAndSwap(false, true) {
		err = ErrTxBusy
	}
	tx.mu.Unlock()
	if err != nil {
		return err
	}
	tx.use.Lock()
	tx.mu.Lock()
	over := tx.over()
	tx.mu.Unlock()
	switch {
	case over: // meanwhile
		err = ErrTxDone
	case tx.ended():
		err = endedError{}
		tx.fail(err, 0)
	}
	if err != nil {
		tx.leave()
	}
	return err
}

// leave is the opposite of enter. Rows that stay open keep the unit busy; they unlock use only.
func (tx *Tx) leave() {
	tx.use.Unlock()
	tx.busy.Store(false)
}

// flush begins now instead of with the first statement.
func (tx *Tx) flush(ctx context.Context) error {
	if err := tx.enter(ctx); err != nil {
		return err
	}
	defer tx.leave()
	return tx.sendQueued(ctx)
}

func (tx *Tx) sendQueued(ctx context.Context) error {
	tx.mu.Lock()
	idle := tx.begun && len(tx.pending) == 0
	tx.mu.Unlock()
	if idle {
		return nil
	}
	br, err := tx.send(ctx, nil, nil, false)
	if err != nil {
		return err
	}
	return tx.note(br.Close())
}

// send sends BEGIN if it has not left yet, everything queued, and the queries, in one round trip.
// The caller has claimed the unit.
func (tx *Tx) send(ctx context.Context, queries []*pgx.QueuedQuery, events []Message, commit bool) (pgx.BatchResults, error) {
	for _, q := range queries {
		if err := tx.refuse(q.SQL); err != nil {
			return nil, err
		}
	}
	tx.mu.Lock()
	session, begun := tx.session, tx.begun
	tx.mu.Unlock()
	if session == nil {
		var err error
		if session, err = tx.core.driver.Acquire(ctx, tx.target); err != nil {
			err = fmt.Errorf("tenancy: acquire: %w", err)
			if tx.target.Replica {
				err = fmt.Errorf("%w: %w", errNoReplica, err)
			}
			tx.fail(err, 0)
			return nil, err
		}
	}
	b := &Batch{Queries: queries, Events: events, Commit: commit}
	if commit {
		b.CommitLSN = tx.asked()
	}
	if !begun {
		b.Begin = tx.opts.begin(tx.target, tx.fence)
		b.Begin.Actor = tx.actor
	}
	tx.mu.Lock()
	tx.session, tx.begun = session, true
	queue := tx.pending
	tx.pending = nil
	for _, s := range tx.scopes {
		s.sent, s.mark = true, 0
	}
	tx.mu.Unlock()
	for _, s := range queue {
		b.Steps = append(b.Steps, s.Step)
	}
	br, err := session.Send(ctx, b)
	if err != nil {
		depth := 0
		if at, ok := errors.AsType[*StepError](err); ok {
			err = at.Err
			if at.Index >= 0 && at.Index < len(queue) && !session.Lost() {
				depth = queue[at.Index].depth
				err = deferredError(b.Steps[at.Index], err)
			}
		}
		err = tx.told(err)
		tx.fail(err, depth)
		return nil, err
	}
	tx.mu.Lock()
	tx.answered = true
	tx.mu.Unlock()
	return br, nil
}

// fail records the first failure.
func (tx *Tx) fail(err error, depth int) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.failed == nil {
		tx.failed = &failure{err: err, depth: depth, lost: tx.session != nil && tx.session.Lost()}
	}
}

// note records err if it spoiled the transaction, as an error of the server or the connection does and one of scanning or
// encoding does not, and returns what the caller is told of it.
func (tx *Tx) note(err error) error {
	if err = tx.told(err); err == nil {
		return nil
	}
	var pgErr *pgconn.PgError
	tx.mu.Lock()
	lost, depth := tx.session != nil && tx.session.Lost(), len(tx.scopes)-1
	tx.mu.Unlock()
	switch {
	case lost:
		tx.fail(err, 0)
	case errors.As(err, &pgErr):
		tx.fail(err, depth)
	}
	return err
}

func (tx *Tx) setRows(r interface{ abandon() }) {
	tx.mu.Lock()
	tx.rows = r
	tx.mu.Unlock()
}
