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

	// SaveSink tells where a sink of the outbox stands; see the file.
	//go:embed save_sink.sql
	SaveSink string

	// Once marks an event as handled by a consumer.
	//go:embed once.sql
	Once string

	// InstallSeal writes a key; $1 key id, $2 and $3 its pads, $4 whether a seal is required from now on. It affects no
	// row when the key id has another secret.
	//go:embed install_seal.sql
	InstallSeal string

	// RetireSeal deletes the key $1 unless it is the last; see the file.
	//go:embed retire_seal.sql
	RetireSeal string
)

// Config reads the row of the tenant $1 and, as a JSON object, its settings and flags for package registry.
//
//go:embed config.sql
var Config string

// Lock and TryLock take the advisory lock $1 until the transaction ends.
const (
	Lock    = `select pg_advisory_xact_lock($1)`
	TryLock = `select pg_try_advisory_xact_lock($1)`
)

// Committed waits for the fence $1 and tells whether the event or audit entry $2 exists.
const Committed = `select tenancy.committed($1, $2)`

// Resolve and Memberships are the questions that package registry asks before it knows a tenant; see its first migration.
const (
	Resolve = `select tenant_id, target, slug, plan, state, read_only, reason, now from registry.resolve($1, $2)`

	Memberships = `select tenant_id, slug, name, state, role from registry.memberships($1)`
)

// Projections keep their position in a row: $1 its name, $2 where it is, $3 where it goes.
const (
	ProjectionPosition = `select position from tenancy.outbox_projection where name = $1`
	ProjectionBegin    = `insert into tenancy.outbox_projection (name, position) values ($1, $2) on conflict do nothing`
	ProjectionMove     = `update tenancy.outbox_projection set position = $3 where name = $1 and position = $2`
)
