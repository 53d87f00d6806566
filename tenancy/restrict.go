package tenancy

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Access is what units of a tenant may do in a database; see DB.Restrict.
type Access string

// The kinds of access. Without a restriction it is ReadWrite.
const (
	ReadWrite Access = "read-write"
	ReadOnly  Access = "read-only" // what writes, locks rows or emits events fails with ErrReadOnly
	NoAccess  Access = "none"      // all units fail with ErrMoved before their first statement
)

// codeMoved is the SQLSTATE of tenancy.admit.
const codeMoved = "TN421"

// Pauses between two looks of Restrict whether the units of before have ended: the first, and the longest. A look reads the
// locks of the whole server.
const (
	minRestrictPoll = 10 * time.Millisecond
	maxRestrictPoll = 250 * time.Millisecond
)

var (
	//go:embed restrict.sql
	restrictSQL string

	//go:embed running.sql
	runningSQL string
)

const (
	liftSQL  = `delete from tenancy.restriction where tenant = $1`
	stillSQL = `select exists (select from pg_locks where locktype = 'virtualxid' and virtualtransaction = any ($1))`
)

// Restrict bounds what units of the tenant of ctx may do in one database: the one that the handle was made for by DB.At, else
// that of the pools given to New, wherever Options.Place sees the tenant. ReadWrite lifts the restriction. It is for moving a
// tenant to another database, see docs/moving-a-tenant.md, and it needs the system role there.
//
// When Restrict has returned nil, no unit that had more access is left: it waits for all transactions of that database that
// began before, of any tenant and any role, superusers and a running dump among them, because nobody can tell whose they are.
// Nobody waits for Restrict. If ctx ends earlier, the restriction stays; call Restrict again, with ReadWrite to lift it. Every call
// can be repeated.
//
// Inside of a unit, of whatever DB and database, Restrict is an error: it could wait for its own caller. It cannot tell of a
// transaction that ctx does not carry, as those of Begin, and waits for it as for any other.
//
// The database holds units to it that a DB with Options.Place runs for the tenant, under System too, in every process,
// whatever that process believes about the tenant's place or state. A DB without Options.Place is not asked, so that a mover can
// write what everybody else may not; nor are system units of no tenant. A replica knows of the restriction when it has replayed
// it: until then it lets readers (TxOptions.Replica) in, also after ErrMoved elsewhere. Prepared transactions are not waited for.
func (db *DB) Restrict(ctx context.Context, to Access) error {
	id, _ := IDFrom(ctx)
	if id == "" {
		return ErrNoTenant
	}
	if to != ReadWrite && to != ReadOnly && to != NoAccess {
		return fmt.Errorf("tenancy: there is no access %q", to)
	}
	if _, ok := db.core.driver.(*pgDriver); !ok {
		return errors.New("tenancy: Restrict needs PostgreSQL")
	}
	// The database of another DB's unit may be the same one. In the hooks of such a unit TxFrom finds none, not even one around it.
	if _, open := TxFrom(ctx); open || db.core.open(ctx) != nil {
		return errors.New("tenancy: Restrict inside of a unit would wait for it")
	}
	h := &DB{core: db.core, at: db.at}
	ctx = System(WithID(ctx, ""), fmt.Sprintf("restrict tenant %s to %s", id, to))
	err := h.Do(ctx, func(_ context.Context, tx *Tx) error {
		if to == ReadWrite {
			tx.Defer(liftSQL, id)
		} else {
			tx.Defer(restrictSQL, id, string(to))
		}
		return nil
	})
	if err == nil && to != ReadWrite {
		err = h.outwait(ctx)
	}
	if err != nil {
		return fmt.Errorf("tenancy: restrict: %w", err)
	}
	return nil
}

// outwait waits for the end of the transactions that are running now: whatever begins later sees what is committed now, also
// in its first snapshot.
func (db *DB) outwait(ctx context.Context) error {
	running, err := One[[]string](ctx, db, runningSQL)
	poll := minRestrictPoll
	for still := len(running) > 0; err == nil && still; poll = min(2*poll, maxRestrictPoll) {
		if still, err = One[bool](ctx, db, stillSQL, running); err == nil && still && !pause(ctx, poll) {
			return context.Cause(ctx)
		}
	}
	return err
}

// restricted makes ErrMoved or ErrReadOnly of what the database said to a unit of a restricted tenant, or returns nil. What is
// one of them already stays, also from a unit of another DB: it is no reason to run this one again.
func (o TxOptions) restricted(s Session, err error) error {
	if errors.Is(err, ErrMoved) || errors.Is(err, ErrReadOnly) {
		return err
	}
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return nil
	}
	held, ok := s.(interface{ Held() bool })
	switch {
	case answer.Code == codeMoved:
		return fmt.Errorf("%w: %w", ErrMoved, err)
	case answer.Code == codeReadOnly && !o.readOnly() && ok && held.Held():
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return nil
}

// told is what the caller of a statement hears of err: TxOptions.restricted of it, else err itself.
func (tx *Tx) told(err error) error {
	if err == nil {
		return nil
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if refusal := tx.opts.restricted(tx.session, err); refusal != nil {
		return refusal
	}
	return err
}

// restricted is TxOptions.restricted for the unit. Its function may have dropped what the database said; then the error stays
// what it is.
func (tx *Tx) restricted(err error) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if refusal := tx.opts.restricted(tx.session, err); refusal != nil {
		return refusal
	}
	if tx.failed != nil && tx.opts.restricted(tx.session, tx.failed.err) != nil {
		return err
	}
	return nil
}

// admitted reads the answer to a head that asks tenancy.admit, its last column.
func admitted(br pgx.BatchResults) (Access, error) {
	rows, err := br.Query()
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var access Access
	if rows.Next() {
		values := rows.RawValues()
		access = Access(values[len(values)-1])
	}
	rows.Close()
	return access, rows.Err()
}
