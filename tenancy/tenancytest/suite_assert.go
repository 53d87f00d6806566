package tenancytest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
)

var assertCases = []suiteCase{
	{"expect", "a deferred write that does not change what it must fails the unit, at once or at commit", expect},
	{"expect in savepoint", "a stale write spoils its savepoint, not the unit", expectInSavepoint},
	{"expect behind a later savepoint", "what a released savepoint left queued is not undone as if it were a later one's", expectBehindLaterSavepoint},
	{"commit position", "a unit says where it is in the log, and reading after that place sees it", commitPosition},
	{"lock", "units of one tenant exclude each other by a lock, units of others do not", lock},
	{"lock timeout", "a unit that waits too long for a lock fails, once, and the next one has its turn", lockTimeout},
	{"lock in savepoint", "a lock ends with the savepoint in which it was taken", lockInSavepoint},
}

// swap queues the change of a value that somebody may have changed meanwhile.
func swap(tx *tenancy.Tx, key string, from, to int) {
	tx.DeferExpect(1, "row "+key, swapSQL, key, to, from)
}

func expect(s *suite) {
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error { s.put(ctx, tx, "a", 1); return nil }))
	runs := 0
	err := s.db.Do(s.ctx, func(_ context.Context, tx *tenancy.Tx) error { // at commit
		runs++
		tx.Emit(happened{1})
		swap(tx, "a", 1, 2)
		swap(tx, "a", 1, 3)
		return nil
	})
	s.is(err, tenancy.ErrStale)
	s.code(err, "TN409")
	s.equal(runs, 1) // running it again would not make it fresh
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		swap(tx, "a", 1, 2)
		tx.DeferExpect(0, "nothing", swapSQL, "a", 5, 1)
		n, err := tenancy.One[int64](ctx, tx, getSQL, "a")
		s.equal(n, int64(2))
		return err
	}))
	err = s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error { // with the next statement
		swap(tx, "a", 1, 9)
		_, err := tenancy.One[int64](ctx, tx, getSQL, "a")
		s.is(err, tenancy.ErrStale)
		_, err = tenancy.One[int64](ctx, tx, getSQL, "a")
		s.is(err, tenancy.ErrStale) // the unit remembers why
		return nil
	})
	s.is(err, tenancy.ErrStale)
	s.is(s.db.Do(tenancy.WithID(s.ctx, "globex"), func(_ context.Context, tx *tenancy.Tx) error { swap(tx, "a", 2, 3); return nil }), tenancy.ErrStale)
	s.equal(s.rows(s.ctx), []string{"a=2"})
	s.equal(s.events(), []string{})
}

func expectInSavepoint(s *suite) {
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.put(ctx, tx, "a", 1)
		err := s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			swap(tx, "a", 7, 8)
			_, err := tenancy.One[int64](ctx, tx, getSQL, "a")
			return err
		})
		s.is(err, tenancy.ErrStale)
		return s.db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error { swap(tx, "a", 1, 2); return nil })
	}))
	s.equal(s.rows(s.ctx), []string{"a=2"})
}

// expectBehindLaterSavepoint: the stale write of the first savepoint travels with the second one's statement. Whoever
// tolerates the error of the second must not get the first one's event without its row.
func expectBehindLaterSavepoint(s *suite) {
	for _, sent := range []bool{true, false} {
		hooks := 0
		err := s.db.Do(s.ctx, func(ctx context.Context, _ *tenancy.Tx) error {
			s.ok(s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				if sent {
					s.put(ctx, tx, "a", 1)
				}
				tx.Emit(happened{1})
				tenancy.Hooks{}.OnCommit(ctx, func(context.Context) { hooks++ })
				swap(tx, "nobody's", 1, 2)
				return nil
			}))
			s.is(s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				_, err := tx.Exec(ctx, putSQL, "b", 1)
				return err
			}), tenancy.ErrStale)
			return nil // tolerated
		})
		s.is(err, tenancy.ErrStale)
		s.equal(s.rows(s.ctx), []string{})
		s.equal(s.events(), []string{})
		s.equal(hooks, 0)
	}
}

