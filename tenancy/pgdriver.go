package tenancy

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// rollbackTimeout bounds the ROLLBACK of a unit whose context is over. A connection that does not answer is thrown away.
const rollbackTimeout = 2 * time.Second

const (
	requireSQL = `select tenancy.require_lsn($1::text::pg_lsn)`
	lsnSQL     = `select pg_current_wal_insert_lsn()::text`
)

// pgDriver is PostgreSQL.
type pgDriver struct {
	app, system *pgxpool.Pool
	seal        *Seal
	replicas    []*replica
	pools       *pools // of other databases
	shared      []string
	asks        bool // for the access of tenants: they are placed, so one may have moved
}

func newDriver(pool *pgxpool.Pool, o *Options) *pgDriver {
	return &pgDriver{
		app: pool, system: o.System, seal: o.Seal, replicas: replicasOf(o.Replicas), pools: newPools(o), shared: o.SharedSchemas,
		asks: o.Place != nil,
	}
}

// Acquire implements Driver.
func (d *pgDriver) Acquire(ctx context.Context, t Target) (Session, error) {
	s, err := d.acquire(ctx, t)
	if err != nil {
		return nil, err
	}
	s.asks = d.asks
	if t.Place.Schema != "" {
		return s.in(t.Place.Schema, d.shared), nil
	}
	return s, nil
}

