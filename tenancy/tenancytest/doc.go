// Package tenancytest is tenancy without PostgreSQL: an in-memory driver under the real tenancy.DB, so that Do, nesting,
// hooks, events and retries run the code they run in production; the same kit on a real server; and the conformance suite
// that both pass.
//
// # Usage
//
//	kit := tenancytest.New(t)
//	notes := tenancytest.NewTable[int64, Note](kit)       // rows of tenants, versioned, rolled back with their unit
//	kit.Handle(`select id, body from notes`, func(ctx context.Context, _ ...any) (any, error) { return notes.All(ctx) })
//	svc := NewService(kit.DB())
//
// It understands no SQL but that of package record, whose statements it evaluates on rows of its own: conditions,
// expressions, unique and check constraints, soft deletes and pages answer as on PostgreSQL, as random programs show that run
// on both. What it does not understand it refuses by saying so; it knows no foreign keys, no triggers, and compares text byte
// by byte. Other code under test either stores through an interface of its own, which a Table satisfies with a few lines, or
// its statements are given answers with Kit.Handle. A statement without an answer fails and says so. What only SQL can show
// (policies, plans) belongs on a real PostgreSQL.
//
// # Consistency
//
// Units see what was committed, and their own writes. A unit that wrote a row that somebody else has changed since it
// first looked at it fails to commit with 40001, which Do retries, so no update is lost; under pgx.Serializable the same
// holds for rows that it only read. Nothing waits for a row; tx.Lock waits, and finds deadlocks.
//
// # Tenancy
//
// A Table shows a unit the rows of its tenant. A unit under tenancy.System without a tenant sees the rows of all.
//
// # Errors
//
// Faults are switchable: Kit.FailNext makes round trips fail, Kit.LoseCommit loses an answer to COMMIT.
//
// # Concurrency
//
// A Kit is safe for concurrent use. In memory it does no I/O and starts no goroutine, so it works in a testing/synctest
// bubble.
package tenancytest
