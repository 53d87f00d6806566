package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Tools are the small things that a [Store] may offer beside the cache: counters, locks and
// values under a key for some time. Keys of the three kinds do not meet, nor do they meet
// those of the cache, and invalidations do not touch them. Each method is one atomic step, and
// an error on a server that knows it is not the one to ask, such as a master that was made a
// replica: what that still has may be outdated.
type Tools interface {
	// Add adds n to the counter of key and returns it and what is left of its window, which
	// begins at window's length with the first Add and is not extended by later ones.
	Add(ctx context.Context, key string, n int64, window time.Duration) (total int64, left time.Duration, err error)

	// Lock takes the lock of key for ttl, or extends it if owner, 16 letters or digits, has it.
	// fence is the same as long as one owner has the lock, and higher for each later one; 0
	// says that another owner has it.
	Lock(ctx context.Context, key, owner string, ttl time.Duration) (fence int64, err error)

	// Unlock gives the lock back, if owner still has it.
	Unlock(ctx context.Context, key, owner string) error

	// Set keeps value under key for ttl, in place of what is there.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Get returns what is kept under key; ok is false if nothing is. The caller owns value.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)
}

var errNoTools = errors.New("cache: this store has no counters, locks and values")

// tool returns the store's tools and what they know key by: the tenant is part of it.
func (h *Hub) tool(ctx context.Context, key string, ttl time.Duration) (Tools, string, error) {
	tenant, err := h.tenantOf(ctx)
	if err != nil {
		return nil, "", err
	}
	if ttl < time.Millisecond || ttl > longest {
		return nil, "", fmt.Errorf("cache: %v; want 1ms to 100 years", ttl)
	}
	t, ok := h.store.(Tools)
	if !ok {
		return nil, "", errNoTools
	}
	return t, bound(escapeTenant.Replace(tenant)) + ":" + bound(key), nil
}

// told counts a call of the store that failed. It says nothing to the breaker: what was asked
// of a tool cannot be had around the store, and a counter that is no number is no outage.
func (h *Hub) told(ctx context.Context, op string, err error) error {
	if err != nil {
		h.storeFailed(ctx, op)
	}
	return err
}

// Count adds n to the counter of key, which the tenant of ctx has for itself, and returns the
// sum of its window: that begins with the first Count, and after its length the counter is
// gone. left is how long that takes. An error says that n may have been added or not, and a
// client that asks again after a lost answer, as go-redis does by default, may add it twice.
func (h *Hub) Count(ctx context.Context, key string, n int64, window time.Duration) (total int64, left time.Duration, err error) {
	t, name, err := h.tool(ctx, key, window)
	if err != nil {
		return 0, 0, err
	}
	total, left, err = t.Add(h.storeContext(ctx), name, n, window)
	return total, left, h.told(ctx, "add", err)
}

// Set keeps value under key, for the tenant of ctx, for exactly ttl unless it is set again. It
// is no cache: what is set is there or lost, and nobody loads it. The store may lose it when
// it fails over or is full.
func (h *Hub) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	t, name, err := h.tool(ctx, key, ttl)
	if err != nil {
		return err
	}
	return h.told(ctx, "set", t.Set(h.storeContext(ctx), name, value, ttl))
}

// Get returns what Set keeps under key for the tenant of ctx; ok is false if nothing is.
func (h *Hub) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	t, name, err := h.tool(ctx, key, longest)
	if err != nil {
		return nil, false, err
	}
	value, ok, err = t.Get(h.storeContext(ctx), name)
	return value, ok, h.told(ctx, "get", err)
}

// ErrLocked is returned by [Hub.Locked] when somebody else has the lock.
var ErrLocked = errors.New("cache: somebody else has the lock")

// ErrLockLost is the cause with which the context of a function under [Hub.Locked] ends when
// the lock is no longer its own, and wrapped by the error of Locked then.
var ErrLockLost = errors.New("cache: the lock was lost")

// Locked runs fn while it holds the lock of key, which the tenant of ctx has for itself, and
// gives it back afterwards; [ErrLocked] says that another has it. The lock lasts for ttl and is
// renewed at each third of that. If it cannot be renewed, because the store does not answer or
// another has it, the context of fn ends before the ttl does, and Locked returns [ErrLockLost].
//
// That is as much as a lock in a store can do: a process that was stopped for longer than ttl
// goes on without knowing that another has the lock, and a failover of the store can lose it.
// So two may run at the same time, seldom, and what must not happen twice needs the fence: a
// number that grows with each owner, for the resource to refuse what comes with a lower one
// than it has seen. It comes from the store's clock and its last number, and can go back only
// if a failover loses that number and the new server's clock is behind.
func (h *Hub) Locked(ctx context.Context, key string, ttl time.Duration, fn func(ctx context.Context, fence int64) error) error {
	t, name, err := h.tool(ctx, key, ttl)
	if err != nil {
		return err
	}
	l := &lock{Tools: t, hub: h, name: name, owner: rand.Text()[:16], ttl: ttl}
	fence, err := l.extend(ctx)
	if err != nil {
		l.giveBack(ctx) // the answer may have been lost, not the question
		return fmt.Errorf("cache: lock: %w", err)
	}
	if fence == 0 {
		return ErrLocked
	}
	fctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.renew(fctx, fence, cancel)
	}()
	defer func() {
		cancel(nil)
		<-ended
		l.giveBack(ctx)
	}()
	err = fn(fctx, fence)
	if l.lost.Load() {
		return errors.Join(ErrLockLost, err)
	}
	return err
}

// lock is one that is held.
type lock struct {
	Tools
	hub         *Hub
	name, owner string
	ttl         time.Duration
	until       time.Duration // on core.now, when it may have ended
	lost        atomic.Bool
}

// extend asks for the lock, and counts its time from before the question.
func (l *lock) extend(ctx context.Context) (fence int64, err error) {
	asked := l.hub.now()
	sctx, cancel := context.WithTimeout(l.hub.storeContext(ctx), l.ttl)
	defer cancel()
	if fence, err = l.Lock(sctx, l.name, l.owner, l.ttl); err == nil && fence != 0 {
		l.until = asked + l.ttl
	}
	return fence, l.hub.told(ctx, "lock", err)
}

// giveBack unlocks; if that fails the lock ends by itself.
func (l *lock) giveBack(ctx context.Context) {
	_ = l.hub.told(ctx, "unlock", l.Unlock(l.hub.storeContext(ctx), l.name, l.owner))
}

// renew keeps the lock until ctx ends, and ends fn's context an eighth of the ttl before it may
// be another's.
func (l *lock) renew(ctx context.Context, fence int64, cancel context.CancelCauseFunc) {
	pause := l.ttl / 3
	for {
		left := l.until - l.ttl/8 - l.hub.now()
		t := time.NewTimer(min(pause, max(left, 0)))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		end := time.AfterFunc(max(l.until-l.ttl/8-l.hub.now(), 0), func() { // the store may not answer
			l.lost.Store(true)
			cancel(ErrLockLost)
		})
		got, err := l.extend(ctx)
		end.Stop()
		if err == nil && got != fence || l.hub.now() > l.until-l.ttl/8 {
			l.lost.Store(true)
			cancel(ErrLockLost)
			return
		}
		pause = l.ttl / 3
		if err != nil {
			pause = l.ttl / 12
		}
	}
}
