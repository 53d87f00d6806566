package tenancy

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Driver is what a DB needs from a database. The PostgreSQL driver is built in; tenancytest has one in memory.
// Implementations are safe for concurrent use.
type Driver interface {
	Acquire(ctx context.Context, t Target) (Session, error)
}

// Target says what a session is for.
type Target struct {
	Tenant string // empty only for the system role
	System bool   // of the system role, which sees all tenants, instead of the app role
	Place  Placement

	// Replica allows a server that lags behind. Without one Acquire fails, and the unit comes again with false.
	Replica bool
}

// Session is one connection, used by one unit of work at a time.
type Session interface {
	// Send runs the batch in one round trip. It returns when Begin and Steps have been answered; the results are those of
	// Queries. Closing them waits for the rest, the answer to Commit included, and returns its error.
	// The error of Begin or of a step is a *StepError.
	Send(ctx context.Context, b *Batch) (pgx.BatchResults, error)

	// Lost tells whether the connection is gone, so that an unanswered batch has an unknown outcome.
	Lost() bool

	// Conn returns the connection, or nil if the driver has none.
	Conn() *pgx.Conn

	// Release rolls back what is still open and gives the session back.
	Release(ctx context.Context)
}

// Batch is what travels in one round trip, in the order of its fields. All of it belongs to one transaction;
// the first failure stops it.
type Batch struct {
	Begin   *Begin             // begins the transaction; nil when it is open already
	Steps   []Step             // savepoints and deferred statements
	Queries []*pgx.QueuedQuery // statements whose results the caller reads
	Events  []Message          // rows for the outbox
	Commit  bool               // commits

	// CommitLSN, if not nil, is set when Commit was answered: to a position that includes it.
	CommitLSN *LSN
}

// Begin says how a transaction starts and for whom.
type Begin struct {
	Tenant     string         // empty only for the system role
	Isolation  pgx.TxIsoLevel // empty means the server's default
	ReadOnly   bool
	Deferrable bool
	Timeout    time.Duration // longest time of a statement and of idling; zero means the server's default
	LockWait   time.Duration // longest wait for a lock, then 55P03; zero means the server's default
	Fence      int64         // advisory lock held until the end, so that others can wait for it; zero means none
	Actor      string        // JSON for the setting tenancy.actor, local to the transaction; empty means none
	After      LSN           // what the server must have replayed, or it answers with SQLSTATE TN503; zero means nothing
	Eager      bool          // the connection itself will be used, large objects included
}

// Step is one statement of a Batch whose result nobody reads.
type Step struct {
	Op   Op
	Name string // savepoint, or what OpExpect counts
	SQL  string // OpExec and OpExpect
	Args []any  // OpExec and OpExpect; may begin with a pgx.QueryRewriter
	Rows int64  // how many rows OpExpect must change; any other number is an error with SQLSTATE TN409
}

// Op is the kind of a Step.
type Op int

// The kinds of steps.
const (
	OpExec Op = iota
	OpSavepoint
	OpRollbackTo
	OpRelease
	OpExpect
)

// Message is an emitted event on its way to the outbox. Its tenant is the one of the transaction.
type Message struct {
	ID   string // UUIDv7 text
	Type string
	Key  string
	Body []byte
}
