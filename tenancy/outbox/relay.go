package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// Options configures a Relay. A nil *Options and the zero value mean the defaults.
type Options struct {
	// Batch is the largest number of events in one Deliver. Zero or negative means 500.
	Batch int

	// MaxPoll is the longest pause between two looks at the outbox. The pause starts at 5 ms and doubles while there is
	// nothing to do; a commit in this process ends it. Zero or negative means 100 ms.
	MaxPoll time.Duration

	// Logger gets one line when delivery starts to fail and one when it works again. Nil means slog.Default().
	Logger *slog.Logger

	// Errors gets each error that starts a failure, with a stack. Nil means that it is only logged.
	Errors interface {
		Report(ctx context.Context, err error, stack []byte)
	}

	// Metrics counts outbox.delivered (events) and outbox.errors. Nil means no metrics.
	Metrics interface {
		Add(ctx context.Context, name string, n float64, kv ...string)
	}
}

const (
	minPoll      = 5 * time.Millisecond
	maxBackoff   = 5 * time.Second
	deliverTime  = 30 * time.Second // bounds one step, so that a silent server cannot stop a relay for ever
	defaultBatch = 500

	maxDeliverBytes = 4 << 20
)

func (o *Options) batch() int {
	if o == nil || o.Batch <= 0 {
		return defaultBatch
	}
	return o.Batch
}

func (o *Options) maxPoll() time.Duration {
	if o == nil || o.MaxPoll <= 0 {
		return 100 * time.Millisecond
	}
	return max(o.MaxPoll, minPoll)
}

func (o *Options) logger() *slog.Logger {
	if o == nil || o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}

func (o *Options) count(ctx context.Context, name string, n int) {
	if o != nil && o.Metrics != nil {
		o.Metrics.Add(ctx, name, float64(n))
	}
}

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
// pauses of up to 5 s: an event is never skipped. Run may be called by several goroutines.
func (r *Relay) Run(ctx context.Context) error {
	nudge := make(chan struct{}, 1)
	defer r.db.NotifyEvents(nudge)()
	var c cursor
	pause, failures := minPoll, 0
	for ctx.Err() == nil {
		n, err := r.step(ctx, &c)
		switch {
		case err != nil && ctx.Err() == nil:
			failures++
			r.failed(ctx, err, failures)
			c = cursor{} // the outcome of Deliver may be unknown: ask the sink
			r.wait(ctx, nil, min(minPoll<<min(failures, 20), maxBackoff))
			continue
		case failures > 0 && err == nil:
			r.opts.logger().InfoContext(ctx, "outbox: delivering again", "failures", failures)
			failures = 0
		}
		if n > 0 {
			pause = minPoll
			continue
		}
		r.wait(ctx, nudge, pause)
		pause = min(2*pause, r.opts.maxPoll())
	}
	return nil
}

// cursor is what a relay knows without asking: the text that the sink has, and how far it has looked since.
// Looking further without delivering needs no write to the sink.
type cursor struct {
	known  bool
	stored string
	at     position
}

// step delivers at most one batch and returns its size.
func (r *Relay) step(ctx context.Context, c *cursor) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, deliverTime)
	defer cancel()
	if !c.known {
		stored, err := r.sink.Position(ctx)
		if err != nil {
			return 0, fmt.Errorf("outbox: position of the sink: %w", err)
		}
		at, err := parsePosition(stored)
		if err != nil {
			return 0, err
		}
		*c = cursor{known: true, stored: stored, at: at}
	}
	rows, err := r.read(ctx, c.at)
	if err != nil {
		return 0, err
	}
	if len(rows) == 0 {
		if c.at.upto != "" { // the tick was delivered to its end by a full last batch
			c.at = position{from: c.at.upto}
		}
		return 0, nil
	}
	rows, more := bounded(rows, r.opts.batch())
	next := position{from: rows[0].Upto}
	if more {
		next = position{from: c.at.from, upto: rows[0].Upto, seq: rows[len(rows)-1].Seq}
	}
	events := make([]Event, len(rows))
	for i, row := range rows {
		events[i] = Event{ID: row.ID, Tenant: row.Tenant, Type: row.Type, Key: row.Key, Payload: row.Payload, At: row.At.UTC()}
	}
	ok, err := r.sink.Deliver(ctx, c.stored, next.String(), events)
	if err != nil {
		return 0, fmt.Errorf("outbox: deliver: %w", err)
	}
	if !ok { // another relay was faster, or the sink was set back
		*c = cursor{}
		return 0, nil
	}
	r.opts.count(ctx, "outbox.delivered", len(events))
	*c = cursor{known: true, stored: next.String(), at: next}
	return len(events), nil
}

// bounded cuts rows so that one Deliver stays small in bytes too; more tells that the tick may have further events.
func bounded(rows []row, batch int) (_ []row, more bool) {
	total := 0
	for i, row := range rows {
		if total += len(row.Payload); total > maxDeliverBytes && i > 0 {
			return rows[:i], true
		}
	}
	return rows, len(rows) == batch
}

// row is what the tick query returns.
type row struct {
	Seq     int64
	ID      string
	Tenant  string `db:"tenant_id"`
	Type    string
	Key     string
	Payload []byte
	At      time.Time
	Upto    string
}

func (r *Relay) read(ctx context.Context, at position) ([]row, error) {
	var upto *string
	if at.upto != "" {
		upto = &at.upto
	}
	ctx = tenancy.System(ctx, "outbox relay")
	// One statement, so READ COMMITTED gives it one snapshot, which is also the end of the tick. Its writes, none, need no
	// read-only transaction, which would cost BEGIN and COMMIT.
	rows, err := tenancy.All[row](ctx, r.db, sqltext.Tick, at.from, upto, at.seq, r.opts.batch())
	if err != nil {
		return nil, fmt.Errorf("outbox: read: %w", err)
	}
	return rows, nil
}

func (r *Relay) failed(ctx context.Context, err error, failures int) {
	r.opts.count(ctx, "outbox.errors", 1)
	if failures > 1 {
		return
	}
	r.opts.logger().ErrorContext(ctx, "outbox: delivery fails, will be retried", "error", err)
	if r.opts != nil && r.opts.Errors != nil {
		r.opts.Errors.Report(ctx, err, debug.Stack())
	}
}

// wait sleeps about d; a nudge or the end of ctx shorten it.
func (r *Relay) wait(ctx context.Context, nudge <-chan struct{}, d time.Duration) {
	// Relays that wake together would read the same events and all but one in vain.
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-nudge:
	case <-timer.C:
	}
}
