package tenancy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// resolveTimeout bounds the look-up that follows a lost answer to COMMIT.
const resolveTimeout = 5 * time.Second

// outcome is how an attempt ended.
type outcome string

const (
	committed  outcome = "commit"
	rolledBack outcome = "rollback"
	unknown    outcome = "unknown"
)

// attempt runs fn once; again asks for another attempt.
func (db *DB) attempt(ctx context.Context, who identity, fn func(context.Context, *Tx) error) (again bool, err error) {
	tx := &Tx{core: db.core, opts: db.opts, who: who, scopes: []*scope{{}}}
	tx.by, _ = ActorFrom(ctx)
	if tx.actor, err = actorText(ctx); err != nil {
		return false, err
	}
	if !db.opts.ReadOnly {
		tx.fence = rand.Int64() | 1
	}
	unit := withTx(ctx, tx)
	returned := false
	defer func() {
		if !returned { // a panic, or the goroutine is exiting
			tx.finish(ctx, rolledBack)
		}
	}()
	result := rolledBack
	if tx.opts.Eager {
		err = tx.flush(unit)
	}
	if err == nil {
		err = fn(unit, tx)
	}
	if err == nil {
		result, err = tx.commit(unit)
	}
	if result == rolledBack {
		again = ctx.Err() == nil && (db.opts.retryable(err) || tx.retryable())
	}
	returned = true
	tx.finish(ctx, result)
	return again, err
}

