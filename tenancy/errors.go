package tenancy

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Errors that callers branch on with errors.Is. Errors of PostgreSQL itself come through unchanged (*pgconn.PgError).
var (
	// ErrNoTenant reports a context without a tenant. It is returned before any I/O.
	ErrNoTenant = errors.New("tenancy: no tenant in context; set one with WithID, or use System with a reason")

	// ErrTenantMismatch reports a call whose context names another tenant, or another role, than the open unit of work, or
	// a handle made by DB.At for another database than the unit's or the tenant's.
	ErrTenantMismatch = errors.New("tenancy: context and open unit of work belong to different tenants, roles or databases")

	// ErrNoUnit reports a call that needs an open unit of work, outside of one.
	ErrNoUnit = errors.New("tenancy: no open unit of work in context; call inside DB.Do")

	// ErrTxBusy reports a second statement while one is running, or rows that were not closed.
	ErrTxBusy = errors.New("tenancy: unit of work is busy; close its rows first and do not share it between goroutines")

	// ErrTxDone reports use of a unit of work that has ended or is about to: COMMIT or the rollback has begun.
	ErrTxDone = errors.New("tenancy: unit of work is over")

	// ErrManaged reports BEGIN, COMMIT or ROLLBACK in a unit of work, as a text or as a call, which spoils the unit: it
	// commits when its function returns nil, and rolls back when that returns an error. ROLLBACK TO a savepoint is allowed.
	// A text is refused before it is sent. What ends the transaction all the same, on Tx.Conn say, is an error that matches
	// ErrCommitUnknown too.
	ErrManaged = errors.New("tenancy: DB.Do commits and rolls back this transaction; return nil or an error instead")

	// ErrNotFound is returned by One when no row matches. It also matches pgx.ErrNoRows.
	ErrNotFound = fmt.Errorf("tenancy: not found: %w", pgx.ErrNoRows)

	// ErrStale reports that a statement did not change the rows that it had to, because somebody else had changed or deleted
	// them since they were read. Nothing of the unit is kept. See Tx.DeferExpect.
	ErrStale = errors.New("tenancy: stale; somebody else has changed it meanwhile, load it again")

	// ErrReadOnly reports a write for a tenant that DB.Restrict has made read-only in its database, because it is being
	// moved. Nothing of the unit is kept, and it is not run again: the caller may, later. Units and statements answer it, those
	// of sqldb too; what runs on the bare connection (Tx.Conn), the server's own error (SQLSTATE 25006).
	ErrReadOnly = errors.New("tenancy: the tenant is read-only in this database; it is being moved, try again later")

	// ErrMoved reports a unit in a database from which DB.Restrict has locked its tenant out: what Options.Place answered is
	// old. Nothing was done; once Options.Place knows better, the caller may run the unit again.
	ErrMoved = errors.New("tenancy: the tenant has moved to another database; look its place up again")

	// ErrUnsafeRole reports a pool whose role row-level security does not bind; see DB.Check.
	ErrUnsafeRole = errors.New("tenancy: role is not bound by row-level security")

	// ErrUnsealed reports a database that does not verify the seal of Options.Seal; see DB.Check.
	ErrUnsealed = errors.New("tenancy: database does not require sealed tenants; run InstallSeal as its owner")

	// ErrCommitUnknown reports that the connection was lost after COMMIT had been sent: the unit may or may not have been
	// committed. A unit that emitted an event is looked up by the event's id first, so it gets this error only if that
	// look-up did not give a certain answer. So does a unit whose transaction ended behind it; see ErrManaged.
	ErrCommitUnknown = errors.New("tenancy: connection lost during commit, outcome unknown")
)

var (
	errScope     = errors.New("tenancy: a savepoint was ended out of order")
	errActor     = errors.New("tenancy: the open unit of work acts for somebody else; call WithActor before the outer Do")
	errIsolation = errors.New("tenancy: the open unit of work has another isolation level")
)

// StepError is returned by a Driver when one of Batch.Steps, or what comes before them, failed.
type StepError struct {
	Index int   // index in Batch.Steps; -1 when the transaction could not be begun or nothing was run
	Err   error // what the database said
}

// Error returns the text of the cause.
func (e *StepError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }
