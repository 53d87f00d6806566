package migrate

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Options configures Up and Status. A nil *Options and the zero value mean the defaults.
type Options struct {
	// LockTimeout is how long a statement waits for a lock on a table, with everybody else queueing behind it, before the
	// file is rolled back and tried again, up to five times with pauses. A file without transaction sets its own.
	// Zero means 5 s. Negative means no limit.
	LockTimeout time.Duration

	// After is called at the end of each Up, with its pool, when nothing failed; its error becomes Up's, which names the
	// files that were applied, since they stay so. It is the place for guard.Check on the application's pool. Nil means
	// that nothing is called.
	After func(ctx context.Context, owner *pgxpool.Pool) error

	// DryRun runs the pending files in one transaction, waits for no other process, and rolls back. Files without
	// transaction are left out, so what needs them fails. Neither After nor the ledger is touched. False means that Up
	// applies them.
	DryRun bool

	// Logger gets a line per applied file, and warnings: of statements that changed no row although tables with forced
	// row-level security hold some, and of a long wait for another process. Nil means slog.Default().
	Logger *slog.Logger
}

func (o *Options) orDefault() *Options {
	if o == nil {
		return &Options{}
	}
	return o
}

func lockTimeout(d time.Duration) time.Duration {
	switch {
	case d == 0:
		return 5 * time.Second
	case d < 0:
		return 0
	}
	return d
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.Default()
	}
	return l
}