// commit sends what is queued, the events and COMMIT in one round trip. A unit that has nothing to send sends nothing.
func (tx *Tx) commit(ctx context.Context) (outcome, error) {
	if err := tx.runBeforeCommit(ctx); err != nil {
		return rolledBack, err
	}
	if !tx.busy.CompareAndSwap(false, true) {
		return rolledBack, ErrTxBusy
	}
	tx.mu.Lock()
	root := tx.scopes[0]
	var err error
	switch {
	case len(tx.scopes) > 1:
		err = errScope
	case tx.failed != nil:
		err = fmt.Errorf("tenancy: rolled back because a statement failed: %w", tx.failed.err)
	case root.err != nil:
		err = root.err
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	events, marker := root.events, root.marker()
	if s, ok := tx.auditStep(root.audits); ok && err == nil {
		tx.pending = append(tx.pending, s)
	}
	empty := !tx.begun && len(tx.pending) == 0 && len(events) == 0
	tx.mu.Unlock()
	if err != nil {
		return rolledBack, err
	}
	if empty {
		return committed, nil
	}
	br, err := tx.send(ctx, nil, events, true)
	if err == nil {
		err = br.Close()
	}
	return tx.judge(ctx, marker, err)
}

// judge turns the answer to COMMIT into what the caller may rely on.
func (tx *Tx) judge(ctx context.Context, marker string, err error) (outcome, error) {
	var answer *pgconn.PgError
	switch {
	case err == nil:
		return committed, nil
	case errors.As(err, &answer), tx.session == nil, !tx.session.Lost(), neverSent(err):
		tx.fail(err, 0) // the server refused, or COMMIT never left
		return rolledBack, err
	}
	// The look-up needs a connection; holding the dead one meanwhile could exhaust the pool.
	tx.giveBack(ctx)
	if marker != "" {
		switch found, certain := tx.resolve(ctx, marker); {
		case found:
			return committed, nil
		case certain:
			tx.fail(err, 0)
			tx.failed.lost = true
			return rolledBack, err
		}
	}
	return unknown, fmt.Errorf("%w: %w", ErrCommitUnknown, err)
}

// resolve asks over a new connection whether the unit's first event or audit entry exists. "No" is certain only if the unit's
// fence was seen to be held: then the look-up waited until the lost transaction had ended, whatever became of it.
// Without that the COMMIT could still be on its way.
func (tx *Tx) resolve(ctx context.Context, marker string) (found, certain bool) {
	ctx, cancel := context.WithTimeout(afterwards(ctx, tx.core), resolveTimeout)
	defer cancel()
	ask := &DB{core: tx.core, opts: TxOptions{}}
	err := tx.core.retry(ctx, func() (bool, error) {
		err := ask.query(ctx, sqltext.Committed, []any{tx.fence, marker}, scanOne(&found))
		return err != nil, err
	})
	if err != nil {
		tx.core.opts.logger().WarnContext(ctx, "tenancy: commit not resolved", "error", err)
	}
	return found, err == nil && tx.answered
}

// finish ends the attempt: nothing can be done with tx afterwards.
func (tx *Tx) finish(ctx context.Context, result outcome) {
	tx.mu.Lock()
	tx.done = true
	var onCommit, onRollback []func(context.Context)
	events := 0
	for _, s := range tx.scopes {
		events += len(s.events)
		onCommit = append(onCommit, s.onCommit...)
		onRollback = append(onRollback, s.onRollback...)
	}
	tx.mu.Unlock()
	tx.giveBack(ctx)
	tx.core.opts.count(ctx, "tenancy.units", "outcome", string(result))
	switch result {
	case committed:
		if events > 0 {
			tx.core.nudge()
		}
		tx.core.runHooks(ctx, onCommit)
	case rolledBack:
		tx.core.runHooks(ctx, onRollback)
	}
}

// giveBack returns the connection to its pool.
func (tx *Tx) giveBack(ctx context.Context) {
	tx.mu.Lock()
	session, rows := tx.session, tx.rows
	tx.session, tx.rows = nil, nil
	tx.mu.Unlock()
	if rows != nil {
		_ = rows.Close() // left open by fn, which has been told so
	}
	if session != nil {
		session.Release(context.WithoutCancel(ctx))
	}
}

// runBeforeCommit runs the hooks, those included that hooks register.
func (tx *Tx) runBeforeCommit(ctx context.Context) error {
	for {
		tx.mu.Lock()
		hooks := tx.scopes[0].before
		tx.scopes[0].before = nil
		tx.mu.Unlock()
		if len(hooks) == 0 {
			return nil
		}
		for _, hook := range hooks {
			if err := hook(ctx); err != nil {
				return err
			}
		}
	}
}

// nest runs fn in a savepoint of tx.
func (tx *Tx) nest(ctx context.Context, who identity, opts TxOptions, fn func(context.Context, *Tx) error) error {
	if who != tx.who {
		return ErrTenantMismatch
	}
	if by, _ := ActorFrom(ctx); by != tx.by {
		return errActor
	}
	if opts.Isolation != "" && opts.Isolation != tx.opts.Isolation {
		return errIsolation
	}
	if opts.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, opts.Timeout)
		defer cancel()
	}
	s, err := tx.push()
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // a panic that somebody further out may recover
			tx.rollbackTo(ctx, s)
		}
	}()
	err = fn(withTx(ctx, tx), tx)
	returned = true
	if err != nil {
		tx.rollbackTo(ctx, s)
		return err
	}
	return tx.release(ctx, s)
}

// retryable tells whether the unit as a whole failed in a way that another attempt may cure.
func (tx *Tx) retryable() bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.failed == nil {
		return false
	}
	return tx.failed.lost || tx.opts.retryable(tx.failed.err)
}

// neverSent tells whether pgx failed before the statements left: it sends nothing unless all of them could be prepared.
func neverSent(err error) bool {
	_, preparing := errors.AsType[pgx.ErrPreprocessingBatch](err)
	return preparing || pgconn.SafeToRetry(err)
}

// retryable tells whether PostgreSQL says that the transaction did not happen and might the next time, or pgconn that
// nothing was sent.
func (o TxOptions) retryable(err error) bool {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch pgErr.Code {
		case "25006": // read_only_sql_transaction: asked for, or a demoted primary
			return !o.ReadOnly
		case "40001", // serialization_failure
			"40P01",                   // deadlock_detected
			"57P01", "57P02", "57P03", // shut down, crashed, starting up
			"08000", "08003", "08006": // connection lost behind a pooler
			return true
		}
		return false
	}
	return err != nil && pgconn.SafeToRetry(err)
}
