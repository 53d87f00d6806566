package analytics

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// insertTimeout bounds one attempt, so that a connection gone silent is given up.
	insertTimeout = 30 * time.Second
	firstBackoff  = 100 * time.Millisecond
	maxBackoff    = 15 * time.Second
	// maxSplits bounds the extra attempts that looking for refused records in one batch may take; what is not told
	// apart by then is treated as refused.
	maxSplits = 256
)

// Run delivers events until ctx ends: every Options.FlushInterval, and at once when Options.BatchSize events wait. While
// the store fails it retries with growing pauses. When ctx ends it goes on for up to Options.DrainTimeout to deliver
// what is there. What remains then waits in Dir for the next process and Run returns nil; without Dir it is lost with
// the process, and Run returns an error that says how much.
//
// Run must be called once; a second concurrent call is harmless. It returns [ErrClosed] after [Analytics.Close].
func (a *Analytics) Run(ctx context.Context) error {
	tick := time.NewTicker(a.opts.flushInterval())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return a.drain(ctx)
		case <-tick.C:
		case <-a.full:
		}
		total, _, _ := a.journal.counts()
		if err := a.ship(ctx, total); errors.Is(err, ErrClosed) {
			return ErrClosed
		}
	}
}

// drain makes a last effort and says what is left.
func (a *Analytics) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.opts.drainTimeout())
	defer cancel()
	total, _, _ := a.journal.counts()
	err := a.ship(ctx, total)
	if err == nil || errors.Is(err, ErrClosed) {
		return nil
	}
	left := a.Stats().Backlog
	if a.journal.durable() {
		a.opts.logger().WarnContext(ctx, "analytics: stopped with events in the log; the next start delivers them",
			"events", left, "error", err)
		return nil
	}
	return fmt.Errorf("analytics: %d events in memory could not be delivered: %w", left, err)
}

// ship delivers batches until target records are settled or none is left, retrying until ctx ends.
func (a *Analytics) ship(ctx context.Context, target uint64) error {
	pause := firstBackoff
	for {
		if a.gate.closed() {
			return ErrClosed
		}
		if _, settled, _ := a.journal.counts(); settled >= target {
			return nil
		}
		more, err := a.step(ctx)
		switch {
		case errors.Is(err, ErrClosed):
			return err
		case err == nil && !more:
			return nil
		case err == nil:
			pause = firstBackoff
			continue
		case ctx.Err() != nil:
			return joinCause(ctx, err)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return joinCause(ctx, err)
		}
		pause = min(2*pause, maxBackoff)
	}
}

func joinCause(ctx context.Context, err error) error {
	if errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), err)
}

// step delivers one batch. Only one caller at a time is inside, so batches arrive in order.
func (a *Analytics) step(ctx context.Context) (more bool, err error) {
	select {
	case _, open := <-a.turn:
		if !open {
			return false, ErrClosed
		}
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	defer func() { a.turn <- struct{}{} }()

	b, err := a.journal.next(a.opts.batchSize())
	if err == nil && b == nil {
		return false, nil
	}
	if err == nil {
		err = a.deliver(ctx, b)
	}
	if err != nil {
		a.fail(ctx, err)
		return true, err
	}
	if a.failing.Swap(false) {
		a.opts.logger().InfoContext(ctx, "analytics: delivery works again")
	}
	if b.damaged > 0 {
		a.damage(ctx, b.damaged, "skipped in front of or within batch "+b.token)
	}
	if err := a.journal.settle(b); err != nil {
		a.opts.report(ctx, fmt.Errorf("analytics: note a delivered batch: %w", err))
	}
	a.gate.leave(b.bytes)
	return true, nil
}

// deliver stores a batch, apart from the records in it that the store refuses.
func (a *Analytics) deliver(ctx context.Context, b *batch) error {
	if len(b.records) == 0 {
		return nil
	}
	splits := 0
	var refused []Record
	var cause error
	var send func(token string, records []Record) error
	send = func(token string, records []Record) error {
		err := a.insert(ctx, Batch{Token: token, Records: records})
		switch {
		case !errors.Is(err, ErrRejected):
			return err
		case len(records) == 1 || splits >= maxSplits:
			refused, cause = append(refused, records...), err
			return nil
		}
		// The halves get tokens of their own, the same ones on every attempt.
		splits++
		half := len(records) / 2
		if err := send(token+"a", records[:half]); err != nil {
			return err
		}
		return send(token+"b", records[half:])
	}
	if err := send(b.token, b.records); err != nil {
		return err
	}
	if n := len(refused); n > 0 {
		if err := a.journal.bury(b.token, refused, cause); err != nil {
			return fmt.Errorf("analytics: keep refused events: %w", err)
		}
		a.dead.Add(uint64(n))
		a.opts.count(ctx, "dead", n)
		err := fmt.Errorf("analytics: %d events of batch %s are dead: %w", n, b.token, cause)
		a.opts.logger().ErrorContext(ctx, "analytics: the store refused events", "events", n, "batch", b.token, "error", cause)
		a.opts.report(ctx, err)
	}
	a.opts.count(ctx, "sent", len(b.records)-len(refused))
	return nil
}

func (a *Analytics) insert(ctx context.Context, b Batch) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	return a.store.Insert(ctx, b)
}

// fail counts a failed attempt; the first of an outage is logged and reported.
func (a *Analytics) fail(ctx context.Context, err error) {
	a.retried.Add(1)
	a.opts.count(ctx, "retried", 1)
	if ctx.Err() == nil && !a.failing.Swap(true) {
		a.opts.logger().ErrorContext(ctx, "analytics: delivery fails, will retry", "error", err)
		a.opts.report(ctx, fmt.Errorf("analytics: deliver: %w", err))
	}
}

// damage tells of bytes of the log that cannot be read; where also says what became of them.
func (a *Analytics) damage(ctx context.Context, n int, where string) {
	a.damaged.Add(uint64(n))
	a.opts.count(ctx, "damaged", n)
	a.opts.logger().ErrorContext(ctx, "analytics: the log is damaged", "bytes", n, "where", where)
	a.opts.report(ctx, fmt.Errorf("analytics: %d bytes of the log are damaged, %s", n, where))
}
