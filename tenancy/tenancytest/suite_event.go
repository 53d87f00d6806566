package tenancytest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

var eventCases = []suiteCase{
	{"events", "an event exists if and only if its savepoint and its unit committed", events},
	{"bad events", "an event that cannot be stored rolls the unit back", badEvents},
	{"hooks", "hooks follow the fate of the savepoint in which they were registered", hooks},
	{"before commit", "a BeforeCommit hook works inside the unit and can refuse", beforeCommit},
	{"hooks outside", "without an open unit there is nothing to bind to", hooksOutside},
	{"once", "an event is handled once per consumer and tenant, unless the unit rolls back", once},
	{"relay", "each event is delivered once and in order, by any number of relays", relay},
}

func events(s *suite) {
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Emit(happened{1}, happened{2})
		s.is(s.db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { tx.Emit(happened{3}); return errPlanned }), errPlanned)
		s.ok(s.db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { tx.Emit(happened{4}); return nil }))
		return tenancy.Emit(ctx, "raw", "k", []byte("any bytes"))
	}))
	s.is(s.db.Do(s.ctx, func(_ context.Context, tx *tenancy.Tx) error { tx.Emit(happened{5}); return errPlanned }), errPlanned)
	s.ok(s.db.Do(tenancy.System(context.Background(), "suite"), func(_ context.Context, tx *tenancy.Tx) error { tx.Emit(happened{6}); return nil }))
	s.equal(s.events(), []string{
		`acme happened k1 {"N":1}`, `acme happened k0 {"N":2}`, `acme happened k0 {"N":4}`, `acme raw k any bytes`,
		` happened k0 {"N":6}`,
	})
}

type unencodable struct{ C chan int }

func (unencodable) EventType() string { return "unencodable" }

func badEvents(s *suite) {
	for name, emit := range map[string]func(ctx context.Context, tx *tenancy.Tx){
		"unencodable": func(_ context.Context, tx *tenancy.Tx) { tx.Emit(unencodable{}) },
		"no type":     func(ctx context.Context, _ *tenancy.Tx) { _ = tenancy.Emit(ctx, "", "", nil) },
		"nul in key":  func(ctx context.Context, _ *tenancy.Tx) { _ = tenancy.Emit(ctx, "t", "a\x00", nil) },
		"too large":   func(ctx context.Context, _ *tenancy.Tx) { _ = tenancy.Emit(ctx, "t", "", make([]byte, 1<<20+1)) },
	} {
		err := s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			s.put(ctx, tx, name, 1)
			emit(ctx, tx)
			return nil
		})
		if err == nil {
			s.Errorf("%s: the unit committed", name)
		}
	}
	s.equal(s.rows(s.ctx), []string{})
	s.equal(s.events(), []string{})
}

func hooks(s *suite) {
	var log []string
	bind := func(ctx context.Context, name string) {
		tenancy.Hooks{}.OnCommit(ctx, func(ctx context.Context) {
			_, open := tenancy.TxFrom(ctx)
			id, _ := tenancy.IDFrom(ctx)
			log = append(log, fmt.Sprint("commit ", name, " ", id, " ", open, " ", ctx.Err()))
		})
		tenancy.Hooks{}.OnRollback(ctx, func(context.Context) { log = append(log, "rollback "+name) })
	}
	inner := func(ctx context.Context, name string, result error) {
		err := s.db.Do(ctx, func(ctx context.Context, _ *tenancy.Tx) error { bind(ctx, name); return result })
		s.is(err, result)
	}
	unit := func(result error) error {
		ctx, cancel := context.WithCancel(s.ctx)
		defer cancel()
		return s.db.Do(ctx, func(ctx context.Context, _ *tenancy.Tx) error {
			bind(ctx, "outer")
			inner(ctx, "kept", nil)
			inner(ctx, "dropped", errPlanned)
			tenancy.Hooks{}.OnCommit(ctx, func(context.Context) { panic("a hook's panic stays its own") })
			bind(ctx, "last")
			return result
		})
	}
	s.ok(unit(nil))
	s.equal(log, []string{"rollback dropped", "commit outer acme false <nil>", "commit kept acme false <nil>", "commit last acme false <nil>"})
	log = nil
	s.is(unit(errPlanned), errPlanned)
	s.equal(log, []string{"rollback dropped", "rollback outer", "rollback kept", "rollback last"})
}

func beforeCommit(s *suite) {
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tenancy.Hooks{}.BeforeCommit(ctx, func(ctx context.Context) error {
			s.put(ctx, tx, "first", 1)
			tenancy.Hooks{}.BeforeCommit(ctx, func(ctx context.Context) error { s.put(ctx, tx, "second", 1); return nil })
			return nil
		})
		s.is(s.db.Do(ctx, func(ctx context.Context, _ *tenancy.Tx) error {
			tenancy.Hooks{}.BeforeCommit(ctx, func(context.Context) error { s.Error("hook of a rolled back savepoint ran"); return nil })
			return errPlanned
		}), errPlanned)
		return nil
	}))
	err := s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.put(ctx, tx, "refused", 1)
		tenancy.Hooks{}.BeforeCommit(ctx, func(context.Context) error { return errPlanned })
		return nil
	})
	s.is(err, errPlanned)
	s.equal(s.rows(s.ctx), []string{"first=1", "second=1"})
}

func hooksOutside(s *suite) {
	var h tenancy.Hooks
	s.equal(h.BeforeCommit(s.ctx, func(context.Context) error { return nil }), false)
	s.equal(h.OnCommit(s.ctx, func(context.Context) {}), false)
	s.equal(h.OnRollback(s.ctx, func(context.Context) {}), false)
}

func once(s *suite) {
	const id = "0198c0de-0000-7000-8000-000000000001"
	run := func(ctx context.Context, consumer string, result error) (first bool) {
		err := s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) (err error) {
			if first, err = outbox.Once(ctx, tx, consumer, id); err != nil {
				return err
			}
			return result
		})
		s.is(err, result)
		return first
	}
	s.equal(run(s.ctx, "mail", errPlanned), true)
	s.equal(run(s.ctx, "mail", nil), true)
	s.equal(run(s.ctx, "mail", nil), false)
	s.equal(run(s.ctx, "bill", nil), true)
	s.equal(run(tenancy.WithID(s.ctx, "globex"), "mail", nil), true)
	s.equal(run(tenancy.System(context.Background(), "suite"), "mail", nil), true)
}

func relay(s *suite) {
	const units = 40
	var sink Sink
	sink.FailNext(errPlanned)
	ctx, cancel := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	for range 2 {
		r, err := outbox.New(s.db, &sink, &outbox.Options{Batch: 7})
		s.ok(err)
		wg.Go(func() {
			if err := r.Run(ctx); err != nil {
				s.Errorf("Run: %v", err)
			}
		})
	}
	for n := range units {
		s.ok(s.db.Do(s.ctx, func(_ context.Context, tx *tenancy.Tx) error { tx.Emit(happened{n}); return nil }))
	}
	limit, done := context.WithTimeout(s.ctx, time.Minute)
	defer done()
	s.ok(sink.Wait(limit, units))
	cancel()
	wg.Wait()
	for n, e := range sink.Events() {
		s.equal([]string{e.Tenant, e.Type, e.Key, string(e.Payload)}, []string{"acme", "happened", fmt.Sprint("k", n%2), fmt.Sprintf(`{"N":%d}`, n)})
		if e.ID == "" || e.At.IsZero() {
			s.Fatalf("event without id or time: %+v", e)
		}
	}
	s.equal(len(sink.Events()), units)
}
