package outbox

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/ashlar-go/ashlar/tenancy"
)

//go:embed pending.sql
var pendingSQL string

// Pending tells how many events of the database of db a sink does not have yet, asking the sink itself: those of the tenant of
// ctx or, without one, all. Events of open transactions are not counted. db needs Options.System; use DB.At for another
// database than the common one, whatever place the tenant has now.
//
// Zero for every sink, when nobody emits any more, says that what comes elsewhere comes later. See tenancy.DB.Restrict.
// Errors: ErrLogChanged, those of the sink and of PostgreSQL.
func Pending(ctx context.Context, db *tenancy.DB, sink Sink) (int64, error) {
	tenant, _ := tenancy.IDFrom(ctx)
	ctx = tenancy.WithID(ctx, "") // whose place is nothing to the sink
	stored, err := sink.Position(ctx)
	if err != nil {
		return 0, fmt.Errorf("outbox: position of the sink: %w", err)
	}
	at, err := parsePosition(stored)
	if err != nil {
		return 0, err
	}
	var upto *string
	if at.upto != "" {
		s := string(at.upto)
		upto = &s
	}
	type result struct {
		Log    string
		Events int64
	}
	is, err := tenancy.One[result](tenancy.System(ctx, "outbox pending"), db, pendingSQL,
		tenant, string(at.from), upto, at.seq, at.floor)
	switch {
	case err != nil:
		return 0, fmt.Errorf("outbox: pending: %w", err)
	case at.moved > 0:
		return 0, logChanged("a Rebase of the sink has stopped half-way; call it again")
	case at.log != "" && at.log != is.Log:
		return 0, logChanged("position of %s, database is %s", at.log, is.Log)
	}
	return is.Events, nil
}
