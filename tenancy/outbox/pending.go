package outbox

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"

	"github.com/ashlar-go/ashlar/tenancy"
)

//go:embed pending.sql
var pendingSQL string

// Pending tells how many events of the database of db a sink does not have yet, asking the sink itself: those of the tenant of
// ctx or, without one, all. Events of open transactions are not counted. db needs Options.System; use DB.At for another
// database than the common one, whatever place the tenant has now.
//
// Zero for every sink, when nobody emits any more, says that what comes elsewhere comes later. See tenancy.DB.Restrict.
// Inside a unit of work it is refused. Errors: ErrLogChanged where a relay ends with it, those of the sink and of PostgreSQL.
func Pending(ctx context.Context, db *tenancy.DB, sink Sink) (int64, error) {
	if _, open := tenancy.TxFrom(ctx); open {
		return 0, errors.New("outbox: Pending inside a unit of work might not see the latest events")
	}
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
	type result struct {
		Log    string
		Known  bool
		Events int64
	}
	is, err := tenancy.One[result](tenancy.System(ctx, "outbox pending"), db, pendingSQL,
		tenant, string(at.from), at.until(), at.seq, at.floor, strconv.FormatUint(at.anchor.xid, 10), at.anchor.id)
	if err != nil {
		return 0, fmt.Errorf("outbox: pending: %w", err)
	}
	if err := at.in(is.Log, is.Known); err != nil {
		return 0, err
	}
	return is.Events, nil
}