func (d *pgDriver) acquire(ctx context.Context, t Target) (*pgSession, error) {
	switch {
	case t.Replica:
		return acquireReplica(ctx, d.replicas, d.seal)
	case t.Place.Database != "":
		return d.pools.acquire(ctx, poolKey{t.Place.Database, t.System})
	}
	pool := d.app
	if t.System {
		if pool = d.system; pool == nil {
			return nil, errors.New("a unit under System needs Options.System")
		}
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &pgSession{pool: pool, conn: conn, seal: d.seal}, nil
}

// pgSession is one pooled connection.
type pgSession struct {
	pool     *pgxpool.Pool
	conn     *pgxpool.Conn
	seal     *Seal
	tx       pgx.Tx // set when Begin.Eager, for large objects
	distrust bool   // the server is not what it was
	changed  bool   // something may outlive the transaction
	asks     bool   // for the tenant's access
	held     bool   // to reading, by it
	released func() // called when the connection is back in its pool; may be nil

	schema, path string // of the tenant; empty means what the session has
}

// Send implements Session.
func (s *pgSession) Send(ctx context.Context, b *Batch) (pgx.BatchResults, error) {
	batch := &pgx.Batch{QueuedQueries: make([]*pgx.QueuedQuery, 0, len(b.Steps)+len(b.Queries)+4)}
	if b.Begin != nil && b.Begin.Eager && b.Begin.After != 0 { // alone, because Batch.BeginTx has to come first
		if _, err := s.conn.Exec(ctx, requireSQL, b.Begin.After.String()); err != nil {
			return nil, &StepError{Index: -1, Err: err}
		}
	}
	// One batch alone is a transaction anyway; BEGIN and COMMIT would only make it longer. But in that one, unlike in one
	// that has been begun, a procedure may commit.
	implicit := b.Begin != nil && b.Commit && b.Begin.plain() && len(b.Steps) == 0 && len(b.Events) == 0 && b.CommitLSN == nil &&
		!slices.ContainsFunc(b.Queries, func(q *pgx.QueuedQuery) bool { return block(q.SQL) })
	heads, asking := s.queueBegin(batch, b.Begin, implicit)
	done, err := s.recover(ctx, b.Steps)
	if err != nil {
		return nil, &StepError{Index: 0, Err: err}
	}
	for _, step := range b.Steps[done:] {
		s.watch(step.SQL)
		queueStep(batch, step)
	}
	for _, q := range b.Queries {
		s.watch(q.SQL)
		batch.Queue(q.SQL, q.Arguments...) // without Fn, which pgResults calls
	}
	tail := 0
	if len(b.Events) > 0 {
		queueEvents(batch, b.Events)
		tail++
	}
	if b.Commit && !implicit {
		batch.Queue("commit")
		tail++
	}
	if b.CommitLSN != nil {
		batch.Queue(lsnSQL)
	}
	if batch.Len() == 0 {
		return noResults{}, nil
	}
	br := s.conn.SendBatch(ctx, batch)
	if tx := br.Tx(); tx != nil {
		s.tx = tx
	}
	for i := range heads + len(b.Steps) - done {
		var err error
		if i == asking {
			var access Access
			access, err = admitted(br)
			s.held = access == ReadOnly
		} else {
			_, err = br.Exec()
		}
		if err != nil {
			_ = br.Close() // the same error
			return nil, &StepError{Index: max(i-heads+done, -1), Err: err}
		}
	}
	return &pgResults{pgBatch: pgBatch{br}, unread: b.Queries, tail: tail, commit: b.Commit && !implicit, lsn: b.CommitLSN}, nil
}

// watch remembers statements that may change the session.
func (s *pgSession) watch(sql string) { s.changed = s.changed || lasting(sql) }

// recover sends a rollback to a savepoint by itself if the transaction is aborted: then the server would refuse even to
// prepare the statements behind it. It returns the number of steps done.
func (s *pgSession) recover(ctx context.Context, steps []Step) (int, error) {
	if len(steps) == 0 || steps[0].Op != OpRollbackTo || s.conn.Conn().PgConn().TxStatus() != 'E' {
		return 0, nil
	}
	_, err := s.conn.Exec(ctx, "rollback to savepoint "+steps[0].Name)
	return 1, err
}

func queueStep(batch *pgx.Batch, s Step) {
	switch s.Op {
	case OpExec:
		batch.Queue(s.SQL, s.Args...)
	case OpExpect:
		batch.Queue(s.SQL, expectation{s.Rows, s.Name, s.Args})
	case OpSavepoint:
		batch.Queue("savepoint " + s.Name)
	case OpRollbackTo:
		batch.Queue("rollback to savepoint " + s.Name)
	case OpRelease:
		batch.Queue("release savepoint " + s.Name)
	}
}

func queueEvents(batch *pgx.Batch, events []Message) {
	n := len(events)
	ids, types, keys, bodies := make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	for i, e := range events {
		ids[i], types[i], keys[i], bodies[i] = e.ID, e.Type, e.Key, e.Body
	}
	batch.Queue(sqltext.InsertEvents, ids, types, keys, bodies)
}

// Lost implements Session.
func (s *pgSession) Lost() bool { return s.conn.Conn().IsClosed() }

// Conn implements Session.
func (s *pgSession) Conn() *pgx.Conn { return s.conn.Conn() }

// LargeObjects serves Tx.LargeObjects.
func (s *pgSession) LargeObjects() pgx.LargeObjects { return s.tx.LargeObjects() }

// Held tells whether the database makes the unit read-only.
func (s *pgSession) Held() bool { return s.held }

// Distrust makes Release close all connections of the pool, this one and the idle ones at once.
func (s *pgSession) Distrust() { s.distrust = true }

// Release implements Session. ctx is not cancelled together with the unit: pgx would close the connection then.
func (s *pgSession) Release(ctx context.Context) {
	if c := s.conn.Conn(); !c.IsClosed() && c.PgConn().TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(ctx, rollbackTimeout)
		_, _ = c.Exec(ctx, "rollback") // a connection that cannot is destroyed by its pool
		cancel()
	}
	if s.changed {
		ctx, cancel := context.WithTimeout(ctx, rollbackTimeout)
		_ = s.conn.Conn().Close(ctx) // the pool replaces it
		cancel()
	}
	s.conn.Release()
	if s.distrust {
		s.pool.Reset()
	}
	if s.released != nil {
		s.released()
	}
}

var errNoResult = errors.New("tenancy: no more results in batch")
