package tenancy

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// codeStale is the SQLSTATE of tenancy.expect.
const codeStale = "TN409"

// DeferExpect is Defer for a statement that must change exactly n rows: an update with a version in its WHERE, say.
// The server counts, so COMMIT still travels in the same round trip; another count fails what it travels with, and spoils
// the savepoint or the unit, with ErrStale. What names the thing in the error ("order").
//
// The statement is an INSERT, UPDATE or DELETE without RETURNING.
func (tx *Tx) DeferExpect(n int64, what, sql string, args ...any) {
	tx.queue(Step{Op: OpExpect, Name: what, Rows: n, SQL: sql, Args: args})
}

// expectation makes the server count the rows of a statement.
type expectation struct {
	rows int64
	what string
	args []any
}

// RewriteQuery implements pgx.QueryRewriter. The arguments of the statement may begin with a rewriter of their own.
func (e expectation) RewriteQuery(ctx context.Context, conn *pgx.Conn, sql string, _ []any) (string, []any, error) {
	args := e.args
	if len(args) > 0 {
		if inner, ok := args[0].(pgx.QueryRewriter); ok {
			var err error
			if sql, args, err = inner.RewriteQuery(ctx, conn, sql, args[1:]); err != nil {
				return "", nil, err
			}
		}
	}
	n := len(args)
	sql = "with u as (" + strings.TrimRight(sql, "; \t\r\n") + "\nreturning 1) select tenancy.expect(count(*), $" +
		strconv.Itoa(n+1) + ", $" + strconv.Itoa(n+2) + ") from u"
	return sql, append(args[:n:n], e.rows, e.what), nil
}

// stale makes ErrStale of what tenancy.expect says about s.
func stale(s Step, err error) error {
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == codeStale {
		return fmt.Errorf("%w: %s: %w", ErrStale, s.Name, err)
	}
	return fmt.Errorf("tenancy: deferred %s: %w", s.Name, err)
}
