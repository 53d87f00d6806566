package tenancy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Tx is an open unit of work. It is a pgx.Tx, so sqlc, pgx.CollectRows and hand-written SQL take it as it is.
//
// It is made by DB.Do and ends with it: when its function has returned and its BeforeCommit hooks have run, calls fail with
// ErrTxDone, those of other goroutines while COMMIT is under way included. Statements of one Tx run one at a time: a
// second one meanwhile, or while rows are open, fails with ErrTxBusy instead of garbling the connection.
// A context of another tenant fails with ErrTenantMismatch.
//
// The first statement carries BEGIN and the tenant with it. Each statement carries what was deferred before it.
type Tx struct {
	core   *core
	opts   TxOptions
	who    identity
	target Target
	by     Actor
	actor  string // by and the system reason; see actorText
	fence  int64
	busy   atomic.Bool // a statement is running or its rows are open
	use    sync.Mutex  // held while the connection is in use; locked before mu

	mu       sync.Mutex // guards the rest
	session  Session
	rows     interface{ abandon() } // results that are being read
	begun    bool                   // BEGIN has left
	answered bool                   // BEGIN has been answered, so the fence is held
	behind   bool                   // a statement has ended the transaction; see ended
	ending   bool                   // the last BeforeCommit hook has run; see over
	done     bool
	pending  []step
	scopes   []*scope
	at       LSN    // of the commit, as far as somebody asked for it
	askers   []*LSN // the CommitLSN of the unit and of those nested in it
	failed   *failure
}

// ID returns the tenant of the unit; it is empty for a system unit without one. Use it as an explicit predicate
// (tenant_id = $1) beside the policy, where the planner should know how many rows a tenant has.
func (tx *Tx) ID() string { return tx.who.tenant }

// Defer queues a statement whose result is not needed. It travels with the next statement or with COMMIT, so it costs no
// round trip; order is kept. Its error comes from whatever it travelled with, and spoils the unit like any other.
// The args are kept until then and must not be changed. Once the unit ends it does nothing. Without one of these
// restrictions use Exec.
func (tx *Tx) Defer(sql string, args ...any) {
	tx.queue(Step{Op: OpExec, SQL: sql, Args: args})
}

func (tx *Tx) queue(s Step) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.over() {
		return // with nobody to tell: the function that could be has returned
	}
	if err := managed(s.SQL); err != nil && tx.failed == nil {
		tx.failed = &failure{err: deferredError(s, err), depth: len(tx.scopes) - 1}
	}
	tx.pending = append(tx.pending, step{s, len(tx.scopes) - 1})
}

// Exec runs a statement.
func (tx *Tx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := tx.enter(ctx); err != nil {
		return pgconn.CommandTag{}, err
	}
	defer tx.leave()
	if direct(args) || len(args) == 0 && several(sql) {
		conn, err := tx.conn(ctx, sql)
		if err == nil {
			tag, err := conn.Exec(ctx, sql, args...)
			return tag, tx.note(err)
		}
		if direct(args) || !errors.Is(err, errNoConn) {
			return pgconn.CommandTag{}, err
		}
	}
	br, err := tx.send(ctx, []*pgx.QueuedQuery{{SQL: sql, Arguments: args}}, nil, false)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := br.Exec()
	if closed := br.Close(); err == nil {
		err = closed
	}
	return tag, tx.note(err)
}

// Query runs a statement and returns its rows, which must be closed or read to the end before the next statement.
func (tx *Tx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := tx.enter(ctx); err != nil {
		return failedRows{err}, err
	}
	if direct(args) {
		conn, err := tx.conn(ctx, sql)
		if err != nil {
			tx.leave()
			return failedRows{err}, err
		}
		rows, err := conn.Query(ctx, sql, args...)
		return tx.reading(&unitRows{Rows: rows, tx: tx}, err)
	}
	br, err := tx.send(ctx, []*pgx.QueuedQuery{{SQL: sql, Arguments: args}}, nil, false)
	if err != nil {
		tx.leave()
		return failedRows{err}, err
	}
	rows, err := br.Query()
	return tx.reading(&unitRows{Rows: rows, tx: tx, br: br}, err)
}

// QueryRow runs a statement of which one row is wanted. Its errors come from Scan.
func (tx *Tx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, _ := tx.Query(ctx, sql, args...)
	return unitRow{rows}
}

// SendBatch sends the batch in one round trip, together with what was deferred. Its results must be closed before the
// next statement. Their Tx method returns nil.
func (tx *Tx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := tx.enter(ctx); err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	br, err := tx.send(ctx, b.QueuedQueries, nil, false)
	if err != nil {
		tx.leave()
		return pgx.FailedBatchResults(b, err)
	}
	defer tx.use.Unlock()
	results := &unitBatch{results: br, tx: tx}
	tx.setRows(results)
	return results
}

