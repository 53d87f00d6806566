package tenancytest

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
)

var poolCases = []suiteCase{
	{"pool statements", "a DB can stand where a pool did, with a tenant", poolStatements},
	{"pool without tenant", "no method of a DB is a way around the tenant", poolWithoutTenant},
	{"pool transaction", "a unit that is ended by hand isolates and ends like any other", poolTransaction},
	{"pool joins open unit", "inside a unit the methods of a DB belong to it", poolJoins},
}

func poolStatements(s *suite) {
	tag, err := s.db.Exec(s.ctx, putSQL, "a", 1)
	s.ok(err)
	s.equal(tag.RowsAffected(), int64(1))
	_, err = s.db.Exec(s.ctx, putSQL, "b", 2)
	s.ok(err)
	s.equal(s.pooled(s.ctx), []suiteRow{{"a", 1}, {"b", 2}})
	s.equal(s.pooled(tenancy.WithID(s.ctx, "globex")), []suiteRow{})
	var n int64
	s.ok(s.db.QueryRow(s.ctx, getSQL, "b").Scan(&n))
	s.equal(n, int64(2))
	s.is(s.db.QueryRow(tenancy.WithID(s.ctx, "globex"), getSQL, "b").Scan(&n), pgx.ErrNoRows)
	_, err = s.db.Exec(s.ctx, failSQL, "22012")
	s.code(err, "22012")
	_, err = s.db.Query(s.ctx, failSQL, "22012")
	s.code(err, "22012")
	rows, err := s.db.Query(s.ctx, listSQL)
	s.ok(err)
	s.equal(rows.Next(), true)
	rows.Close() // in the middle
	s.ok(rows.Err())
	s.equal(rows.Next(), false)
}

// pooled returns the rows that DB.Query streams.
func (s *suite) pooled(ctx context.Context) []suiteRow {
	s.Helper()
	rows, err := s.db.Query(ctx, listSQL)
	s.ok(err)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[suiteRow])
	s.ok(err)
	return list
}

func poolWithoutTenant(s *suite) {
	for _, try := range []func(ctx context.Context) error{
		func(ctx context.Context) error { _, err := s.db.Exec(ctx, putSQL, "a", 1); return err },
		func(ctx context.Context) error { _, err := s.db.Query(ctx, listSQL); return err },
		func(ctx context.Context) error { return s.db.QueryRow(ctx, listSQL).Scan(nil) },
		func(ctx context.Context) error { _, err := s.db.Begin(ctx); return err },
	} {
		s.is(try(context.Background()), tenancy.ErrNoTenant)
		s.is(s.db.Do(s.ctx, func(ctx context.Context, _ *tenancy.Tx) error {
			return try(tenancy.WithID(ctx, "globex"))
		}), tenancy.ErrTenantMismatch)
	}
}

func poolTransaction(s *suite) {
	put := func(key string, result error) error {
		return pgx.BeginFunc(s.ctx, s.db, func(tx pgx.Tx) error {
			if _, err := tx.Exec(s.ctx, putSQL, key, 1); err != nil {
				return err
			}
			return result
		})
	}
	s.ok(put("a", nil))
	s.is(put("b", errPlanned), errPlanned)
	tx, err := s.db.Begin(s.ctx)
	s.ok(err)
	_, err = tx.Exec(tenancy.WithID(s.ctx, "globex"), putSQL, "c", 1)
	s.is(err, tenancy.ErrTenantMismatch)
	s.is(pgx.BeginFunc(s.ctx, tx, func(inner pgx.Tx) error { // a savepoint
		_, err := inner.Exec(s.ctx, putSQL, "d", 1)
		s.ok(err)
		return errPlanned
	}), errPlanned)
	_, err = tx.Exec(s.ctx, putSQL, "e", 1)
	s.ok(err)
	s.ok(tx.Commit(s.ctx))
	s.is(tx.Rollback(s.ctx), pgx.ErrTxClosed)
	_, err = tx.Exec(s.ctx, putSQL, "f", 1)
	s.is(err, tenancy.ErrTxDone)

	tx, err = s.db.Begin(s.ctx)
	s.ok(err)
	_, err = tx.Exec(s.ctx, failSQL, "22012")
	s.code(err, "22012")
	s.code(tx.Commit(s.ctx), "22012") // cannot look committed
	s.equal(s.rows(s.ctx), []string{"a=1", "e=1"})
}

func poolJoins(s *suite) {
	s.is(s.db.Do(s.ctx, func(ctx context.Context, _ *tenancy.Tx) error {
		_, err := s.db.Exec(ctx, putSQL, "a", 1)
		s.ok(err)
		s.equal(s.pooled(ctx), []suiteRow{{"a", 1}})
		inner, err := s.db.Begin(ctx)
		s.ok(err)
		_, err = inner.Exec(ctx, putSQL, "b", 1)
		s.ok(err)
		s.ok(inner.Rollback(ctx))
		s.equal(s.pooled(ctx), []suiteRow{{"a", 1}})
		return errPlanned
	}), errPlanned)
	s.equal(s.rows(s.ctx), []string{})
}
