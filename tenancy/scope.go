package tenancy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
)

// scope is the unit itself (the first one) or a savepoint in it, with everything that its rollback must undo.
type scope struct {
	name string
	sent bool // the savepoint has left for the server
	mark int  // index of the savepoint in Tx.pending while it has not

	events     []Message
	audits     []auditRow
	err        error // an event or audit entry that could not be encoded
	before     []func(context.Context) error
	onCommit   []func(context.Context)
	onRollback []func(context.Context)
}

// step is a queued Step with the nesting depth that its failure spoils.
type step struct {
	Step
	depth int
}

// failure is the first error of a unit. Like PostgreSQL's aborted transaction, it ends with a rollback to a savepoint
// that was set before it, or with the unit.
type failure struct {
	err   error
	depth int
	lost  bool // with the connection
}

func (tx *Tx) top() *scope { return tx.scopes[len(tx.scopes)-1] }

// push opens a savepoint. It is queued, not sent: if nothing fails before the scope ends it costs nothing.
func (tx *Tx) push() (*scope, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.usable(); err != nil {
		return nil, err
	}
	depth := len(tx.scopes)
	s := &scope{name: "ashlar_" + strconv.Itoa(depth), mark: len(tx.pending)}
	// A savepoint that cannot be set is a failure of the scope around it.
	tx.pending = append(tx.pending, step{Step{Op: OpSavepoint, Name: s.name}, depth - 1})
	tx.scopes = append(tx.scopes, s)
	return s, nil
}

// release ends s successfully: the scope around it adopts its events and hooks. If a statement in s failed and nobody
// said so, s is rolled back instead and the failure returned.
func (tx *Tx) release(ctx context.Context, s *scope) error {
	tx.mu.Lock()
	if err := tx.endable(s); err != nil {
		tx.mu.Unlock()
		return err
	}
	if f := tx.failed; f != nil {
		tx.mu.Unlock()
		tx.rollbackTo(ctx, s)
		return fmt.Errorf("tenancy: savepoint rolled back: %w", f.err)
	}
	defer tx.mu.Unlock()
	tx.scopes = tx.scopes[:len(tx.scopes)-1]
	if s.sent {
		tx.pending = append(tx.pending, step{Step{Op: OpRelease, Name: s.name}, len(tx.scopes) - 1})
	} else {
		tx.pending = slices.Delete(tx.pending, s.mark, s.mark+1)
	}
	// What s has queued and not sent is the outer scope's now. If it fails behind a later savepoint, that one must not take
	// the failure for its own: rolling it back would undo s too, and not the events and hooks that s has handed over.
	for i := range tx.pending {
		tx.pending[i].depth = min(tx.pending[i].depth, len(tx.scopes)-1)
	}
	outer := tx.top()
	outer.events = append(outer.events, s.events...)
	outer.audits = append(outer.audits, s.audits...)
	outer.before = append(outer.before, s.before...)
	outer.onCommit = append(outer.onCommit, s.onCommit...)
	outer.onRollback = append(outer.onRollback, s.onRollback...)
	if outer.err == nil {
		outer.err = s.err
	}
	return nil
}

// rollbackTo ends s, and what is still open inside of it, undoing everything since it was pushed.
func (tx *Tx) rollbackTo(ctx context.Context, s *scope) {
	tx.mu.Lock()
	depth := slices.Index(tx.scopes, s)
	if depth < 1 || tx.over() { // the end of the unit undoes s too, and runs its hooks
		tx.mu.Unlock()
		return
	}
	var hooks []func(context.Context)
	for _, inner := range tx.scopes[depth:] {
		hooks = append(hooks, inner.onRollback...)
	}
	tx.scopes = tx.scopes[:depth]
	if s.sent {
		// Everything queued since the savepoint left belongs to s.
		tx.pending = append(tx.pending[:s.mark],
			step{Step{Op: OpRollbackTo, Name: s.name}, depth - 1},
			step{Step{Op: OpRelease, Name: s.name}, depth - 1})
	} else {
		tx.pending = tx.pending[:s.mark]
	}
	if tx.failed != nil && tx.failed.depth >= depth {
		tx.failed = nil
	}
	tx.mu.Unlock()
	tx.core.runHooks(ctx, hooks)
}

// endable reports use after the end and savepoints that two goroutines interleaved.
func (tx *Tx) endable(s *scope) error {
	switch {
	case tx.over():
		return ErrTxDone
	case tx.top() != s:
		return errScope
	}
	return nil
}
