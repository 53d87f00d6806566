package outbox

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
)

//go:embed freeze.sql
var freezeSQL string

//go:embed lacking.sql
var lackingSQL string

const (
	freezePatience = 500 // milliseconds for which writers of events may have to wait
	freezeTries    = 20
)

// Rebase brings a sink over to the log that the database of db holds now, after ErrLogChanged: it delivers the events that
// are there and that the sink does not have, in the order of their sequence, and moves the position. It returns how many
// it delivered. The relays of the sink have to stand still, and nothing may feed the sink from the old database any more.
// If it fails half-way, call it again. It waits for open transactions that have written events, and lets others write
// none, for at most half a second at a time.
//
// Nothing that is in the database gets lost. Nothing is delivered twice, provided that the clocks of the old and the new
// database differ by less than the time that passed between the last delivery from the old one and the first event of the
// new one. What the sink has and the database lacks, because it was set back in time, stays in the sink: it has happened
// there. After a Rebase the sink counts as having what its database then had: do not bring back another, later copy of the
// old database, whose events of before the Rebase would count as delivered.
func Rebase(ctx context.Context, db *tenancy.DB, sink Sink) (delivered int, err error) {
	if db == nil || sink == nil {
		return 0, errors.New("outbox: Rebase needs a DB and a sink")
	}
	if _, open := tenancy.TxFrom(ctx); open {
		return 0, errors.New("outbox: Rebase inside a unit of work would hold its lock until the end")
	}
	stored, old, err := enrol(ctx, db, sink)
	if err != nil {
		return 0, err
	}
	now, err := freeze(ctx, db)
	if err != nil {
		return 0, err
	}
	for after := int64(0); ; {
		rows, err := lacking(ctx, db, old, after, now.Top)
		if err != nil {
			return delivered, err
		}
		next := old
		last := len(rows) < defaultBatch/2
		if last {
			next = now.position(old.sink)
		} else {
			after = rows[len(rows)-1].Seq
			next.moved, next.movedAt = after, now.Now.UnixMicro()
		}
		events := make([]Event, len(rows))
		for i, r := range rows {
			events[i] = r.event()
		}
		if err := move(ctx, sink, stored, next, events); err != nil {
			return delivered, err
		}
		delivered += len(events)
		if stored = next.String(); last {
			return delivered, save(ctx, db, next.sink, fmt.Sprintf("%T", sink), stored)
		}
	}
}

func move(ctx context.Context, sink Sink, from string, to position, events []Event) error {
	ok, err := sink.Deliver(ctx, from, to.String(), events)
	switch {
	case err != nil:
		return fmt.Errorf("outbox: rebase: deliver: %w", err)
	case !ok:
		return errors.New("outbox: rebase: the sink's position was moved by somebody else; stop its relays")
	}
	return nil
}

// enrol asks the sink where it is, and makes Maintain keep all that this database has until Rebase is done.
func enrol(ctx context.Context, db *tenancy.DB, sink Sink) (stored string, at position, err error) {
	if stored, err = sink.Position(ctx); err != nil {
		return "", at, fmt.Errorf("outbox: position of the sink: %w", err)
	}
	if at, err = parsePosition(stored); err != nil {
		return "", at, err
	}
	if at.sink == "" {
		at.sink = newID()
		if err := move(ctx, sink, stored, at, nil); err != nil {
			return "", at, err
		}
		stored = at.String()
	}
	return stored, at, save(ctx, db, at.sink, fmt.Sprintf("%T", sink), position{sink: at.sink, from: beginning}.String())
}

// frozen is what the log looks like at a moment at which no open transaction has written events.
type frozen struct {
	Log string
	Now time.Time

	// The last event; if there is none, zero.
	Top int64 // its sequence
	XID int64 `db:"xid"`
	ID  string
	At  time.Time
}

// position is where a sink stands that has all events. It speaks of sequences and of no transaction ids: those of events in
// a dump are another cluster's, and those of now are given out again if the database is set back to before now.
func (f frozen) position(sink string) position {
	p := position{log: f.Log, sink: sink, from: beginning, floor: f.Top, seen: f.Now.UnixMicro()}
	if f.ID != "" {
		p.anchor = anchor{uint64(f.XID), f.ID, f.At.UnixMicro()}
	}
	return p
}

func freeze(ctx context.Context, db *tenancy.DB) (f frozen, err error) {
	ctx = tenancy.System(ctx, "outbox rebase")
	db = db.With(&tenancy.TxOptions{Isolation: pgx.ReadCommitted}) // the second statement must see what the first waited for
	for n := range freezeTries {
		err = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) (err error) {
			tx.Defer(`select tenancy.outbox_freeze($1)`, freezePatience)
			tx.Defer(`select tenancy.outbox_identify()`)
			f, err = tenancy.One[frozen](ctx, tx, freezeSQL)
			return err
		})
		if !lockNotAvailable(err) {
			break
		}
		wait(ctx, nil, min(time.Second, 50*time.Millisecond<<n))
	}
	if err != nil {
		return frozen{}, fmt.Errorf("outbox: rebase: wait for transactions that have written events: %w", err)
	}
	return f, nil
}

// lacking returns the first events between two sequences that a sink at the position does not have.
func lacking(ctx context.Context, db *tenancy.DB, at position, after, upto int64) ([]row, error) {
	until := string(at.upto)
	if until == "" {
		until = string(beginning) // in which nothing is visible
	}
	seen := time.UnixMicro(at.seen)
	if at.log == "" { // format 1 did not note the time
		seen = time.Now().AddDate(100, 0, 0)
	}
	rows, err := tenancy.All[row](tenancy.System(ctx, "outbox rebase"), db, lackingSQL,
		after, upto, string(at.from), until, at.seq, at.floor, seen, at.moved, time.UnixMicro(at.movedAt), defaultBatch/2)
	if err != nil {
		return nil, fmt.Errorf("outbox: rebase: read: %w", err)
	}
	return rows, nil
}