// Begin opens a savepoint, as DB.Do inside a unit does. Its Commit releases it, its Rollback undoes what came after it.
func (tx *Tx) Begin(ctx context.Context) (pgx.Tx, error) {
	if conflicts(ctx, tx.who) {
		return nil, ErrTenantMismatch
	}
	s, err := tx.push()
	if err != nil {
		return nil, err
	}
	return &savepoint{Tx: tx, scope: s}, nil
}

// Commit refuses with ErrManaged: DB.Do commits.
func (tx *Tx) Commit(context.Context) error { return ErrManaged }

// Rollback refuses with ErrManaged: DB.Do rolls back when its function returns an error.
func (tx *Tx) Rollback(context.Context) error { return ErrManaged }

// CopyFrom copies rows into a table. PostgreSQL refuses COPY FROM on tables with row-level security, for the system role
// too; insert from unnest instead.
func (tx *Tx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, src pgx.CopyFromSource) (int64, error) {
	if err := tx.enter(ctx); err != nil {
		return 0, err
	}
	defer tx.leave()
	conn, err := tx.conn(ctx, "")
	if err != nil {
		return 0, err
	}
	n, err := conn.CopyFrom(ctx, table, columns, src)
	return n, tx.note(err)
}

// Prepare prepares a statement on the connection of the unit. pgx does so by itself for each statement.
func (tx *Tx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := tx.enter(ctx); err != nil {
		return nil, err
	}
	defer tx.leave()
	conn, err := tx.conn(ctx, sql)
	if err != nil {
		return nil, err
	}
	sd, err := conn.Prepare(ctx, name, sql)
	return sd, tx.note(err)
}

// Conn returns the connection of the unit. It panics unless TxOptions.Eager is set, because a lazy unit may have none.
func (tx *Tx) Conn() *pgx.Conn {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if !tx.opts.Eager || tx.session == nil || tx.session.Conn() == nil {
		panic("tenancy: Tx.Conn needs TxOptions{Eager: true} and PostgreSQL")
	}
	return tx.session.Conn()
}

// LargeObjects returns PostgreSQL's large objects. It panics unless TxOptions.Eager is set.
// Large objects have no tenant and no row-level security: what a unit of one tenant stores, those of all others can read, which
// guard's rule T23 finds.
func (tx *Tx) LargeObjects() pgx.LargeObjects {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	s, ok := tx.session.(interface{ LargeObjects() pgx.LargeObjects })
	if !tx.opts.Eager || !ok {
		panic("tenancy: Tx.LargeObjects needs TxOptions{Eager: true} and PostgreSQL")
	}
	return s.LargeObjects()
}

// savepoint is what Begin returns.
type savepoint struct {
	*Tx
	scope *scope
	ended atomic.Bool
}

// Commit releases the savepoint.
func (s *savepoint) Commit(ctx context.Context) error {
	if !s.ended.CompareAndSwap(false, true) {
		return pgx.ErrTxClosed
	}
	return s.release(ctx, s.scope)
}

// Rollback rolls back to the savepoint.
func (s *savepoint) Rollback(ctx context.Context) error {
	if !s.ended.CompareAndSwap(false, true) {
		return pgx.ErrTxClosed
	}
	s.rollbackTo(ctx, s.scope)
	return nil
}

// direct tells whether the args begin with a pgx option that cannot travel in a batch.
func direct(args []any) bool {
	if len(args) == 0 {
		return false
	}
	switch args[0].(type) {
	case pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
		return true
	}
	return false
}

// several tells whether sql may hold more than one statement, which only the simple protocol runs. A false positive
// (a semicolon in a literal) costs a round trip, nothing else.
func several(sql string) bool {
	i := strings.IndexByte(sql, ';')
	return i >= 0 && strings.TrimSpace(sql[i+1:]) != ""
}

var errNoConn = errors.New("tenancy: this driver has no connection for COPY, Prepare, query options and several statements in one text")

// conn sends what is queued and returns the bare connection for sql.
func (tx *Tx) conn(ctx context.Context, sql string) (*pgx.Conn, error) {
	if err := tx.refuse(sql); err != nil {
		return nil, err
	}
	if err := tx.sendQueued(ctx); err != nil {
		return nil, err
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if c := tx.session.Conn(); c != nil {
		if s, ok := tx.session.(interface{ watch(sql string) }); ok {
			s.watch(sql)
		}
		return c, nil
	}
	return nil, errNoConn
}

func deferredError(s Step, err error) error {
	switch s.Op {
	case OpExec:
	case OpExpect:
		return stale(s, err)
	default:
		return err
	}
	text := strings.Join(strings.Fields(s.SQL), " ")
	if len(text) > 60 {
		text = text[:60] + "…"
	}
	return fmt.Errorf("tenancy: deferred %q: %w", text, err)
}
