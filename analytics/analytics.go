package analytics

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Analytics records events and answers queries. Make it with [New].
type Analytics struct {
	store   Store
	opts    *Options
	journal journal
	gate    gate
	full    chan struct{} // a batch is waiting
	turn    chan struct{} // holds a token while nobody ships; closed by Close

	retried, dropped, dead, damaged atomic.Uint64
	dropping, failing               atomic.Bool // an episode is under way and was logged
}

// New returns an Analytics over a store, which the caller keeps owning. With Options.Dir it locks the directory and
// reads what an earlier process left there; it fails when another process owns it or when it was written by a
// newer version. It starts no goroutine: call [Analytics.Run].
func New(store Store, opts *Options) (*Analytics, error) {
	if store == nil {
		return nil, errors.New("analytics: New needs a Store")
	}
	if err := opts.validate(); err != nil {
		return nil, err
	}
	a := &Analytics{store: store, opts: opts, full: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
	a.turn <- struct{}{}
	a.journal = newMemory()
	if dir := opts.dir(); dir != "" {
		w, err := openWAL(dir, opts.logger())
		if err != nil {
			return nil, fmt.Errorf("analytics: Options.Dir: %w", err)
		}
		a.journal = w
		if w.unreadable > 0 {
			a.damage(context.Background(), w.unreadable, "in segments without a readable header, moved to the dead folder")
		}
	}
	a.gate.max = opts.maxBacklog()
	_, _, a.gate.used = a.journal.counts()
	return a, nil
}

// tenant is the one place where the tenant of an event or a query comes from.
func (a *Analytics) tenant(ctx context.Context) (string, error) {
	if a.opts == nil || a.opts.Tenant == nil {
		return "", nil
	}
	id, ok := a.opts.Tenant(ctx)
	if !ok || id == "" {
		return "", ErrNoTenant
	}
	if !validText(id, 1, 256) {
		return "", fmt.Errorf("%w: tenant id is longer than 256 bytes or not UTF-8", ErrInvalid)
	}
	return id, nil
}

// append puts a record into the journal if the backlog has room.
func (a *Analytics) append(ctx context.Context, r Record) error {
	frame := appendFrame(nil, r)
	if len(frame) > maxFrame {
		return fmt.Errorf("%w: the event takes %d bytes, at most %d", ErrInvalid, len(frame)-frameHead, maxRecord)
	}
	policy := a.opts.whenFull()
	size := int64(len(frame))
	if err := a.gate.enter(ctx, size, policy == Block); err != nil {
		if policy == Drop && errors.Is(err, ErrFull) {
			a.drop(ctx)
			return nil
		}
		return err
	}
	a.dropping.Store(false)
	if err := a.journal.append(r, frame); err != nil {
		a.gate.leave(size)
		return err
	}
	a.opts.count(ctx, "tracked", 1)
	if total, settled, _ := a.journal.counts(); total-settled >= uint64(a.opts.batchSize()) {
		select {
		case a.full <- struct{}{}:
		default:
		}
	}
	return nil
}

func (a *Analytics) drop(ctx context.Context) {
	a.dropped.Add(1)
	a.opts.count(ctx, "dropped", 1)
	if !a.dropping.Swap(true) {
		a.opts.logger().ErrorContext(ctx, "analytics: the backlog is full, events are being dropped",
			"max_backlog", a.opts.maxBacklog(), "dropped", a.dropped.Load())
	}
}

// Flush delivers every event tracked before the call and returns nil when the store has them (or refused them for good,
// see Stats.Dead). It works with and without a running [Analytics.Run]. While the store fails it keeps trying until ctx
// ends, and then returns an error that wraps the context's and, if an attempt of its own failed, the store's.
func (a *Analytics) Flush(ctx context.Context) error {
	total, _, _ := a.journal.counts()
	if err := a.ship(ctx, total); err != nil {
		return fmt.Errorf("analytics: flush: %w", err)
	}
	return nil
}

// Close releases the log's directory, after an attempt to deliver that is under way. Track, Flush and Run fail with
// [ErrClosed] afterwards; queries go on working. It delivers nothing: call it after Run returned, or after Flush. A
// second Close does nothing.
func (a *Analytics) Close() error {
	a.gate.close()
	if _, ok := <-a.turn; !ok { // waits for a delivery under way
		return nil
	}
	close(a.turn)
	if err := a.journal.close(); err != nil {
		return fmt.Errorf("analytics: close: %w", err)
	}
	return nil
}

// Stats are counters since [New] and the state of the backlog.
type Stats struct {
	// Tracked counts events accepted by Track, and those found in Dir by New.
	Tracked uint64
	// Settled counts events that left the log: delivered or dead.
	Settled uint64
	// Backlog is the number of events not delivered yet, BacklogBytes their size, Oldest the time of the first of them
	// (zero without a backlog).
	Backlog      uint64
	BacklogBytes int64
	Oldest       time.Time
	// Retried counts failed attempts to deliver a batch.
	Retried uint64
	// Dropped counts events discarded under the [Drop] policy.
	Dropped uint64
	// Dead counts events that the store refused for their content; with Dir they are in Dir/dead.
	Dead uint64
	// Damaged counts bytes of the log that could not be read back.
	Damaged uint64
}

// Stats returns the current numbers. It may read one event from the disk.
func (a *Analytics) Stats() Stats {
	total, settled, bytes := a.journal.counts()
	return Stats{
		Tracked: total, Settled: settled, Backlog: total - settled, BacklogBytes: bytes, Oldest: a.journal.oldest(),
		Retried: a.retried.Load(), Dropped: a.dropped.Load(), Dead: a.dead.Load(), Damaged: a.damaged.Load(),
	}
}
