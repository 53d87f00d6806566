package tenancy

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// attempt runs fn once; again asks for another attempt.
func (db *DB) attempt(ctx context.Context, who identity, t Target, fn func(context.Context, *Tx) error) (again bool, err error) {
	tx, err := db.newTx(ctx, who, t)
	if err != nil {
		return false, err
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
	} else {
		result, err = tx.undone(err)
	}
	if result == rolledBack {
		if refusal := tx.restricted(err); refusal != nil {
			err = refusal
		} else if again = ctx.Err() == nil && (db.opts.retryable(err) || tx.retryable()); again {
			tx.distrust(err)
		}
	}
	returned = true
	tx.finish(ctx, result)
	return again, err
}

func (db *DB) newTx(ctx context.Context, who identity, t Target) (*Tx, error) {
	tx := &Tx{core: db.core, opts: db.opts, who: who, target: t, scopes: []*scope{{}}}
	tx.by, _ = ActorFrom(ctx)
	tx.tell(db.opts.CommitLSN)
	var err error
	if tx.actor, err = actorText(ctx); err != nil {
		return nil, err
	}
	if !db.opts.readOnly() {
		tx.fence = rand.Int64() | 1
	}
	return tx, nil
}

// commit sends what is queued, the events and COMMIT in one round trip. A unit that has nothing to send sends nothing.
func (tx *Tx) commit(ctx context.Context) (outcome, error) {
	if err := tx.runBeforeCommit(ctx); err != nil {
		return tx.undone(err)
	}
	if !tx.busy.CompareAndSwap(false, true) {
		return rolledBack, ErrTxBusy
	}
	tx.use.Lock()
	ended := tx.ended()
	tx.use.Unlock()
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
	if ended && err == nil {
		err = endedError{}
	}
	empty := !tx.begun && len(tx.pending) == 0 && len(events) == 0
	tx.mu.Unlock()
	if err != nil {
		return tx.undone(err)
	}
	if empty {
		return committed, nil
	}
	tx.use.Lock()
	br, err := tx.send(ctx, nil, events, true)
	if err == nil {
		err = br.Close()
	}
	tx.use.Unlock()
	return tx.judge(ctx, marker, err)
}

// finish ends the attempt: nothing can be done with tx afterwards.
func (tx *Tx) finish(ctx context.Context, result outcome) {
	tx.mu.Lock()
	tx.done = true
	for _, at := range tx.askers {
		if tx.at != 0 {
			*at = tx.at
		}
	}
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
	tx.use.Lock() // a statement that another goroutine has running ends first
	defer tx.use.Unlock()
	tx.mu.Lock()
	session, rows := tx.session, tx.rows
	tx.session, tx.rows = nil, nil
	tx.mu.Unlock()
	if rows != nil {
		rows.abandon() // left open by fn, which has been told so
	}
	if session != nil {
		session.Release(context.WithoutCancel(ctx))
	}
}

// runBeforeCommit runs the hooks, those included that hooks register. Then the unit is ending: in the same breath as the
// last look, or a hook that another goroutine registered after it would never run.
func (tx *Tx) runBeforeCommit(ctx context.Context) error {
	for {
		tx.mu.Lock()
		hooks := tx.scopes[0].before
		tx.scopes[0].before = nil
		tx.ending = len(hooks) == 0
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
	tx.tell(opts.CommitLSN)
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
