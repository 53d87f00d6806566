package outbox

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
)

// MaintainOptions configures Maintain. A nil *MaintainOptions and the zero value mean the defaults.
type MaintainOptions struct {
	// Retention is how long events are kept at least, which is also how far back a sink may lose what it had. Events are
	// dropped by whole days (UTC), once every sink has them. Zero means 7 days. Negative means for ever.
	Retention time.Duration

	// Marks is how long the marks of Once are kept. It must be longer than an event may come back to its consumer.
	// Zero means 30 days. Negative means for ever.
	Marks time.Duration

	// Ahead is the number of days for which partitions are made in advance. Zero or negative means 7.
	Ahead int

	// Patience is how long writers of events may have to wait for Maintain, each time that it takes a lock.
	// Zero or negative means 50 ms.
	Patience time.Duration

	// Logger gets a warning for each sink that keeps events from being dropped. Nil means slog.Default().
	Logger *slog.Logger
}

func (o *MaintainOptions) retention() time.Duration {
	if o == nil || o.Retention == 0 {
		return 7 * 24 * time.Hour
	}
	return o.Retention
}

func (o *MaintainOptions) marks() time.Duration {
	if o == nil || o.Marks == 0 {
		return 30 * 24 * time.Hour
	}
	return o.Marks
}

func (o *MaintainOptions) ahead() int {
	if o == nil || o.Ahead <= 0 {
		return 7
	}
	return o.Ahead
}

func (o *MaintainOptions) patience() int64 {
	if o == nil || o.Patience <= 0 {
		return 50
	}
	return max(o.Patience.Milliseconds(), 1)
}

func (o *MaintainOptions) logger() *slog.Logger {
	if o == nil || o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}

// Maintained says what Maintain did.
type Maintained struct {
	Made    []string // partitions, by name
	Dropped []string // partitions
	Emptied []string // partitions whose events are gone; writers kept Maintain from dropping the empty rest, the next run will
	Kept    []string // partitions past their retention that a sink needs, or that somebody reads, and the later ones
	Drained int64    // events removed from the default partition
	Marks   int64    // marks of Once removed
}

//go:embed partitions.sql
var partitionsSQL string

//go:embed drain.sql
var drainSQL string

const hasEvents = `select exists (select from tenancy.outbox
	where at >= $1::date::timestamp at time zone 'UTC' and at < ($1::date + 1)::timestamp at time zone 'UTC')`

const hasOverdue = `select exists (select from tenancy.outbox_default where at < now() - make_interval(secs => $1))`

// forgetErased lets go what is not, and will not become, the anchor of a sink.
const forgetErased = `delete from tenancy.outbox_erased where at < now() - 4 * make_interval(secs => $1) and xid < $2::text::xid8`

//go:embed forget_marks.sql
var forgetMarks string

// drainBatch bounds the rows that one statement removes.
const drainBatch = 5000

// Maintain makes partitions of the outbox for the days to come, and removes events and marks that are past their
// retention. Call it at least daily, e.g. by a cron job; several at a time do no harm. db needs Options.System.
//
// Days go in their order, so that a new sink, which begins with the oldest event that is there, has all from there on.
// An event goes only when every sink has it, as the relays of the sinks told the database (see Sinks): a sink that lags or
// stands still keeps what it needs, until Forget. Besides, the day of the last event that a sink has stays, and the last day
// with events before the retention begins: they prove to relays that the log is still the same, also when a sink was thrown
// back.
//
// Removing a day needs locks that exclude writers and relays. Maintain waits for them at most MaintainOptions.Patience and
// leaves to the next run what it did not get. It is refused inside a unit of work, which would keep the locks to its end.
// Where no partition was made in time, events go to a default partition, which is emptied row by row, up to 5,000 in one
// transaction, for whose length relays wait with the note of where they are.
func Maintain(ctx context.Context, db *tenancy.DB, opts *MaintainOptions) (done Maintained, err error) {
	if db == nil {
		return done, errors.New("outbox: Maintain needs a DB")
	}
	if _, open := tenancy.TxFrom(ctx); open {
		return done, errors.New("outbox: Maintain inside a unit of work would hold its locks until the end")
	}
	// Statements that waited for a lock must see what was committed meanwhile.
	db = db.With(&tenancy.TxOptions{Isolation: pgx.ReadCommitted})
	m := maintenance{db: db, opts: opts, done: &done}
	ctx = tenancy.System(ctx, "outbox maintenance")
	on, err := tenancy.One[standing](ctx, db, standingSQL)
	if err == nil && !on.Sees {
		err = fmt.Errorf("the role %s is no member of tenancy_system, so it sees neither sinks nor events", on.Role)
	}
	if err != nil {
		return done, fmt.Errorf("outbox: maintain: %w", err)
	}
	for _, step := range []func(context.Context, time.Time) error{m.makeDays, m.dropDays, m.drain, m.forgetMarks} {
		if err := step(ctx, on.Today); err != nil {
			return done, fmt.Errorf("outbox: maintain: %w", err)
		}
	}
	return done, nil
}

// standing is when Maintain runs and as whom. To a role without a policy, as the owner, the outbox looks empty.
type standing struct {
	Today time.Time
	Role  string
	Sees  bool
}

const standingSQL = `select (now() at time zone 'UTC')::date as today, current_user::text as role, pg_has_role('tenancy_system', 'usage') as sees`

