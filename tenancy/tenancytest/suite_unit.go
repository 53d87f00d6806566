package tenancytest

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
)

var unitCases = []suiteCase{
	{"commit and rollback", "nil commits, an error or a panic undoes everything", commitAndRollback},
	{"tenants", "a unit sees and changes rows of its tenant only", tenants},
	{"no tenant", "without a tenant nothing reaches the database", noTenant},
	{"tenant mismatch", "an open unit never serves another tenant", tenantMismatch},
	{"system", "the system role sees all tenants, and only with a reason", system},
	{"one and all", "reading has typed results and errors", oneAndAll},
	{"joins open unit", "reading through the DB inside a unit sees the unit's writes", joinsOpenUnit},
	{"nested", "an inner failure undoes only the inner work", nested},
	{"nested statement failure", "a failed statement spoils its savepoint, not the unit", nestedStatementFailure},
	{"swallowed failure", "a unit in which a statement failed cannot look committed", swallowedFailure},
	{"deferred", "deferred statements keep the program's order", deferred},
	{"deferred failure", "a deferred failure reaches the caller", deferredFailure},
	{"retry", "serialization failures and deadlocks are run again, other errors are not", retry},
	{"read only", "Read cannot write", readOnly},
	{"busy and done", "misuse gets an error, not a garbled connection", busyAndDone},
	{"pgx transaction", "Tx can be given to code that knows pgx only", pgxTransaction},
}

func commitAndRollback(s *suite) {
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error { s.put(ctx, tx, "a", 1); return nil }))
	err := s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error { s.put(ctx, tx, "b", 1); return errPlanned })
	s.is(err, errPlanned)
	func() {
		defer func() { s.equal(recover(), "planned panic") }()
		s.ok(s.db.InTx(s.ctx, func(ctx context.Context) error {
			tx, _ := tenancy.TxFrom(ctx)
			s.put(ctx, tx, "c", 1)
			panic("planned panic")
		}))
	}()
	ctx, cancel := context.WithCancel(s.ctx)
	err = s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { s.put(ctx, tx, "d", 1); cancel(); return nil })
	s.is(err, context.Canceled)
	s.equal(s.rows(s.ctx), []string{"a=1"})
}

func tenants(s *suite) {
	globex := tenancy.WithID(s.ctx, "globex")
	for _, ctx := range []context.Context{s.ctx, globex} {
		s.ok(s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			s.put(ctx, tx, "same", len(tx.ID()))
			return nil
		}))
	}
	s.equal(s.rows(s.ctx), []string{"same=4"})
	s.equal(s.rows(globex), []string{"same=6"})
	s.equal(s.rows(tenancy.WithID(s.ctx, "initech")), []string{})
}

func noTenant(s *suite) {
	for _, ctx := range []context.Context{context.Background(), tenancy.WithID(s.ctx, ""), tenancy.WithID(s.ctx, "a\x00b"), tenancy.WithID(s.ctx, "\xff")} {
		err := s.db.Do(ctx, func(context.Context, *tenancy.Tx) error { s.Fatal("fn was called"); return nil })
		s.is(err, tenancy.ErrNoTenant)
		_, err = tenancy.All[suiteRow](ctx, s.db, listSQL)
		s.is(err, tenancy.ErrNoTenant)
	}
	s.is(tenancy.Emit(s.ctx, "t", "", nil), tenancy.ErrNoUnit)
}

func tenantMismatch(s *suite) {
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		for _, other := range []context.Context{tenancy.WithID(ctx, "globex"), tenancy.System(ctx, "escape")} {
			_, err := tx.Exec(other, putSQL, "a", 1)
			s.is(err, tenancy.ErrTenantMismatch)
			_, err = tenancy.All[suiteRow](other, s.db, listSQL)
			s.is(err, tenancy.ErrTenantMismatch)
			s.is(s.db.Do(other, func(context.Context, *tenancy.Tx) error { return nil }), tenancy.ErrTenantMismatch)
			_, err = tx.Begin(other)
			s.is(err, tenancy.ErrTenantMismatch)
			s.is(tenancy.Emit(other, "t", "", nil), tenancy.ErrTenantMismatch)
		}
		_, err := tx.Exec(context.Background(), putSQL, "a", 1) // a context that names nobody is no mismatch
		return err
	}))
	s.equal(s.rows(s.ctx), []string{"a=1"})
}

