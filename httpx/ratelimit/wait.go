package ratelimit

import (
	"context"
	"strings"
	"sync"
	"time"
)

// Wait asks for n units until it gets them, and sleeps meanwhile. Those who wait for the same buckets in one process take
// turns, whatever they wait for: only the first of them asks again, so however many wait, a unit that comes back is asked
// for a few times. Calls of AllowN, and those that have just come, may get it all the same.
//
// It returns a [*DeniedError] at once if the units do not come back before the deadline of ctx, not counting what those in
// front will take; the error of ctx if that ends; and those of AllowN.
func (l *Limiter) Wait(ctx context.Context, key string, n int64) error {
	var mine *turn
	for {
		d, err := l.AllowN(ctx, key, n)
		if err != nil || d.Allowed {
			return err
		}
		again := time.Now().Add(d.RetryAfter)
		if deadline, ok := ctx.Deadline(); ok && deadline.Before(again) {
			return d.Err()
		}
		if mine == nil {
			if mine, err = l.turn(ctx, key); err != nil {
				return err
			}
			defer l.queue.leave(mine)
		}
		timer := time.NewTimer(time.Until(again))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// turn waits until nobody is in front of the caller.
func (l *Limiter) turn(ctx context.Context, key string) (*turn, error) {
	group, rules, err := l.target(ctx, key)
	if err != nil {
		return nil, err
	}
	var id strings.Builder // without what is no limit of the caller: another user of the tenant
	id.WriteString(group)
	for _, r := range rules {
		id.WriteString(" ")
		id.WriteString(r.key)
	}
	return l.queue.enter(ctx, id.String())
}

// queue lets one caller in at a time for each id, in the order in which they came.
type queue struct {
	mu    sync.Mutex
	turns map[string]*turn
}

// turn is what those with one id wait for.
type turn struct {
	id     string
	first  chan struct{} // holds one; channels serve those who wait to send in order
	inside int           // all of them
}

func (q *queue) enter(ctx context.Context, id string) (*turn, error) {
	q.mu.Lock()
	t := q.turns[id]
	if t == nil {
		if q.turns == nil {
			q.turns = map[string]*turn{}
		}
		t = &turn{id: id, first: make(chan struct{}, 1)}
		q.turns[id] = t
	}
	t.inside++
	q.mu.Unlock()
	select {
	case t.first <- struct{}{}:
		return t, nil
	case <-ctx.Done():
		q.forget(t)
		return nil, ctx.Err()
	}
}

// leave lets the next one in.
func (q *queue) leave(t *turn) {
	<-t.first
	q.forget(t)
}

func (q *queue) forget(t *turn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.inside--; t.inside == 0 {
		delete(q.turns, t.id)
	}
}
