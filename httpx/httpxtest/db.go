package httpxtest

import (
	"context"
	"sync"

	"github.com/ashlar-go/ashlar/httpx"
)

// DB is an httpx.Transactor without a database: it runs the function and remembers how units of work ended. State that functions change is
// their own; [OnRollback] lets them undo it. The zero value is ready for use.
type DB struct {
	mu                 sync.Mutex
	commits, rollbacks int
	repeats            int
	commitErr          error
}

var _ httpx.Transactor = (*DB)(nil)

type unitKey struct{}

type unit struct{ undo []func() }

// InTx implements httpx.Transactor. A panic rolls back and goes on.
func (db *DB) InTx(ctx context.Context, fn func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for {
		if again, err := db.once(ctx, fn); !again {
			return err
		}
	}
}

func (db *DB) once(ctx context.Context, fn func(context.Context) error) (again bool, err error) {
	u, committed := &unit{}, false
	defer func() {
		if !committed {
			for i := len(u.undo) - 1; i >= 0; i-- {
				u.undo[i]()
			}
			db.count(&db.rollbacks)
		}
	}()
	if err := fn(context.WithValue(ctx, unitKey{}, u)); err != nil {
		return false, err
	}
	if again, err = db.commit(); !again && err == nil {
		committed = true
		db.count(&db.commits)
	}
	return again, err
}

func (db *DB) commit() (again bool, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if again = db.commitErr == nil && db.repeats > 0; again {
		db.repeats--
	}
	return again, db.commitErr
}

func (db *DB) count(n *int) {
	db.mu.Lock()
	defer db.mu.Unlock()
	*n++
}

// OnRollback registers undo for the open unit of work; false means that there is none.
func OnRollback(ctx context.Context, undo func()) bool {
	u, ok := ctx.Value(unitKey{}).(*unit)
	if ok {
		u.undo = append(u.undo, undo)
	}
	return ok
}

// FailCommits makes every commit fail with err until FailCommits(nil).
func (db *DB) FailCommits(err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.commitErr = err
}

// Repeat makes the next n commits roll back and run their function again, as a serialization failure does.
func (db *DB) Repeat(n int) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.repeats = n
}

// Commits returns how many units of work were committed.
func (db *DB) Commits() int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.commits
}

// Rollbacks returns how many were rolled back, repeated ones included.
func (db *DB) Rollbacks() int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.rollbacks
}
