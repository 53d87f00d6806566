package tenancytest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// session is one connection. Like a connection, it is used by one goroutine at a time.
type session struct {
	kit     *Kit
	system  bool
	lost    bool
	aborted bool // as PostgreSQL after an error: nothing but a rollback is accepted
	tx      *memTx
}

// Send implements tenancy.Session. As on a server, everything in the batch has happened when the first answer is read.
func (s *session) Send(ctx context.Context, b *tenancy.Batch) (pgx.BatchResults, error) {
	if err := ctx.Err(); err != nil {
		return nil, &tenancy.StepError{Index: -1, Err: err}
	}
	if err := s.fault(); err != nil {
		return nil, &tenancy.StepError{Index: -1, Err: err}
	}
	if b.Begin != nil {
		s.tx = &memTx{
			kit: s.kit, system: s.system, tenant: b.Begin.Tenant, readOnly: b.Begin.ReadOnly,
			serializable: b.Begin.Isolation == pgx.Serializable, lockWait: b.Begin.LockWait, seen: map[cell]int64{},
		}
	}
	for i, step := range b.Steps {
		if err := s.step(ctx, step); err != nil {
			return nil, &tenancy.StepError{Index: i, Err: err}
		}
	}
	r := &results{session: s, unread: b.Queries}
	for _, q := range b.Queries {
		if r.err == nil {
			var set resultSet
			set, r.err = s.exec(ctx, q.SQL, q.Arguments)
			set.err = r.err
			r.sets = append(r.sets, set)
		}
	}
	if r.err == nil && b.Commit {
		if r.err = s.commit(b.Events); r.err == nil && b.CommitLSN != nil {
			*b.CommitLSN = s.kit.position()
		}
	}
	return r, nil
}

// fault counts the round trip and spends what FailNext ordered.
func (s *session) fault() error {
	if s.lost {
		return ErrConnLost
	}
	err := s.kit.trip()
	s.aborted = s.aborted || err != nil
	s.lost = errors.Is(err, ErrConnLost)
	return err
}

func (s *session) step(ctx context.Context, step tenancy.Step) error {
	tx := s.tx
	at := slices.IndexFunc(tx.saves, func(v save) bool { return v.name == step.Name })
	switch {
	case step.Op == tenancy.OpExec:
		_, err := s.exec(ctx, step.SQL, step.Args)
		return err
	case step.Op == tenancy.OpExpect:
		set, err := s.exec(ctx, step.SQL, step.Args)
		if err == nil && set.affected != step.Rows {
			s.aborted = true
			err = pgError("TN409", fmt.Sprintf("%d rows changed of %q, expected %d", set.affected, step.Name, step.Rows))
		}
		return err
	case step.Op == tenancy.OpRollbackTo && at >= 0:
		tx.truncate(tx.saves[at].writes)
		s.kit.mu.Lock()
		s.kit.unlock(tx, tx.saves[at].locks)
		s.kit.mu.Unlock()
		tx.saves = tx.saves[:at+1]
		s.aborted = false
	case s.aborted:
		return errAborted()
	case step.Op == tenancy.OpSavepoint:
		tx.saves = append(tx.saves, save{step.Name, len(tx.writes), len(tx.locks)})
	case step.Op == tenancy.OpRelease && at >= 0:
		tx.saves = tx.saves[:at]
	default:
		s.aborted = true
		return pgError("3B001", "savepoint does not exist")
	}
	return nil
}

func errAborted() error {
	return pgError("25P02", "current transaction is aborted, commands ignored until end of transaction block")
}

// exec answers one statement. Any error aborts the transaction, as in PostgreSQL.
func (s *session) exec(ctx context.Context, sql string, args []any) (set resultSet, err error) {
	if s.aborted {
		return resultSet{}, errAborted()
	}
	defer func() { s.aborted = s.aborted || err != nil }()
	if len(args) == 1 {
		if fn, ok := args[0].(call); ok && sql == callSQL {
			return resultSet{}, asServer(fn(s.tx))
		}
		if op, ok := args[0].(rowop.Op); ok {
			return s.rows(op)
		}
	}
	s.kit.mu.Lock()
	h := s.kit.handlers[normal(sql)]
	s.kit.mu.Unlock()
	if h == nil {
		return resultSet{}, pgError("0A000", fmt.Sprintf(
			"tenancytest: no answer for %q; give one with Kit.Handle, or run this test on PostgreSQL", normal(sql)))
	}
	ctx = context.WithValue(ctx, memKey{}, s.tx)
	if s.tx.tenant != "" {
		ctx = tenancy.WithID(ctx, s.tx.tenant)
	}
	if s.system {
		ctx = tenancy.System(ctx, "tenancytest")
	}
	result, err := h(ctx, args...)
	if errors.Is(err, tenancy.ErrNotFound) { // to SQL, a missing row is no error
		return newResultSet(nil)
	}
	if err != nil {
		return resultSet{}, asServer(err)
	}
	return newResultSet(result)
}

// asServer makes errors of handlers look like answers of the server, which spoil the transaction.
func asServer(err error) error {
	var pgErr *pgconn.PgError
	if err == nil || errors.As(err, &pgErr) {
		return err
	}
	return fmt.Errorf("%w: %w", err, pgError("P0001", err.Error()))
}

func (s *session) commit(events []tenancy.Message) error {
	if s.aborted {
		return pgx.ErrTxCommitRollback
	}
	if s.tx.readOnly && len(events) > 0 {
		s.aborted = true
		return pgError("25006", "cannot write events in a read-only transaction")
	}
	lose, done := s.kit.losing()
	var err error
	if done {
		err = s.kit.commit(s.tx, events)
	}
	if lose {
		s.kit.lost()
		s.lost = true
		return ErrConnLost
	}
	s.aborted = err != nil
	return err
}

// Lost implements tenancy.Session.
func (s *session) Lost() bool { return s.lost }

// Conn implements tenancy.Session: there is none.
func (s *session) Conn() *pgx.Conn { return nil }

// Release implements tenancy.Session.
func (s *session) Release(context.Context) {
	s.kit.mu.Lock()
	defer s.kit.mu.Unlock()
	s.kit.unlock(s.tx, 0)
	s.kit.open--
}
