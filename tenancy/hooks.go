package tenancy

import (
	"context"
	"fmt"
	"runtime/debug"
)

// Hooks binds functions to the open unit of work of a context; it is the hook seam of all blocks. Each method returns
// false, and does nothing, when the context has no open unit. The zero value is ready for use.
//
// A hook belongs to the savepoint in which it was registered: rolling that back drops its BeforeCommit and OnCommit hooks
// and runs its OnRollback hooks. When a unit is run again, hooks are registered again.
//
// OnCommit and OnRollback hooks run after the unit, in the order of registration, with a context that has the tenant but
// neither the unit nor its cancellation. A panic in one is reported and does not keep the others from running. They are
// not durable: what must happen is emitted as an event. When the outcome of COMMIT stays unknown, neither runs.
type Hooks struct{}

// BeforeCommit runs fn inside the unit just before it commits. Its error rolls the unit back.
func (Hooks) BeforeCommit(ctx context.Context, fn func(context.Context) error) bool {
	return bind(ctx, func(s *scope) { s.before = append(s.before, fn) })
}

// OnCommit runs fn after the whole unit has committed.
func (Hooks) OnCommit(ctx context.Context, fn func(context.Context)) bool {
	return bind(ctx, func(s *scope) { s.onCommit = append(s.onCommit, fn) })
}

// OnRollback runs fn after the savepoint or the whole unit has been rolled back, a failed attempt that is retried included.
func (Hooks) OnRollback(ctx context.Context, fn func(context.Context)) bool {
	return bind(ctx, func(s *scope) { s.onRollback = append(s.onRollback, fn) })
}

// OnRollback implements Querier: it is Hooks.OnRollback for this unit.
func (tx *Tx) OnRollback(_ context.Context, fn func(context.Context)) bool {
	return tx.bind(func(s *scope) { s.onRollback = append(s.onRollback, fn) })
}

// OnRollback implements Querier: it is Hooks.OnRollback for the open unit of this DB.
func (db *DB) OnRollback(ctx context.Context, fn func(context.Context)) bool {
	tx := db.core.open(ctx)
	return tx != nil && tx.OnRollback(ctx, fn)
}

func bind(ctx context.Context, add func(*scope)) bool {
	tx, ok := TxFrom(ctx)
	return ok && tx.bind(add)
}

func (tx *Tx) bind(add func(*scope)) bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.over() {
		return false
	}
	add(tx.top())
	return true
}

func (c *core) runHooks(ctx context.Context, hooks []func(context.Context)) {
	if len(hooks) == 0 {
		return
	}
	ctx = afterwards(ctx, c)
	for _, hook := range hooks {
		func() {
			defer func() {
				if p := recover(); p != nil {
					c.opts.report(ctx, fmt.Errorf("tenancy: panic in a hook: %v", p), debug.Stack())
				}
			}()
			hook(ctx)
		}()
	}
}
