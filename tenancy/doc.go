// Package tenancy is a tenant-safe unit of work on PostgreSQL: a transaction that belongs to one tenant, sees only that
// tenant's rows because the database says so, costs as few round trips as its statements need, and emits events that exist
// if and only if it commits.
//
// # Usage
//
//	db, err := tenancy.New(pool, nil)
//	ctx = tenancy.WithID(ctx, acme)
//	err = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
//		tx.Emit(NoteAdded{Body: "hi"})                                      // exists iff the transaction commits
//		_, err := tx.Exec(ctx, `insert into notes(body) values($1)`, "hi")
//		return err
//	})
//	notes, err := tenancy.All[Note](ctx, db, `select id, body from notes`)  // one round trip
//
// Tables are protected by a migration: see Migrations. Isolation level, read-only and timeouts are set on a handle:
// db.With(&tenancy.TxOptions{Isolation: pgx.Serializable}).Do(ctx, fn). Tests use package tenancytest.
//
// # Consistency
//
// A unit is lazy: BEGIN, the tenant and everything deferred travel with the first statement; COMMIT takes the rest and the
// events with it. One and All cost one round trip, a read-modify-write with an event two, a unit of deferred writes one,
// a unit without statements none. A statement that is new to a connection costs one more, in which pgx prepares it.
//
// A unit inside a unit is a savepoint, sent only when a statement needs it. A failed statement spoils its innermost
// savepoint, or the unit; it cannot be swallowed. (One exception to the rule: a statement that PostgreSQL refuses to
// prepare, as one with a syntax error or a missing table, and that is the first in its savepoint, spoils what is around it.)
//
// A unit is run again after a serialization failure, a deadlock, a shutdown or demotion of the server or a connection lost
// before COMMIT. When the answer to COMMIT is lost, the unit's first event or audit entry is looked up; so units that have
// one know what happened, all others get ErrCommitUnknown. From Do, nil always means committed and any other error not
// committed; One and All on a DB also commit a statement whose rows they then cannot scan.
//
// Optimistic locking costs no trip: Tx.DeferExpect lets the server count what a deferred update changed and fails the unit
// with ErrStale. Where no row stands for what must not happen twice, Tx.Lock takes an advisory lock of the tenant.
//
// Reads may go to replicas: TxOptions.Replica allows it, TxOptions.After makes sure of seeing one's own writes, whose
// position in the log a unit left in TxOptions.CommitLSN. What a replica cannot serve, the primary does.
//
// Events are written to the table tenancy.outbox and leave through package outbox, each exactly once into its sink, in
// commit order per key.
//
// Tx.Audit writes to tenancy.audit in the same way: who (WithActor), what, and the fields that changed. Nobody changes that
// table, it leaves by the month (tenancy.audit_partitions). A table given to tenancy.audit_changes logs raw SQL too, in
// the log of the row's tenant, whoever changes it. The log trusts the program about who acts: injected SQL can add entries to
// its own tenant's log, not change or remove any.
//
// # Tenancy
//
// A tenant's id is an opaque text of 1 to 255 bytes, kept in the context. Without one every call fails with ErrNoTenant
// before any I/O, and any SQL that gets past this package fails with 42501 in tenancy.tenant_id(). The id is local to the
// transaction, never to the session, so poolers in transaction mode are safe. The policy is the floor; add tenant_id = $1
// where the planner should know the tenant's share of a table. System switches to another role, not to another predicate.
//
// What SQL leaves in a session, or takes from it, would be met by the next tenant. So a connection on which a unit ran SET without
// LOCAL, set_config whose third argument is not the word true or whose first cannot be read, RESET, DISCARD, PREPARE, DEALLOCATE, DO,
// LISTEN, a cursor WITH HOLD, a session-level advisory lock, setseed or a function that runs a text (ts_stat, query_to_xml), or made
// something temporary (but for a table with ON COMMIT DROP) is closed instead of reused. That is read from the text: what a
// function of yours or of an extension does inside, and what is done on Tx.Conn, stays hidden. Against a text that hides a temporary
// table on purpose, revoke temporary on database … from public (rule T20 of package guard).
// A pooler keeps its own connection to the server all the same; let it run DISCARD ALL (PgBouncer:
// server_reset_query_always), without which injected SQL reaches the next tenant, or do without such statements.
//
// A prepared statement stays too, and with it what its literals meant in the unit that used it first: '2020-01-02'::timestamptz is
// midnight in the time zone that SET LOCAL had made that tenant's. Pass times as arguments where units change TimeZone or DateStyle.
//
// The pool's role must be subject to row-level security: a member of tenancy_app, not a superuser, not the tables' owner.
//
// With Options.Seal, SQL injection is contained: the tenant travels with an HMAC that the database verifies for every
// statement, so injected SQL that calls set_config can name no tenant whose seal it has not seen; any other value raises 42501.
// Install a key with InstallSeal, rotate it with RetireSeal, ask DB.Check. Without a seal injected SQL chooses its tenant.
// No seal protects against whoever holds the key: the process itself, the owner of the database, its backups. And it bounds whose
// rows such SQL reaches, not what else the login may do, as end its own other sessions; docs/guarantees.md lists that.
//
// Options.Place gives a tenant a schema or a database of its own behind the same API: the schema by a search_path that is
// local to the transaction, in the same round trip; the database by pools that are opened when they are needed, under one
// ceiling of connections (Options.MaxConns).
//
// # Errors
//
// ErrNoTenant, ErrTenantMismatch, ErrNoUnit, ErrTxBusy, ErrTxDone, ErrManaged, ErrNotFound, ErrStale, ErrUnsealed, ErrReadOnly,
// ErrMoved, ErrCommitUnknown; everything PostgreSQL says comes through as *pgconn.PgError.
//
// # Concurrency
//
// A DB is safe for concurrent use. A Tx runs one statement at a time and refuses a second one with ErrTxBusy; its Emit,
// Defer and hooks may be called from any goroutine. When its function has returned, Do waits for a statement that another
// goroutine still has running. Neither starts goroutines.
package tenancy
