package tenancytest

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
)

var endCases = []suiteCase{
	{"ending", "what comes while COMMIT is under way is refused, not lost", ending},
	{"ended by a text", "BEGIN, COMMIT and ROLLBACK as a text are refused and spoil the unit", endedByText},
	{"ending with a savepoint open", "a savepoint that another goroutine left open rolls the unit back and cannot be released", endingOpen},
}

// holding is a driver that calls held before COMMIT leaves and again before its answer is read.
type holding struct {
	tenancy.Driver
	held func()
}

func (h *holding) Acquire(ctx context.Context, t tenancy.Target) (tenancy.Session, error) {
	s, err := h.Driver.Acquire(ctx, t)
	if err != nil {
		return nil, err
	}
	return &heldSession{s, h}, nil
}

type heldSession struct {
	tenancy.Session
	driver *holding
}

// Send implements tenancy.Session.
func (s *heldSession) Send(ctx context.Context, b *tenancy.Batch) (pgx.BatchResults, error) {
	if !b.Commit || s.driver.held == nil {
		return s.Session.Send(ctx, b)
	}
	s.driver.held()
	results, err := s.Session.Send(ctx, b)
	if err == nil {
		s.driver.held()
	}
	return results, err
}

// hold puts a driver that calls held in between, for units that the case runs from now on.
func (s *suite) hold(held func()) *holding {
	s.Helper()
	h := &holding{Driver: s.db.Driver(), held: held}
	db, err := tenancy.New(nil, &tenancy.Options{Driver: h})
	s.ok(err)
	s.db = db
	return h
}

func ending(s *suite) {
	var unit *tenancy.Tx
	var inside context.Context
	late, ran := 0, false
	h := s.hold(nil)
	try := func() {
		late++
		s.is(s.db.Do(inside, func(_ context.Context, tx *tenancy.Tx) error {
			ran = true
			tx.Emit(happened{2})
			return nil
		}), tenancy.ErrTxDone)
		_, err := unit.Begin(inside)
		s.is(err, tenancy.ErrTxDone)
		_, err = unit.Exec(inside, putSQL, "late", 1)
		s.is(err, tenancy.ErrTxDone)
		_, err = tenancy.All[suiteRow](inside, s.db, listSQL)
		s.is(err, tenancy.ErrTxDone)
		batch := &pgx.Batch{}
		batch.Queue(putSQL, "late", 1)
		s.is(unit.SendBatch(inside, batch).Close(), tenancy.ErrTxDone)
		s.is(tenancy.Emit(inside, "late", "", nil), tenancy.ErrTxDone)
		hooks := tenancy.Hooks{}
		s.equal(hooks.BeforeCommit(inside, func(context.Context) error { ran = true; return nil }), false)
		s.equal(hooks.OnCommit(inside, func(context.Context) { ran = true }), false)
		s.equal(hooks.OnRollback(inside, func(context.Context) { ran = true }), false)
		unit.Emit(happened{3})
		unit.Audit(tenancy.Audit{Action: "late"})
		unit.Defer(putSQL, "late", 1)
		unit.Lock("late")
	}
	h.held = func() {
		done := make(chan struct{})
		go func() { defer close(done); try() }()
		<-done
	}
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		unit, inside = tx, ctx
		s.put(ctx, tx, "a", 1)
		tx.Emit(happened{1})
		tx.Audit(tenancy.Audit{Action: "kept"})
		return nil
	}))
	h.held = nil
	s.equal(late, 2)
	s.equal(ran, false)
	s.equal(s.rows(s.ctx), []string{"a=1"})
	s.equal(s.events(), []string{`acme happened k1 {"N":1}`})
	s.equal(auditText(s.auditLog(s.ctx, "acme", "", "", 0, 10)), []string{"||| kept  {}"})
}

func endingOpen(s *suite) {
	opened, end := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	rolledBack := 0
	err := s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.put(ctx, tx, "a", 1)
		go func() {
			result <- s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				tx.Emit(happened{1})
				tenancy.Hooks{}.OnRollback(ctx, func(context.Context) { rolledBack++ })
				close(opened)
				<-end
				return nil
			})
		}()
		<-opened
		tenancy.Hooks{}.OnRollback(ctx, func(context.Context) { close(end); s.is(<-result, tenancy.ErrTxDone) })
		return nil
	})
	if err == nil {
		s.Fatal("committed with a savepoint open")
	}
	s.equal(rolledBack, 1)
	s.equal(s.rows(s.ctx), []string{})
	s.equal(s.events(), []string{})
}

func endedByText(s *suite) {
	for _, sql := range []string{"commit", " ROLLBACK;", "/* a */ end", "begin", "abort", "select 1; commit"} {
		for i, run := range []func(ctx context.Context, tx *tenancy.Tx) error{
			func(_ context.Context, tx *tenancy.Tx) error { tx.Defer(sql); return nil }, // told at the end of the unit
			func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Exec(ctx, sql); return err },
			func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Query(ctx, sql); return err },
			func(ctx context.Context, tx *tenancy.Tx) error {
				_, err := tenancy.All[int](ctx, s.db, sql)
				return err
			},
			func(ctx context.Context, tx *tenancy.Tx) error {
				batch := &pgx.Batch{}
				batch.Queue(putSQL, "b", 1)
				batch.Queue(sql)
				return tx.SendBatch(ctx, batch).Close()
			},
		} {
			undone := 0
			s.is(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				tenancy.Hooks{}.OnRollback(ctx, func(context.Context) { undone++ })
				s.put(ctx, tx, "a", 1)
				tx.Emit(happened{1})
				if err := run(ctx, tx); i > 0 {
					s.is(err, tenancy.ErrManaged)
				}
				return nil
			}), tenancy.ErrManaged)
			s.equal(undone, 1)
			s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				s.is(s.db.Do(ctx, run), tenancy.ErrManaged) // spoils the savepoint only
				return nil
			}))
		}
		_, err := s.db.Exec(s.ctx, sql)
		s.is(err, tenancy.ErrManaged)
		_, err = tenancy.One[int](s.ctx, s.db, sql)
		s.is(err, tenancy.ErrManaged)
	}
	s.equal(s.rows(s.ctx), []string{})
	s.equal(s.events(), []string{})
}
