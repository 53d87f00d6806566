package outbox

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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
// there.
func Rebase(ctx context.Context, db *tenancy.DB, sink Sink) (delivered int, err error) {
	if db == nil || sink == nil {
		return 0, errors.New("outbox: Rebase needs a DB and a sink")
	}
	stored, err := sink.Position(ctx)
	if err != nil {
		return 0, fmt.Errorf("outbox: position of the sink: %w", err)
	}
	old, err := parsePosition(stored)
	if err != nil {
		return 0, err
	}
	if old.sink == "" {
		old.sink = newID()
	}
	now, err := freeze(ctx, db)
	if err != nil {
		return 0, err
	}
	for {
		rows, err := lacking(ctx, db, old, now.Top)
		if err != nil {
			return delivered, err
		}
		next := old
		last := len(rows) < defaultBatch/2
		if last {
			// Transactions that are open now may still write events, later ones too; all others are done with.
			edge := snapshot(fmt.Sprintf("%d:%d:", now.Oldest, now.Oldest))
			next = position{log: now.Log, sink: old.sink, from: edge, floor: now.Top, seen: now.Now.UnixMicro()}
		} else {
			next.floor = rows[len(rows)-1].Seq
		}
		events := make([]Event, len(rows))
		for i, r := range rows {
			events[i] = r.event()
		}
		ok, err := sink.Deliver(ctx, stored, next.String(), events)
		switch {
		case err != nil:
			return delivered, fmt.Errorf("outbox: rebase: deliver: %w", err)
		case !ok:
			return delivered, errors.New("outbox: rebase: the sink's position was moved by somebody else; stop its relays")
		}
		delivered += len(events)
		if stored, old = next.String(), next; last {
			return delivered, save(ctx, db, next.sink, fmt.Sprintf("%T", sink), stored)
		}
	}
}

// frozen is what the log looks like at a moment at which no open transaction has written events.
type frozen struct {
	Log    string
	Now    time.Time
	Top    int64 // highest sequence
	Oldest int64 // transaction that was open
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
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "55P03" { // lock_not_available
			break
		}
		wait(ctx, nil, min(time.Second, 50*time.Millisecond<<n))
	}
	if err != nil {
		return frozen{}, fmt.Errorf("outbox: rebase: wait for transactions that have written events: %w", err)
	}
	return f, nil
}

// lacking returns the first events up to a sequence that a sink at the position does not have.
func lacking(ctx context.Context, db *tenancy.DB, at position, upto int64) ([]row, error) {
	until := string(at.upto)
	if until == "" {
		until = string(beginning) // in which nothing is visible
	}
	seen := time.UnixMicro(at.seen)
	if at.log == "" { // format 1 did not note the time
		seen = time.Now().AddDate(100, 0, 0)
	}
	rows, err := tenancy.All[row](tenancy.System(ctx, "outbox rebase"), db, lackingSQL,
		at.floor, upto, string(at.from), until, at.seq, seen, defaultBatch/2)
	if err != nil {
		return nil, fmt.Errorf("outbox: rebase: read: %w", err)
	}
	return rows, nil
}
