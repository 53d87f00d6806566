package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
)

// Relay moves events from the outbox to one sink. Any number of relays, in any number of processes, may serve the same
// sink; several sinks are independent of each other.
type Relay struct {
	db   *tenancy.DB
	sink Sink
	opts *Options
}

// New returns a relay. db needs Options.System: a relay reads the events of all tenants. New does no I/O.
func New(db *tenancy.DB, sink Sink, opts *Options) (*Relay, error) {
	if db == nil || sink == nil {
		return nil, errors.New("outbox: New needs a DB and a sink")
	}
	return &Relay{db: db, sink: sink, opts: opts}, nil
}

// Run delivers until ctx is done and then returns nil. Errors of the database and of the sink are retried for ever, with
// pauses of up to 5 s: an event is never skipped. Only ErrLogChanged ends Run, and is returned. Run may be called by
// several goroutines.
//
// While a sink refuses events, batches become smaller down to one event, so that what comes before a bad event arrives and
// the error names it. It stays at the head until the sink takes it; outbox.errors counts on and the log repeats it.
func (r *Relay) Run(ctx context.Context) error {
	nudge := make(chan struct{}, 1)
	defer r.db.NotifyEvents(nudge)()
	c := cursor{limit: r.opts.batch()}
	defer func() { r.farewell(ctx, &c) }()
	pause := minPoll
	for ctx.Err() == nil {
		n, err := r.step(ctx, &c)
		if err == nil {
			err = r.note(ctx, &c, again) // the first note of a new sink comes before its first event
		}
		switch {
		case errors.Is(err, ErrLogChanged):
			r.opts.count(ctx, "outbox.errors", 1)
			return err
		case err != nil && ctx.Err() == nil:
			r.failed(ctx, err, &c)
			c.known = false // the outcome of Deliver may be unknown: ask the sink
			c.limit = max(c.limit/2, 1)
			wait(ctx, nil, min(minPoll<<min(c.failures, 20), maxBackoff))
			continue
		case c.failures > 0 && err == nil:
			r.opts.logger().InfoContext(ctx, "outbox: delivering again", "failures", c.failures)
			c.failures, c.named = 0, false
		}
		if n > 0 {
			c.limit = min(2*c.limit, r.opts.batch())
			pause = minPoll
			continue
		}
		wait(ctx, nudge, pause)
		pause = min(2*pause, r.opts.maxPoll())
	}
	return nil
}

// cursor is what a running relay knows without asking: the text that the sink has, and how far it has looked since.
// Looking further without delivering needs no write to the sink.
type cursor struct {
	known  bool
	stored string
	at     position
	limit  int // of the next batch

	noted string    // what outbox_sink says
	when  time.Time // and since when

	failures int       // in a row
	logged   time.Time // the last of them that was
	named    bool      // it was about one event
}

// step delivers at most one batch and returns its size.
func (r *Relay) step(ctx context.Context, c *cursor) (int, error) {
	if !c.known {
		if err := r.ask(ctx, c); err != nil {
			return 0, err
		}
	}
	t, err := read(ctx, r.db, c.at, c.limit)
	if err != nil {
		return 0, err
	}
	next, err := c.at.after(t)
	if err != nil {
		return 0, err
	}
	if c.at.sink == "" { // a new sink, or one with a position in format 1: it is registered before it gets events
		next, t.rows = c.at, nil
		next.log, next.sink = t.log, newID()
	} else if len(t.rows) == 0 {
		if c.at.upto != "" { // the tick was delivered to its end by a full last batch
			c.at = next
		}
		return 0, nil
	}
	ok, err := r.deliver(ctx, c.stored, next.String(), t.rows)
	if err != nil {
		return 0, err
	}
	if !ok { // another relay was faster, or the sink was set back
		c.known = false
		return 0, nil
	}
	c.stored, c.at = next.String(), next
	return len(t.rows), nil
}

func (r *Relay) ask(ctx context.Context, c *cursor) error {
	ctx, cancel := context.WithTimeout(ctx, deliverTime)
	defer cancel()
	stored, err := r.sink.Position(ctx)
	if err != nil {
		return fmt.Errorf("outbox: position of the sink: %w", err)
	}
	at, err := parsePosition(stored)
	if err != nil {
		return err
	}
	c.known, c.stored, c.at = true, stored, at
	return nil
}

func (r *Relay) deliver(ctx context.Context, from, to string, rows []row) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, deliverTime)
	defer cancel()
	events := make([]Event, len(rows))
	for i, row := range rows {
		events[i] = row.event()
	}
	ok, err := r.sink.Deliver(ctx, from, to, events)
	switch {
	case err != nil && len(events) == 1:
		return false, fmt.Errorf("outbox: deliver event %s of type %q: %w", events[0].ID, events[0].Type, err)
	case err != nil:
		return false, fmt.Errorf("outbox: deliver: %w", err)
	case ok:
		r.opts.count(ctx, "outbox.delivered", len(events))
	}
	return ok, nil
}

func (r *Relay) failed(ctx context.Context, err error, c *cursor) {
	r.opts.count(ctx, "outbox.errors", 1)
	c.failures++
	if c.failures > 1 && time.Since(c.logged) < again && (c.named || c.limit > 1) {
		return
	}
	c.logged, c.named = time.Now(), c.limit == 1
	r.opts.logger().ErrorContext(ctx, "outbox: delivery fails, will be retried", "error", err, "failures", c.failures)
	if r.opts != nil && r.opts.Errors != nil {
		r.opts.Errors.Report(ctx, err, debug.Stack())
	}
}

// wait sleeps about d; a nudge or the end of ctx shorten it.
func wait(ctx context.Context, nudge <-chan struct{}, d time.Duration) {
	// Relays that wake together would read the same events and all but one in vain.
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-nudge:
	case <-timer.C:
	}
}
