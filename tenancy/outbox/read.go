package outbox

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// row is what the tick query returns. The fields from Seq on are empty if there is no event.
type row struct {
	Upto  string
	Log   string
	Now   time.Time
	Known bool
	Found int64

	Seq     int64
	XID     int64 `db:"xid"`
	ID      string
	Tenant  string `db:"tenant_id"`
	Type    string
	Key     string
	Payload []byte
	At      time.Time
}

func (r row) event() Event {
	return Event{ID: r.ID, Tenant: r.Tenant, Type: r.Type, Key: r.Key, Payload: r.Payload, At: r.At.UTC()}
}

// tick is one look at the outbox.
type tick struct {
	upto snapshot
	log  string
	now  time.Time
	rows []row
	more bool // the tick may have further events
}

// read returns the events after at, at most limit and few bytes, or ErrLogChanged if at is no place in this log.
func read(ctx context.Context, db *tenancy.DB, at position, limit int) (tick, error) {
	ctx, cancel := context.WithTimeout(tenancy.System(ctx, "outbox relay"), readTime)
	defer cancel()
	// One statement, so its snapshot is also the end of the tick. Its writes, none, need no read-only transaction, which
	// would cost BEGIN and COMMIT.
	rows, err := tenancy.All[row](ctx, db, sqltext.Tick,
		string(at.from), at.until(), max(at.seq, at.floor), limit, int64(maxDeliverBytes), strconv.FormatUint(at.anchor.xid, 10), at.anchor.id)
	if err != nil {
		return tick{}, fmt.Errorf("outbox: read: %w", err)
	}
	t := tick{upto: snapshot(rows[0].Upto), log: rows[0].Log, now: rows[0].Now, rows: rows}
	if err := at.in(t.log, rows[0].Known); err != nil {
		return tick{}, err
	}
	switch {
	case strings.HasPrefix(t.log, "none/"):
		if err := identify(ctx, db); err != nil {
			return tick{}, err
		}
		return read(ctx, db, at, limit)
	case rows[0].ID == "":
		t.rows = nil
	}
	t.more = len(t.rows) > 0 && (rows[0].Found == int64(limit) || int64(len(rows)) < rows[0].Found)
	return t, nil
}

// identify gives the log a name. It is new, or a dump was restored into it.
func identify(ctx context.Context, db *tenancy.DB) error {
	err := db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
		tx.Defer(`select tenancy.outbox_identify()`)
		return nil
	})
	if err != nil {
		return fmt.Errorf("outbox: name the log: %w", err)
	}
	return nil
}

// after returns the position that at becomes when the tick's rows are delivered.
func (at position) after(t tick) (position, error) {
	next := at
	next.log = t.log
	if at.upto == "" {
		next.seen = t.now.UnixMicro()
	}
	done, err := at.from.parse()
	if err != nil {
		return position{}, err
	}
	if at.upto == "" && at.anchor.xid >= done.max && len(t.rows) > 0 {
		next.anchor = anchor{} // Rebase's; its transaction id may be one of another cluster
	}
	for _, r := range t.rows {
		if xid := uint64(r.XID); xid >= next.anchor.xid {
			next.anchor = anchor{xid, r.ID, r.At.UnixMicro()}
		}
	}
	if t.more {
		next.upto, next.seq = t.upto, t.rows[len(t.rows)-1].Seq
		return next, nil
	}
	if at.upto != "" && at.seen == 0 { // a tick begun in format 1, whose highest transaction id is not known
		next.from, next.upto, next.seq = t.upto, "", 0
		return next, nil
	}
	next.upto, next.seq = "", 0
	next.from, err = t.upto.before(max(done.max, next.anchor.xid+1))
	return next, err
}
