package tenancytest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// tickRow has the columns of the relay's query.
type tickRow struct {
	Seq     int64     `db:"seq"`
	ID      string    `db:"id"`
	Tenant  string    `db:"tenant_id"`
	Type    string    `db:"type"`
	Key     string    `db:"key"`
	Payload []byte    `db:"payload"`
	At      time.Time `db:"at"`
	Upto    string    `db:"upto"`
}

type mark struct{ consumer, event string }

// handleOwn answers the statements that tenancy and outbox send by themselves.
func (k *Kit) handleOwn() {
	marks := NewTable[mark, bool](k)
	k.Handle(sqltext.Once, func(ctx context.Context, args ...any) (result any, err error) {
		err = k.in(ctx, func(tx *memTx) error {
			if tx.readOnly {
				return pgError("25006", "cannot write in a read-only transaction")
			}
			c := cell{table: marks, tenant: tx.tenant, key: mark{args[0].(string), args[1].(string)}}
			if _, done := tx.read(c); done {
				result = Affected(0)
				return nil
			}
			tx.add(write{c, true, true})
			result = Affected(1)
			return nil
		})
		return result, err
	})
	k.Handle(sqltext.Committed, func(_ context.Context, args ...any) (any, error) {
		for _, e := range k.Events() {
			if e.ID == args[1].(string) {
				return true, nil
			}
		}
		for _, e := range k.Audits() {
			if e.ID == args[1].(string) {
				return true, nil
			}
		}
		return false, nil
	})
	k.Handle(sqltext.Tick, k.tick)
}

// tick answers the relay. Commits are numbered and seen in order here, so a snapshot is the number of the next one.
func (k *Kit) tick(ctx context.Context, args ...any) (any, error) {
	if tx := ctx.Value(memKey{}).(*memTx); !tx.system {
		return nil, pgError("42501", "permission denied for table outbox")
	}
	from, err := xmax(args[0].(string))
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	next := k.commits + 1
	if upto := args[1].(*string); upto != nil {
		if next, err = xmax(*upto); err != nil {
			return nil, err
		}
	}
	rows := []tickRow{}
	for i, e := range k.log {
		seq := int64(i + 1)
		if e.xid < from || e.xid >= next || seq <= args[2].(int64) || len(rows) == args[3].(int) {
			continue
		}
		rows = append(rows, tickRow{seq, e.ID, e.Tenant, e.Type, e.Key, e.Payload, e.At, fmt.Sprintf("%d:%d:", next, next)})
	}
	return rows, nil
}

func xmax(snapshot string) (int64, error) {
	parts := strings.Split(snapshot, ":")
	if len(parts) != 3 {
		return 0, pgError("22P02", "invalid input syntax for type pg_snapshot")
	}
	n, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return 0, pgError("22P02", "invalid input syntax for type pg_snapshot")
	}
	return n, nil
}

var _ tenancy.Session = (*session)(nil)
