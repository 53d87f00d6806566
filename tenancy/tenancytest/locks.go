package tenancytest

import (
	"cmp"
	"context"
	"time"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// handleLocks answers the statements of tx.Lock and tx.TryLock.
func (k *Kit) handleLocks() {
	k.Handle(sqltext.Lock, func(ctx context.Context, args ...any) (any, error) {
		return nil, k.lock(ctx, ctx.Value(memKey{}).(*memTx), args[0].(int64))
	})
	k.Handle(sqltext.TryLock, func(ctx context.Context, args ...any) (any, error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.tryLock(ctx.Value(memKey{}).(*memTx), args[0].(int64)), nil
	})
}

// tryLock tells whether tx has the lock now. The caller holds mu.
func (k *Kit) tryLock(tx *memTx, key int64) bool {
	holder := k.locks[key]
	if holder == nil {
		k.locks[key] = tx
		tx.locks = append(tx.locks, key)
		return true
	}
	return holder == tx
}

// lock waits for the lock. Units that wait for each other in a circle are a deadlock; the last one gets the error.
func (k *Kit) lock(ctx context.Context, tx *memTx, key int64) error {
	var late <-chan time.Time
	if tx.lockWait > 0 {
		timer := time.NewTimer(tx.lockWait)
		defer timer.Stop()
		late = timer.C
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for !k.tryLock(tx, key) {
		tx.wants = &key
		for holder := k.locks[key]; holder != nil && holder.wants != nil; {
			if holder = k.locks[*holder.wants]; holder == tx {
				tx.wants = nil
				return pgError("40P01", "deadlock detected")
			}
		}
		freed := k.freed
		k.mu.Unlock()
		var err error
		select {
		case <-ctx.Done():
		case <-late:
			err = pgError("55P03", "canceling statement due to lock timeout")
		case <-freed:
		}
		k.mu.Lock()
		tx.wants = nil
		if err = cmp.Or(ctx.Err(), err); err != nil {
			return err
		}
	}
	return nil
}

// unlock frees the locks of tx but the first ones. The caller holds mu.
func (k *Kit) unlock(tx *memTx, keep int) {
	if tx == nil || len(tx.locks) <= keep {
		return
	}
	for _, key := range tx.locks[keep:] {
		delete(k.locks, key)
	}
	tx.locks = tx.locks[:keep]
	close(k.freed)
	k.freed = make(chan struct{})
}
