package tenancy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// resolveTimeout bounds the look-up that follows a lost answer to COMMIT.
const resolveTimeout = 5 * time.Second

// outcome is how an attempt ended.
type outcome string

const (
	committed  outcome = "commit"
	rolledBack outcome = "rollback"
	unknown    outcome = "unknown"
)

// judge turns the answer to COMMIT into what the caller may rely on. The marker is the id of something that exists if and
// only if the unit committed; it is empty if there is no such thing.
func (tx *Tx) judge(ctx context.Context, marker string, err error) (outcome, error) {
	switch {
	case err == nil:
		return committed, nil
	case tx.session == nil, !doubtful(tx.session, err):
		tx.fail(err, 0) // the server refused, or COMMIT never left
		return rolledBack, err
	case tx.opts.readOnly(): // nothing was written, so nothing is in doubt
		tx.fail(err, 0)
		tx.lose()
		return rolledBack, err
	}
	// The look-up needs a connection; holding the dead one meanwhile could exhaust the pool.
	tx.giveBack(ctx)
	if marker != "" {
		switch found, certain := tx.resolve(ctx, marker); {
		case found:
			return committed, nil
		case certain:
			tx.fail(err, 0)
			tx.lose()
			return rolledBack, err
		}
	}
	tx.at = maxLSN
	return unknown, fmt.Errorf("%w: %w", ErrCommitUnknown, err)
}

// resolve asks over a new connection whether the unit's marker exists. "No" is certain only if the unit's fence was seen
// to be held: then the look-up waited until the lost transaction had ended, whatever became of it. Without that the COMMIT
// could still be on its way.
func (tx *Tx) resolve(ctx context.Context, marker string) (found, certain bool) {
	ctx, cancel := context.WithTimeout(afterwards(ctx, tx.core), resolveTimeout)
	defer cancel()
	var at LSN
	ask := (&DB{core: tx.core}).within(tx.target.Place)
	// The second look of tenancy.committed must see what committed while it waited, whatever the server's default is.
	ask.opts.Isolation = pgx.ReadCommitted
	if tx.asked() != nil {
		ask.opts.CommitLSN = &at
	}
	// Longer than other retries: a server that crashed needs a moment.
	err := ask.query(ctx, sqltext.Committed, []any{tx.fence, marker}, scanOne(&found))
	for err != nil && ctx.Err() == nil {
		pause(ctx, 20*time.Millisecond)
		err = ask.query(ctx, sqltext.Committed, []any{tx.fence, marker}, scanOne(&found))
	}
	if err != nil {
		tx.core.opts.logger().WarnContext(ctx, "tenancy: commit not resolved", "error", err)
		return false, false
	}
	if found {
		tx.at = at
	}
	return found, tx.answered
}

// retryable tells whether the unit as a whole failed in a way that another attempt may cure.
func (tx *Tx) retryable() bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.failed == nil {
		return false
	}
	return tx.failed.lost && !overdue(tx.failed.err) || tx.opts.retryable(tx.failed.err) || tx.target.Replica && behind(tx.failed.err)
}

// overdue tells whether a statement ended with a context of its own: pgx closes the connection then, which is no reason to
// run the unit again, and as long, once more.
func overdue(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// lose says that the failure came with a lost connection.
func (tx *Tx) lose() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.failed.lost = true
}

// doubtful tells whether COMMIT may have been done in spite of err.
func doubtful(s Session, err error) bool {
	var answer *pgconn.PgError
	return !refused(err) && !neverSent(err) && (s.Lost() || errors.As(err, &answer))
}

// refused tells whether the server itself answered that the transaction did not happen. Class 08 is what a pooler says
// that has lost the server and knows no more than we do; a server uses it for a malformed message only (08P01, not fatal).
func refused(err error) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return errors.Is(err, pgx.ErrTxCommitRollback)
	}
	if strings.HasPrefix(answer.Code, "08") {
		return answer.Code == "08P01" && answer.Severity == "ERROR"
	}
	return answer.Code != "40003" // statement_completion_unknown
}

// neverSent tells whether pgx failed before the statements left: it sends nothing unless all of them could be prepared.
func neverSent(err error) bool {
	_, preparing := errors.AsType[pgx.ErrPreprocessingBatch](err)
	return preparing || pgconn.SafeToRetry(err)
}

// retryable tells whether PostgreSQL says that the transaction did not happen and might the next time, or pgconn that
// nothing was sent.
func (o TxOptions) retryable(err error) bool {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		switch answer.Code {
		case codeReadOnly: // asked for, or a demoted primary
			return !o.readOnly()
		case "40001", // serialization_failure, on a replica also a conflict with its recovery
			"40P01",                            // deadlock_detected
			"57P01", "57P02", "57P03", "57P05", // shut down, crashed, starting up, ended while idle
			"08000", "08003", "08006": // connection lost behind a pooler
			return true
		case "0A000": // a table changed under a prepared statement, which pgx has forgotten now; the text is translated
			return answer.Routine == "RevalidateCachedQuery"
		}
		return false
	}
	return err != nil && pgconn.SafeToRetry(err)
}

// codeReadOnly is read_only_sql_transaction.
const codeReadOnly = "25006"

// distrust is TxOptions.distrust for the connection of the unit.
func (tx *Tx) distrust(err error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.failed != nil {
		err = tx.failed.err
	}
	if tx.session != nil {
		tx.opts.distrust(tx.session, err)
	}
}

// distrust makes sure that the next attempt does not get another connection to a server that is no primary any more.
func (o TxOptions) distrust(s Session, err error) {
	var answer *pgconn.PgError
	if d, ok := s.(interface{ Distrust() }); ok && !o.readOnly() && errors.As(err, &answer) && answer.Code == codeReadOnly {
		d.Distrust()
	}
}
