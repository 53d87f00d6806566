package tenancy

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options configures a DB. A nil *Options and the zero value mean the defaults.
type Options struct {
	// System is the pool for units under System. Its role is a member of tenancy_system.
	// Nil means that such units fail.
	System *pgxpool.Pool

	// Seal makes the tenant unforgeable for injected SQL, in a database prepared by InstallSeal. Nil means unsealed
	// tenants, which a sealed database refuses.
	Seal *Seal

	// Place tells where a tenant's data is. It is asked once for each unit, before its first statement, so it should
	// answer from memory; a nested unit stays where the outer one is. Units begun with its ctx run on the pools given to
	// New, so it may look the tenant up there. Units of a DB with Place ask the database whether the tenant may still be served
	// there, in the same round trip; see DB.Restrict. Nil means that all tenants are there.
	Place func(ctx context.Context, tenantID string) (Placement, error)

	// Databases returns the configuration of the pool for a database that Place or DB.At names: with a role like that of
	// the pool given to New or, if system is true, like that of System. The DB opens a pool per name and role at its first
	// unit, closes those that are not used, and all of them in DB.Close. Nil means that there are no other databases.
	Databases func(ctx context.Context, name string, system bool) (*pgxpool.Config, error)

	// MaxConns bounds the open connections of all pools of Databases together; those of the pools given to New are not
	// counted. When it is reached, idle connections of the least recently used pool give way, and units wait until there
	// is one, or their context is over. Zero means 50. Negative means no bound.
	MaxConns int

	// SharedSchemas are searched after Placement.Schema, e.g. the one that extensions are in. Nil means none: a table that
	// the tenant's schema lacks is an error and not somebody else's table.
	SharedSchemas []string

	// Replicas are pools on streaming replicas of the primary, with the same role, for units with TxOptions.Replica.
	// Nil means that such units read on the primary.
	Replicas []*pgxpool.Pool

	// Driver replaces PostgreSQL, e.g. by the one of tenancytest; the pools are not used then. Nil means PostgreSQL.
	Driver Driver

	// Retries is how often a unit is run again after a serialization failure, a deadlock or a connection lost before
	// COMMIT. Zero means 5. Negative means never.
	Retries int

	// Logger gets what nobody else hears of: panics in hooks, failed look-ups, system units (see System).
	// Nil means slog.Default().
	Logger *slog.Logger

	// Errors gets panics of hooks with their stack. Nil means that they are only logged.
	Errors interface {
		Report(ctx context.Context, err error, stack []byte)
	}

	// Metrics counts tenancy.units by outcome (commit, rollback, unknown), tenancy.retries and tenancy.replica_misses, the
	// units that a replica could not serve. Nil means no metrics.
	Metrics interface {
		Add(ctx context.Context, name string, n float64, kv ...string)
	}
}

func (o *Options) retries() int {
	switch {
	case o == nil || o.Retries == 0:
		return 5
	case o.Retries < 0:
		return 0
	}
	return o.Retries
}

func (o *Options) logger() *slog.Logger {
	if o == nil || o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}

func (o *Options) count(ctx context.Context, name string, kv ...string) {
	if o != nil && o.Metrics != nil {
		o.Metrics.Add(ctx, name, 1, kv...)
	}
}

func (o *Options) report(ctx context.Context, err error, stack []byte) {
	o.logger().ErrorContext(ctx, "tenancy: hook panicked", "error", err, "stack", string(stack))
	if o != nil && o.Errors != nil {
		o.Errors.Report(ctx, err, stack)
	}
}

// TxOptions configures the units of a handle made with DB.With. The zero value means a read-write unit at the server's
// default isolation level. None of the options costs a round trip of its own, except Eager.
type TxOptions struct {
	// Isolation is pgx.Serializable, pgx.RepeatableRead or pgx.ReadCommitted. Empty means the server's default.
	// A nested unit cannot change it.
	Isolation pgx.TxIsoLevel

	// ReadOnly lets the server refuse writes. A nested unit cannot make its outer unit read-only, so it is ignored there.
	ReadOnly bool

	// Deferrable waits for a safe snapshot; it has an effect only together with Serializable and ReadOnly.
	Deferrable bool

	// Timeout bounds the whole unit, retries included, and on the server each statement and each pause between statements.
	// Zero or negative means no bound.
	Timeout time.Duration

	// LockTimeout bounds on the server each wait for a lock, of rows and tables and of Tx.Lock: the statement fails with
	// SQLSTATE 55P03 (lock_not_available), and the unit is not run again. Zero or negative means the server's default.
	// A nested unit cannot change it, so it is ignored there.
	LockTimeout time.Duration

	// CommitLSN, if not nil, is set when a unit that wrote or read something has committed: to a position in the log that
	// includes it. It travels with COMMIT. Of a nested unit it is set when the outer unit has committed, before its OnCommit
	// hooks run. A handle with CommitLSN is for one goroutine at a time.
	CommitLSN *LSN

	// Replica makes units read-only and runs them on one of Options.Replicas. What no replica can serve, because it is late,
	// gone or cancels the query, runs again on the primary; units under System or with pgx.Serializable do so at once.
	// Inside an open unit it is ignored, like ReadOnly.
	Replica bool

	// After is how far in the log a replica must have come, which it checks in the same round trip; zero means anything will
	// do. Without Replica it is ignored.
	After LSN

	// Eager begins at once instead of with the first statement, which costs one round trip.
	// Only then Tx.Conn and Tx.LargeObjects may be used. Inside an open unit it is ignored: the outer one needs it.
	Eager bool
}