func system(s *suite) {
	for _, id := range []string{"acme", "globex"} {
		s.ok(s.db.Do(tenancy.WithID(s.ctx, id), func(ctx context.Context, tx *tenancy.Tx) error { s.put(ctx, tx, id, 1); return nil }))
	}
	all := tenancy.System(context.Background(), "suite")
	s.equal(s.rows(all), []string{"acme=1", "globex=1"})
	if err := s.db.Do(tenancy.System(s.ctx, ""), func(context.Context, *tenancy.Tx) error { return nil }); err == nil {
		s.Fatal("System without a reason was accepted")
	}
	s.equal(s.rows(tenancy.WithID(all, "acme")), []string{"acme=1"}) // WithID leaves the system role
}

func oneAndAll(s *suite) {
	_, err := tenancy.One[int64](s.ctx, s.db, getSQL, "a")
	s.is(err, tenancy.ErrNotFound)
	s.is(err, pgx.ErrNoRows)
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.put(ctx, tx, "a", 1)
		s.put(ctx, tx, "b", 2)
		n, err := tenancy.One[int64](ctx, tx, getSQL, "b")
		s.equal(n, int64(2))
		return err
	}))
	n, err := tenancy.One[int64](s.ctx, s.db, getSQL, "a")
	s.ok(err)
	s.equal(n, int64(1))
	_, err = tenancy.One[suiteRow](s.ctx, s.db, listSQL)
	s.is(err, pgx.ErrTooManyRows)
	_, err = tenancy.One[int64](s.ctx, s.db, failSQL, "22012")
	s.code(err, "22012")
}

func joinsOpenUnit(s *suite) {
	err := s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.put(ctx, tx, "a", 1)
		s.equal(s.rows(ctx), []string{"a=1"})
		return errPlanned
	})
	s.is(err, errPlanned)
	s.equal(s.rows(s.ctx), []string{})
}

func nested(s *suite) {
	inner := func(ctx context.Context, key string, result error) error {
		return s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { s.put(ctx, tx, key, 1); return result })
	}
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.is(inner(ctx, "first", errPlanned), errPlanned)
		s.put(ctx, tx, "outer", 1)
		s.is(inner(ctx, "failed", errPlanned), errPlanned)
		s.ok(inner(ctx, "kept", nil))
		s.is(s.db.Do(ctx, func(ctx context.Context, _ *tenancy.Tx) error {
			s.ok(inner(ctx, "kept in failed", nil))
			return errPlanned
		}), errPlanned)
		func() {
			defer func() { s.equal(recover(), "planned panic") }()
			_ = s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { s.put(ctx, tx, "panicked", 1); panic("planned panic") })
		}()
		s.put(ctx, tx, "last", 1)
		return nil
	}))
	s.equal(s.rows(s.ctx), []string{"outer=1", "kept=1", "last=1"})
}

func nestedStatementFailure(s *suite) {
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.put(ctx, tx, "before", 1)
		err := s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			s.put(ctx, tx, "inner", 1)
			_, err := tx.Exec(ctx, failSQL, "22012")
			s.code(err, "22012")
			_, again := tx.Exec(ctx, putSQL, "after failure", 1)
			s.is(again, err) // the unit remembers why
			return err
		})
		s.code(err, "22012")
		s.put(ctx, tx, "after", 1)
		return nil
	}))
	s.equal(s.rows(s.ctx), []string{"before=1", "after=1"})
}

func swallowedFailure(s *suite) {
	err := s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.put(ctx, tx, "a", 1)
		_, _ = tx.Exec(ctx, failSQL, "22012")
		return nil
	})
	s.code(err, "22012")
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.put(ctx, tx, "outer", 1)
		err := s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			_, _ = tx.Exec(ctx, failSQL, "22012")
			return nil
		})
		s.code(err, "22012")
		return nil
	}))
	s.equal(s.rows(s.ctx), []string{"outer=1"})
}

func deferred(s *suite) {
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Defer(putSQL, "a", 1)
		tx.Defer(putSQL, "a", 2)
		n, err := tenancy.One[int64](ctx, tx, getSQL, "a")
		s.ok(err)
		s.equal(n, int64(2))
		s.is(s.db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { tx.Defer(putSQL, "dropped", 1); return errPlanned }), errPlanned)
		s.ok(s.db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { tx.Defer(putSQL, "b", 1); return nil }))
		tx.Defer(putSQL, "a", 3)
		return nil
	}))
	s.equal(s.rows(s.ctx), []string{"a=3", "b=1"})
}