func commitPosition(s *suite) {
	var first, second tenancy.LSN
	put := func(at *tenancy.LSN, key string, result error) error {
		return s.db.With(&tenancy.TxOptions{CommitLSN: at}).Do(s.ctx, func(_ context.Context, tx *tenancy.Tx) error {
			tx.Defer(putSQL, key, 1)
			return result
		})
	}
	s.is(put(&first, "a", errPlanned), errPlanned)
	s.equal(first, tenancy.LSN(0)) // nothing was committed
	s.ok(put(&first, "a", nil))
	s.ok(put(&second, "b", nil))
	s.equal(first > 0 && second > first, true)
	var inner, outer tenancy.LSN
	nest := func(ctx context.Context, tx *tenancy.Tx) error {
		return s.db.With(&tenancy.TxOptions{CommitLSN: &inner}).Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			tenancy.Hooks{}.OnCommit(ctx, func(context.Context) { s.equal(inner > 0, true) })
			tx.Defer(putSQL, "b", 2)
			return nil
		})
	}
	s.ok(s.db.Do(s.ctx, nest)) // an outer unit that does not ask
	s.equal(inner > second, true)
	s.ok(s.db.With(&tenancy.TxOptions{CommitLSN: &outer}).Do(s.ctx, nest))
	s.equal(inner, outer)
	reader := s.db.With(&tenancy.TxOptions{Replica: true, After: second}) // without a replica it is the primary that reads
	rows, err := tenancy.All[suiteRow](s.ctx, reader, listSQL)
	s.ok(err)
	s.equal(len(rows), 2)
	err = reader.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Exec(ctx, putSQL, "c", 1); return err })
	s.code(err, "25006")
}

func lock(s *suite) {
	const units = 4
	var wg sync.WaitGroup
	errs := make([]error, units)
	for i := range units {
		wg.Go(func() {
			errs[i] = s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				tx.Lock("number")
				list, err := tenancy.All[suiteRow](ctx, tx, listSQL)
				if err == nil {
					_, err = tx.Exec(ctx, putSQL, string(rune('a'+len(list))), 1)
				}
				return err
			})
		})
	}
	wg.Wait()
	s.ok(errors.Join(errs...))
	s.equal(s.rows(s.ctx), []string{"a=1", "b=1", "c=1", "d=1"})

	globex := tenancy.WithID(context.WithoutCancel(s.ctx), "globex")
	try := func(ctx context.Context, want bool) {
		s.Helper()
		ctx = context.WithoutCancel(ctx)
		s.ok(s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			got, err := tx.TryLock(ctx, "number")
			s.equal(got, want)
			return err
		}))
	}
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Lock("number")
		got, err := tx.TryLock(ctx, "number")
		s.equal(got, true) // it is its own
		s.ok(err)
		wg.Go(func() { try(tenancy.WithID(context.Background(), "acme"), false) })
		wg.Go(func() { try(globex, true) })
		wg.Wait()
		return nil
	}))
	try(tenancy.WithID(context.Background(), "acme"), true)
}

func lockTimeout(s *suite) {
	runs := 0
	take := func() error {
		hasty := s.db.With(&tenancy.TxOptions{LockTimeout: 20 * time.Millisecond})
		return hasty.Do(tenancy.WithID(context.Background(), "acme"), func(_ context.Context, tx *tenancy.Tx) error {
			runs++
			tx.Lock("number")
			tx.Defer(putSQL, "a", 1)
			return nil
		})
	}
	var wg sync.WaitGroup
	var late error
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Lock("number")
		s.put(ctx, tx, "b", 1)
		wg.Go(func() { late = take() })
		wg.Wait()
		return nil
	}))
	s.code(late, "55P03")
	s.equal(runs, 1)
	s.ok(take())
	s.equal(s.rows(s.ctx), []string{"b=1", "a=1"})
}

func lockInSavepoint(s *suite) {
	held := func(want bool) {
		s.Helper()
		var wg sync.WaitGroup
		wg.Go(func() {
			s.ok(s.db.Do(tenancy.WithID(context.Background(), "acme"), func(ctx context.Context, tx *tenancy.Tx) error {
				got, err := tx.TryLock(ctx, "number")
				s.equal(!got, want)
				return err
			}))
		})
		wg.Wait()
	}
	s.ok(s.db.Do(s.ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		s.put(ctx, tx, "a", 1)
		s.is(s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			tx.Lock("number")
			s.put(ctx, tx, "b", 1)
			held(true)
			return errPlanned
		}), errPlanned)
		s.put(ctx, tx, "c", 1)
		held(false)
		return nil
	}))
}
