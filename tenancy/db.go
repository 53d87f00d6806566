package tenancy

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DB runs units of work. It is made by New, holds no connection of its own, and is safe for concurrent use. The zero value
// is of no use: its methods panic.
type DB struct {
	core  *core
	opts  TxOptions
	at    *Placement // of a handle made by At; nil means wherever Options.Place says
	fixed bool       // at counts also against Options.Place
}

// core is what all handles of one DB share.
type core struct {
	driver Driver
	opts   *Options
	notes  notes

	mu        sync.Mutex
	listeners map[chan<- struct{}]struct{}
}

// New returns a DB on the pool, whose role is a member of tenancy_app and subject to row-level security: not a superuser,
// without BYPASSRLS, not the owner of the tables. The caller keeps owning the pool and closes it. New does no I/O.
func New(pool *pgxpool.Pool, opts *Options) (*DB, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Driver == nil {
		if pool == nil {
			return nil, errors.New("tenancy: New needs a pool or Options.Driver")
		}
		for _, p := range append([]*pgxpool.Pool{pool, o.System}, o.Replicas...) {
			if p == nil {
				continue
			}
			if err := o.Seal.check(p.Config().ConnConfig); err != nil {
				return nil, err
			}
		}
		o.Driver = newDriver(pool, &o)
	}
	return &DB{core: &core{driver: o.Driver, opts: &o, listeners: map[chan<- struct{}]struct{}{}}}, nil
}

// With returns a handle on the same DB whose units run with opts; nil means the defaults. It costs nothing:
//
//	err := db.With(&tenancy.TxOptions{Isolation: pgx.Serializable}).Do(ctx, fn)
func (db *DB) With(opts *TxOptions) *DB {
	if opts == nil {
		opts = &TxOptions{}
	}
	h := *db
	h.opts = *opts
	return &h
}

// Do runs fn, which is not nil, in a unit of work: a transaction of the tenant of ctx. It commits when fn returns nil, and
// rolls back when fn returns an error, panics or exits its goroutine. Nothing is sent before fn's first statement, so a unit
// without statements costs nothing.
//
// Inside another unit of the same DB, found through ctx, Do is a savepoint: an error undoes only what the inner fn did.
//
// fn runs again, with a new Tx, after a serialization failure, a deadlock or a connection lost before COMMIT;
// so it must not change anything outside of the unit, except in hooks (see Hooks).
//
// Errors: what fn returned; ErrNoTenant and ErrTenantMismatch before any I/O; ErrCommitUnknown; errors of PostgreSQL.
// If a statement failed and fn returned nil all the same, Do rolls back and returns that statement's error.
func (db *DB) Do(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	who, err := identityOf(ctx)
	if err != nil {
		return err
	}
	if tx := db.core.open(ctx); tx != nil {
		if db.elsewhere(tx) {
			return ErrTenantMismatch
		}
		return tx.nest(ctx, who, db.opts, fn)
	}
	if db.opts.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, db.opts.Timeout)
		defer cancel()
	}
	return db.run(ctx, who, func(t Target) (bool, error) { return db.attempt(ctx, who, t, fn) })
}

// Read is Do in a transaction in which the server refuses writes.
func (db *DB) Read(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	opts := db.opts
	opts.ReadOnly = true
	return db.With(&opts).Do(ctx, fn)
}

// InTx is Do for code that does not know this package: statements go through TxFrom or Pgx, events through Emit.
func (db *DB) InTx(ctx context.Context, fn func(ctx context.Context) error) error {
	return db.Do(ctx, func(ctx context.Context, _ *Tx) error { return fn(ctx) })
}

// Driver returns what db sends its batches to, so that a test can stand in between: a DB with a Driver of the test's own
// that passes on to this one works on the same pools.
func (db *DB) Driver() Driver { return db.core.driver }

// NotifyEvents makes db send to ch, without blocking, after each unit of this process that emitted events has committed.
// It is a hint for relays, not a delivery. Stop ends it; ch is never closed.
func (db *DB) NotifyEvents(ch chan<- struct{}) (stop func()) {
	c := db.core
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners[ch] = struct{}{}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.listeners, ch)
	}
}

func (c *core) nudge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ch := range c.listeners {
		select {
		case ch <- struct{}{}:
		default: // its reader has a hint waiting already
		}
	}
}

// open returns the unit of this DB that ctx is in. It may be over; using it then fails with ErrTxDone, which is better
// than beginning a second transaction that its caller did not ask for.
func (c *core) open(ctx context.Context) *Tx {
	tx, _ := ctx.Value(unitKey{c}).(*Tx)
	return tx
}

// retry runs attempt until it does not ask to be run again.
func (c *core) retry(ctx context.Context, attempt func() (again bool, err error)) error {
	for n := 0; ; n++ {
		again, err := attempt()
		if !again || n >= c.opts.retries() {
			return err
		}
		c.opts.count(ctx, "tenancy.retries")
		// Full jitter: two units that deadlocked must not meet again.
		if !pause(ctx, rand.N(min(5*time.Millisecond<<n, 500*time.Millisecond))+time.Millisecond) {
			return err
		}
	}
}

// pause waits, and tells whether ctx is still there.
func pause(ctx context.Context, d time.Duration) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wait.C:
		return true
	}
}

func (o TxOptions) begin(t Target, fence int64) *Begin {
	b := &Begin{
		Tenant: t.Tenant, Isolation: o.Isolation, ReadOnly: o.readOnly(), Deferrable: o.Deferrable,
		Timeout: max(o.Timeout, 0), LockWait: max(o.LockTimeout, 0), Fence: fence, Eager: o.Eager,
	}
	if t.Replica {
		b.After = o.After
	}
	return b
}

func (o TxOptions) readOnly() bool { return o.ReadOnly || o.Replica }

// plain tells whether the server's implicit transaction around a single batch does what o asks for.
func (b *Begin) plain() bool {
	return b.Isolation == "" && !b.ReadOnly && !b.Deferrable && !b.Eager
}

var _ pgx.Tx = (*Tx)(nil)
