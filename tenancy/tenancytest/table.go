package tenancytest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
)

// Table holds rows of type T by key, for each tenant its own. Its methods act in the unit of work of ctx, or in one of
// their own. Values are stored as they are: a T with pointers inside is shared with the caller.
type Table[K comparable, T any] struct{ kit *Kit }

// NewTable returns an empty table of the kit.
func NewTable[K comparable, T any](k *Kit) *Table[K, T] { return &Table[K, T]{kit: k} }

// Get returns a row, or tenancy.ErrNotFound.
func (t *Table[K, T]) Get(ctx context.Context, key K) (row T, err error) {
	found := false
	err = t.kit.in(ctx, func(tx *memTx) error {
		c, err := t.cell(tx, key)
		if err != nil {
			return err
		}
		var v any
		if v, found = tx.read(c); found {
			row = v.(T)
		}
		return nil
	})
	if err == nil && !found {
		err = tenancy.ErrNotFound
	}
	return row, err
}

// Put inserts or replaces a row.
func (t *Table[K, T]) Put(ctx context.Context, key K, row T) error {
	return t.write(ctx, key, row, true)
}

// Delete removes a row if it exists.
func (t *Table[K, T]) Delete(ctx context.Context, key K) error {
	return t.write(ctx, key, nil, false)
}

// All returns the rows in the order of their insertion.
func (t *Table[K, T]) All(ctx context.Context) (rows []T, err error) {
	err = t.kit.in(ctx, func(tx *memTx) error {
		rows = []T{}
		for _, v := range tx.scan(t) {
			rows = append(rows, v.(T))
		}
		return nil
	})
	return rows, err
}

func (t *Table[K, T]) write(ctx context.Context, key K, row any, exists bool) error {
	return t.kit.in(ctx, func(tx *memTx) error {
		if tx.readOnly {
			return pgError("25006", "cannot write in a read-only transaction")
		}
		c, err := t.cell(tx, key)
		if err != nil {
			return err
		}
		tx.read(c) // so that a concurrent writer is noticed
		tx.add(write{c, row, exists})
		return nil
	})
}

func (t *Table[K, T]) cell(tx *memTx, key K) (cell, error) {
	if tx.tenant == "" {
		return cell{}, errors.New("tenancytest: a row is addressed by tenant and key; set the tenant before System")
	}
	return cell{table: t, tenant: tx.tenant, key: key}, nil
}

// memTx is one transaction.
type memTx struct {
	kit          *Kit
	tenant       string
	system       bool
	readOnly     bool
	serializable bool
	lockWait     time.Duration // zero means no bound
	writes       []write
	saves        []save
	locks        []int64
	wants        *int64         // the lock that it waits for; guarded by the kit's mu
	seen         map[cell]int64 // the commit of each row when it was first looked at
	index        map[cell][]int // the writes of each row

	// Of package record.
	now    time.Time
	locked map[cell]bool        // rows that were read for update
	keys   map[string]*rowTable // unique keys that were written
}

// add writes a row.
func (tx *memTx) add(w write) {
	if tx.index == nil {
		tx.index = map[cell][]int{}
	}
	tx.index[w.cell] = append(tx.index[w.cell], len(tx.writes))
	tx.writes = append(tx.writes, w)
}

// truncate undoes all writes but the first n.
func (tx *memTx) truncate(n int) {
	for _, w := range tx.writes[n:] {
		if at := tx.index[w.cell]; len(at) > 1 {
			tx.index[w.cell] = at[:len(at)-1]
		} else {
			delete(tx.index, w.cell)
		}
	}
	tx.writes = tx.writes[:n]
}

// final is the row as it is when the transaction commits. The caller holds the kit's mu.
func (tx *memTx) final(c cell) (value any, exists bool) {
	if at := tx.index[c]; len(at) > 0 {
		w := tx.writes[at[len(at)-1]]
		return w.value, w.exists
	}
	if v := tx.kit.cells[c]; v != nil {
		return v.value, v.exists
	}
	return nil, false
}

type write struct {
	cell
	value  any
	exists bool
}

type save struct {
	name   string
	writes int
	locks  int
}

// read returns the transaction's own version of a row or else the committed one.
func (tx *memTx) read(c cell) (any, bool) {
	tx.kit.mu.Lock()
	defer tx.kit.mu.Unlock()
	if _, ok := tx.seen[c]; !ok {
		tx.seen[c] = tx.kit.at(c)
	}
	return tx.final(c)
}

// checks tells whether a change of c by others spoils the commit.
func (tx *memTx) checks(c cell) bool {
	return tx.serializable || len(tx.index[c]) > 0 || tx.locked[c]
}

// scan returns the rows of a table that the transaction sees.
func (tx *memTx) scan(table any) []any {
	type found struct {
		cell
		order int64
	}
	var list []found
	tx.kit.mu.Lock()
	add := func(c cell, order int64) {
		if c.table == table && (c.tenant == tx.tenant || tx.system && tx.tenant == "") {
			list = append(list, found{c, order})
		}
	}
	for c, v := range tx.kit.cells {
		order := v.order
		if !v.exists {
			order = 1 << 62
		}
		add(c, order)
	}
	for i, w := range tx.writes {
		if tx.kit.cells[w.cell] == nil {
			add(w.cell, 1<<62+int64(i))
		}
	}
	tx.kit.mu.Unlock()
	slices.SortStableFunc(list, func(a, b found) int { return cmp.Compare(a.order, b.order) })
	var rows []any
	done := map[cell]bool{}
	for _, f := range list {
		if v, ok := tx.read(f.cell); ok && !done[f.cell] {
			rows = append(rows, v)
		}
		done[f.cell] = true
	}
	return rows
}

type memKey struct{}

// in runs fn in the transaction of the statement that ctx belongs to, or as a statement of its own.
func (k *Kit) in(ctx context.Context, fn func(*memTx) error) error {
	if k.server != nil {
		return errors.New("tenancytest: a Table lives in memory; on PostgreSQL store through SQL")
	}
	if tx, ok := ctx.Value(memKey{}).(*memTx); ok && tx.kit == k {
		return fn(tx)
	}
	statement := call(func(tx *memTx) error {
		if tx.kit != k {
			return errors.New("tenancytest: the unit of work and the table belong to different kits")
		}
		return fn(tx)
	})
	if tx, ok := tenancy.TxFrom(ctx); ok { // of any DB on this kit
		_, err := tx.Exec(ctx, callSQL, statement)
		return err
	}
	return k.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, callSQL, statement)
		return err
	})
}

// call is the argument of the pseudo-statement by which a Table runs inside a unit.
type call func(*memTx) error

const callSQL = "tenancytest: table"
