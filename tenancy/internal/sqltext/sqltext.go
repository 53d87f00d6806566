// Package sqltext holds the statements that tenancy sends by itself, as constants, so that the in-memory driver of
// tenancytest can answer them.
package sqltext

import _ "embed"

// Statements of the unit of work.
var (
	// InsertEvents writes the events of a unit; $1 ids, $2 types, $3 keys, $4 bodies.
	//go:embed insert_events.sql
	InsertEvents string

	// InsertAudit writes the audit entries of a unit; see the file.
	//go:embed insert_audit.sql
	InsertAudit string

	// ListAudit reads the audit log of one tenant; see the file.
	//go:embed list_audit.sql
	ListAudit string

	// Tick reads the next events of the outbox; see the file.
	//go:embed tick.sql
	Tick string

	// Once marks an event as handled by a consumer.
	//go:embed once.sql
	Once string
)

// Lock and TryLock take the advisory lock $1 until the transaction ends.
const (
	Lock    = `select pg_advisory_xact_lock($1)`
	TryLock = `select pg_try_advisory_xact_lock($1)`
)

// Committed waits for the fence $1 and tells whether the event or audit entry $2 exists.
const Committed = `select tenancy.committed($1, $2)`