type maintenance struct {
	db   *tenancy.DB
	opts *MaintainOptions
	done *Maintained

	// Where the sinks are.
	sinks   []string
	since   []string
	floors  []int64
	anchors []string
	needed  time.Time // of the oldest anchor
	oldest  uint64    // transaction id of an anchor
}

func partName(day time.Time) string { return "outbox_" + day.Format("20060102") }

// makeDays begins with today: after a long pause the default partition has no event of today yet, if it is early.
func (m *maintenance) makeDays(ctx context.Context, today time.Time) error {
	for n := range m.opts.ahead() + 1 {
		day := today.AddDate(0, 0, n)
		made, err := tenancy.One[bool](ctx, m.db, `select tenancy.outbox_add($1::date, $2)`, day, m.opts.patience())
		if err != nil {
			return err
		}
		if made {
			m.done.Made = append(m.done.Made, partName(day))
		}
	}
	return nil
}

func (m *maintenance) dropDays(ctx context.Context, today time.Time) error {
	if m.opts.retention() < 0 {
		return nil
	}
	if err := m.askSinks(ctx); err != nil {
		return err
	}
	days, err := tenancy.All[time.Time](ctx, m.db, partitionsSQL, m.opts.retention().Seconds())
	if err != nil {
		return err
	}
	for i, day := range slices.Backward(days) {
		reserve, err := tenancy.One[bool](ctx, m.db, hasEvents, day)
		if err != nil {
			return err
		}
		if reserve {
			days = slices.Delete(days, i, i+1)
			break
		}
	}
	for _, day := range days {
		if err := m.retire(ctx, day); err != nil {
			return err
		}
	}
	return nil
}

// retire removes a day, unless one before it had to stay.
func (m *maintenance) retire(ctx context.Context, day time.Time) (err error) {
	name, outcome := partName(day), "needed"
	if len(m.done.Kept) == 0 && (m.needed.IsZero() || !m.needed.Before(day.AddDate(0, 0, 1))) {
		if outcome, err = tenancy.One[string](ctx, m.db, `select tenancy.outbox_retire($1::date, $2, $3, $4, $5)`,
			day, m.sinks, m.since, m.floors, m.opts.patience()); err != nil {
			return err
		}
	}
	switch outcome {
	case "dropped":
		m.done.Dropped = append(m.done.Dropped, name)
	case "emptied":
		m.done.Emptied = append(m.done.Emptied, name)
	case "gone": // another Maintain has dropped it
	default:
		m.done.Kept = append(m.done.Kept, name)
	}
	return nil
}

// askSinks finds out where the sinks are. The position of a sink in another log says nothing about this one.
func (m *maintenance) askSinks(ctx context.Context) error {
	sinks, err := Sinks(ctx, m.db)
	if err != nil {
		return err
	}
	log, err := tenancy.One[string](ctx, m.db, `select tenancy.outbox_log()`)
	if err != nil {
		return err
	}
	m.oldest = 1 << 62
	for _, s := range sinks {
		p := s.position
		if p.log != log || p.moved > 0 {
			p = position{from: beginning}
		}
		m.sinks = append(m.sinks, s.ID)
		m.since, m.floors = append(m.since, string(p.from)), append(m.floors, p.floor)
		m.oldest = min(m.oldest, p.anchor.xid)
		if p.anchor.id != "" {
			m.anchors = append(m.anchors, p.anchor.id)
			if at := time.UnixMicro(p.anchor.at); m.needed.IsZero() || at.Before(m.needed) {
				m.needed = at
			}
		}
		if s.Behind > m.opts.retention() || p.log != s.position.log {
			m.opts.logger().WarnContext(ctx, "outbox: a sink keeps events from being dropped; see outbox.Forget",
				"sink", s.ID, "name", s.Name, "behind", s.Behind, "told", s.At)
		}
	}
	return nil
}

// drain empties the default partition, unless somebody keeps the table of sinks locked: then the next run does.
func (m *maintenance) drain(ctx context.Context, _ time.Time) error {
	if m.opts.retention() < 0 {
		return nil
	}
	more, err := tenancy.One[bool](ctx, m.db, hasOverdue, m.opts.retention().Seconds())
	for more && err == nil {
		var n int64
		n, err = m.drainSome(ctx)
		m.done.Drained += n
		more = n == drainBatch
	}
	if err != nil && !lockNotAvailable(err) {
		return err
	}
	_, err = m.exec(ctx, forgetErased, m.opts.retention().Seconds(), strconv.FormatUint(m.oldest, 10))
	return err
}

// drainSome makes a new sink wait with its first note until the events are gone.
func (m *maintenance) drainSome(ctx context.Context) (n int64, err error) {
	err = m.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Defer(`select set_config('lock_timeout', $1, true)`, strconv.FormatInt(m.opts.patience(), 10))
		tx.Defer(`lock table tenancy.outbox_sink in share mode`)
		tag, err := tx.Exec(ctx, drainSQL, m.opts.retention().Seconds(), m.sinks, m.since, m.floors, m.anchors, drainBatch)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

func (m *maintenance) forgetMarks(ctx context.Context, _ time.Time) error {
	for m.opts.marks() >= 0 {
		n, err := m.exec(ctx, forgetMarks, m.opts.marks().Seconds(), drainBatch)
		m.done.Marks += n
		if err != nil || n < drainBatch {
			return err
		}
	}
	return nil
}

func (m *maintenance) exec(ctx context.Context, sql string, args ...any) (n int64, err error) {
	err = m.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tag, err := tx.Exec(ctx, sql, args...)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}