func deferredFailure(s *suite) {
	err := s.db.Do(s.ctx, func(_ context.Context, tx *tenancy.Tx) error {
		tx.Defer(putSQL, "a", 1)
		tx.Defer(failSQL, "22012")
		return nil
	})
	s.code(err, "22012")
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.put(ctx, tx, "outer", 1)
		err := s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			tx.Defer(failSQL, "22012")
			_, err := tx.Exec(ctx, putSQL, "inner", 1)
			return err
		})
		s.code(err, "22012")
		return nil
	}))
	s.equal(s.rows(s.ctx), []string{"outer=1"})
}

func retry(s *suite) {
	for _, c := range []struct {
		code string
		runs int
	}{{"40001", 3}, {"40P01", 3}, {"22012", 1}} {
		runs, rollbacks := 0, 0
		err := s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			runs++
			tenancy.Hooks{}.OnRollback(ctx, func(context.Context) { rollbacks++ })
			tx.Emit(happened{runs})
			s.put(ctx, tx, c.code, runs)
			if runs < 3 {
				_, err := tx.Exec(ctx, failSQL, c.code)
				return errors.Join(errPlanned, err)
			}
			return nil
		})
		s.equal(runs, c.runs)
		if c.runs == 1 {
			s.is(err, errPlanned)
			s.equal(rollbacks, 1)
			continue
		}
		s.ok(err)
		s.equal(rollbacks, 2)
	}
	s.equal(s.rows(s.ctx), []string{"40001=3", "40P01=3"})
	s.equal(s.events(), []string{`acme happened k1 {"N":3}`, `acme happened k1 {"N":3}`})
}

func readOnly(s *suite) {
	runs := 0
	err := s.db.Read(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		runs++
		_, err := tenancy.All[suiteRow](ctx, tx, listSQL)
		s.ok(err)
		_, err = tx.Exec(ctx, putSQL, "a", 1)
		return err
	})
	s.code(err, "25006")
	s.equal(runs, 1) // asked for, so not a demoted primary: no retry
	s.equal(s.rows(s.ctx), []string{})
}

func busyAndDone(s *suite) {
	var kept *tenancy.Tx
	var inside context.Context
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		kept, inside = tx, ctx
		s.put(ctx, tx, "a", 1)
		rows, err := tx.Query(ctx, listSQL)
		s.ok(err)
		_, err = tx.Exec(ctx, putSQL, "b", 1)
		s.is(err, tenancy.ErrTxBusy)
		rows.Close()
		s.put(ctx, tx, "c", 1)
		return nil
	}))
	_, err := kept.Exec(s.ctx, putSQL, "d", 1)
	s.is(err, tenancy.ErrTxDone)
	s.is(s.db.Do(inside, func(context.Context, *tenancy.Tx) error { return nil }), tenancy.ErrTxDone)
	s.is(tenancy.Emit(inside, "t", "", nil), tenancy.ErrTxDone)
	s.equal(tenancy.Hooks{}.OnCommit(inside, func(context.Context) {}), false)

	err = s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Query(ctx, listSQL) // left open
		return err
	})
	s.is(err, tenancy.ErrTxBusy)
	s.equal(s.rows(s.ctx), []string{"a=1", "c=1"})
}

func pgxTransaction(s *suite) {
	s.ok(s.db.InTx(s.ctx, func(ctx context.Context) error {
		tx, ok := tenancy.Pgx(ctx)
		s.equal(ok, true)
		if tx.Commit(ctx) == nil || tx.Rollback(ctx) == nil {
			s.Fatal("Commit or Rollback of the unit was accepted")
		}
		s.ok(pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, putSQL, "a", 1); return err }))
		s.is(pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, putSQL, "b", 1); err != nil {
				return err
			}
			return errPlanned
		}), errPlanned)
		batch := &pgx.Batch{}
		batch.Queue(putSQL, "c", 1)
		var n int64
		batch.Queue(getSQL, "c").QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
		s.ok(tx.SendBatch(ctx, batch).Close())
		s.equal(n, int64(1))
		s.ok(tx.QueryRow(ctx, getSQL, "a").Scan(&n))
		s.is(tx.QueryRow(ctx, getSQL, "b").Scan(&n), pgx.ErrNoRows)
		return nil
	}))
	s.equal(s.rows(s.ctx), []string{"a=1", "c=1"})
	_, ok := tenancy.Pgx(s.ctx)
	s.equal(ok, false)
}
