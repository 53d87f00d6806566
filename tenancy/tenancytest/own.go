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
	Upto    string    `db:"upto"`
	Log     string    `db:"log"`
	Now     time.Time `db:"now"`
	Known   bool      `db:"known"`
	Found   int64     `db:"found"`
	Seq     int64     `db:"seq"`
	XID     int64     `db:"xid"`
	ID      string    `db:"id"`
	Tenant  string    `db:"tenant_id"`
	Type    string    `db:"type"`
	Key     string    `db:"key"`
	Payload []byte    `db:"payload"`
	At      time.Time `db:"at"`
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
	k.handleProjections()
	k.Handle(sqltext.SaveSink, func(context.Context, ...any) (any, error) { return Affected(1), nil }) // nothing is ever dropped
}

// handleProjections keeps the positions of sinks that live in the database.
func (k *Kit) handleProjections() {
	table := new(int) // rows of nobody
	k.Handle(sqltext.ProjectionPosition, func(ctx context.Context, args ...any) (any, error) {
		if position, ok := ctx.Value(memKey{}).(*memTx).read(cell{table: table, key: args[0]}); ok {
			return position, nil
		}
		return nil, nil
	})
	move := func(ctx context.Context, name, from, to any) Affected {
		tx := ctx.Value(memKey{}).(*memTx)
		c := cell{table: table, key: name}
		if position, _ := tx.read(c); position != from {
			return 0
		}
		tx.add(write{c, to, true})
		return 1
	}
	k.Handle(sqltext.ProjectionBegin, func(ctx context.Context, args ...any) (any, error) {
		return move(ctx, args[0], nil, args[1]), nil
	})
	k.Handle(sqltext.ProjectionMove, func(ctx context.Context, args ...any) (any, error) {
		return move(ctx, args[0], args[1], args[2]), nil
	})
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
	head := tickRow{Upto: fmt.Sprintf("%d:%d:", next, next), Log: "memory", Now: time.Now().UTC(), Known: true}
	rows, found, size := []tickRow{}, 0, 0
	anchor, _ := args[6].(string)
	head.Known = anchor == ""
	for i, e := range k.log {
		seq := int64(i + 1)
		head.Known = head.Known || e.ID == anchor
		if e.xid < from || e.xid >= next || seq <= args[2].(int64) || found == args[3].(int) {
			continue
		}
		found++
		if size += len(e.Payload); size > int(args[4].(int64)) && size > len(e.Payload) {
			continue
		}
		rows = append(rows, tickRow{
			Seq: seq, XID: e.xid, ID: e.ID, Tenant: e.Tenant, Type: e.Type, Key: e.Key, Payload: e.Payload, At: e.At,
		})
	}
	if len(rows) == 0 {
		rows = append(rows, tickRow{At: head.Now})
	}
	for i := range rows {
		rows[i].Upto, rows[i].Log, rows[i].Now, rows[i].Known, rows[i].Found = head.Upto, head.Log, head.Now, head.Known, int64(found)
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
