package tenancytest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqlexpr"
)

// rowTable is a table of package record. Its rows are cells, like those of a Table.
type rowTable struct {
	cells  []cell                   // that were ever written, in that order
	known  map[cell]bool            // the same
	index  map[string]map[cell]bool // cells that ever had a unique key: where to look for it
	serial map[string]int64         // last value of integer keys that the database makes
}

// memRow is a row. It is never changed, only replaced.
type memRow struct {
	tenant string
	values map[string]any    // plain values by column
	keys   map[string]string // what it is in unique indexes, by their names
}

// rowStmt is a statement of package record on its way through a transaction.
type rowStmt struct {
	rowop.Op
	kit   *Kit
	tx    *memTx
	table *rowTable
	now   time.Time
}

// rows answers a statement of package record.
func (s *session) rows(op rowop.Op) (resultSet, error) {
	for _, arg := range op.Args {
		if !storable(sqlexpr.Plain(arg)) {
			return resultSet{}, pgError("22021", "invalid byte sequence for encoding \"UTF8\"")
		}
	}
	st := &rowStmt{Op: op, kit: s.kit, tx: s.tx, table: s.kit.rowTable(op.Table), now: s.tx.time()}
	var set resultSet
	var err error
	switch op.Kind {
	case rowop.Insert:
		set, err = st.insert()
	case rowop.Update:
		set, err = st.update()
	case rowop.Delete:
		set, err = st.delete()
	case rowop.Catalog: // there is none
	default:
		set, err = st.read()
	}
	if s.tx.overtaken() { // asked last: what the statement saw may be that change
		return resultSet{}, pgError("40001", "a locked row was changed meanwhile: PostgreSQL would have let the other one wait")
	}
	if at, ok := errors.AsType[*sqlexpr.Error](err); ok {
		err = pgError(at.Code, "tenancytest: "+at.Message)
	}
	return set, asServer(err)
}

// rowTable returns the table, made at its first use.
func (k *Kit) rowTable(t *rowop.Table) *rowTable {
	k.mu.Lock()
	defer k.mu.Unlock()
	table := k.rowTables[t.String()]
	if table == nil {
		table = &rowTable{known: map[cell]bool{}, index: map[string]map[cell]bool{}, serial: map[string]int64{}}
		k.rowTables[t.String()] = table
	}
	return table
}

// time is the time of the transaction, as now() is in PostgreSQL.
func (tx *memTx) time() time.Time {
	if tx.now.IsZero() {
		tx.now = time.Now().UTC().Truncate(time.Microsecond)
	}
	return tx.now
}

// found is a row with its place.
type found struct {
	cell
	row *memRow
}

// read answers Select, Count and Exists.
func (st *rowStmt) read() (resultSet, error) {
	list, err := st.matching()
	if err != nil {
		return resultSet{}, err
	}
	switch st.Kind {
	case rowop.Count:
		return newResultSet(int64(len(list)))
	case rowop.Exists:
		return newResultSet(len(list) > 0)
	}
	if err := st.sort(list); err != nil {
		return resultSet{}, err
	}
	if st.Limit != "" {
		n, err := st.eval(st.Limit, nil, nil)
		if err != nil {
			return resultSet{}, err
		}
		limit, ok := n.(int64)
		if !ok || limit < 0 {
			return resultSet{}, pgError("2201W", "LIMIT must not be negative")
		}
		list = list[:min(int64(len(list)), limit)]
	}
	if st.Lock != "" {
		if st.tx.readOnly {
			return resultSet{}, pgError("25006", "cannot execute SELECT FOR UPDATE in a read-only transaction")
		}
		for _, f := range list {
			st.tx.lockRow(f.cell)
		}
	}
	return st.answer(list)
}

// lockRow makes the transaction fail to commit if somebody else changes the row: nothing waits here.
func (tx *memTx) lockRow(c cell) {
	if tx.locked == nil {
		tx.locked = map[cell]bool{}
	}
	tx.locked[c] = true
}

// overtaken tells whether somebody else has changed a row that the transaction locked.
func (tx *memTx) overtaken() bool {
	tx.kit.mu.Lock()
	defer tx.kit.mu.Unlock()
	for c := range tx.locked {
		if tx.kit.at(c) != tx.seen[c] {
			return true
		}
	}
	return false
}

// answer makes the result of rows.
func (st *rowStmt) answer(list []found) (resultSet, error) {
	return st.answerBoth(nil, list)
}

// answerBoth is answer with the rows as they were, for Stmt.Old.
func (st *rowStmt) answerBoth(old, list []found) (resultSet, error) {
	set := resultSet{affected: int64(len(list))}
	if len(st.Returning) == 0 {
		return set, nil
	}
	for i, f := range list {
		states := []*memRow{f.row}
		if st.Old {
			states = []*memRow{old[i].row, f.row}
		}
		var row []any
		for _, state := range states {
			for _, c := range st.Returning {
				v, err := goValue(c, st.value(state, c.Name))
				if err != nil {
					return set, fmt.Errorf("tenancytest: column %s of %s: %w", c.Name, st.Table, err)
				}
				row = append(row, v)
				if i == 0 {
					set.columns = append(set.columns, c.Name)
				}
			}
		}
		set.rows = append(set.rows, row)
	}
	return set, nil
}

// value returns a column of a row. The tenant's is no field.
func (st *rowStmt) value(row *memRow, name string) any {
	if st.Table.Tenant != "" && name == st.Table.Tenant {
		return row.tenant
	}
	return row.values[name]
}

// visible returns the rows that the policies show to the transaction.
func (st *rowStmt) visible() []found {
	st.kit.mu.Lock()
	cells := slices.Clone(st.table.cells)
	st.kit.mu.Unlock()
	var list []found
	for _, c := range cells {
		if !st.mine(c.tenant) {
			continue
		}
		if v, ok := st.tx.read(c); ok {
			list = append(list, found{c, v.(*memRow)})
		}
	}
	return list
}

func (st *rowStmt) mine(tenant string) bool {
	return st.Table.Tenant == "" || st.tx.system || tenant == st.tx.tenant
}

// matching returns the visible rows for which the condition holds.
func (st *rowStmt) matching() ([]found, error) {
	if st.Table.Tenant != "" && st.tx.tenant == "" && !st.tx.system {
		return nil, pgError("42501", "tenancy: no tenant in this transaction")
	}
	if st.Where == "" {
		return st.visible(), nil
	}
	cond, err := st.kit.parse(st.Where)
	if err != nil {
		return nil, err
	}
	candidates, ok, err := st.byKey(cond)
	if err != nil {
		return nil, err
	}
	if !ok {
		candidates = st.visible()
	}
	var list []found
	for _, f := range candidates {
		ok, err := sqlexpr.True(cond, st.env(f.row, nil))
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, f)
		}
	}
	return list, nil
}

// byKey finds the row of a condition that says what the primary key is.
func (st *rowStmt) byKey(cond sqlexpr.Node) ([]found, bool, error) {
	keys := st.Table.Keys()
	if len(keys) != 1 || st.tx.system && st.tx.tenant == "" && st.Table.Tenant != "" {
		return nil, false, nil
	}
	for _, n := range sqlexpr.Conjuncts(cond) {
		b, ok := n.(*sqlexpr.Binary)
		if !ok || b.Op != "=" {
			continue
		}
		column, ok := b.Left.(*sqlexpr.Column)
		param, isParam := b.Right.(*sqlexpr.Param)
		if !ok || !isParam || column.Name != keys[0].Name || param.N > len(st.Args) {
			continue
		}
		key, err := keyValue(keys[0], sqlexpr.Plain(st.Args[param.N-1]))
		if err != nil {
			return nil, false, err
		}
		c := cell{table: st.table, tenant: st.home(), key: keyText([]any{key})}
		v, ok := st.tx.read(c)
		if !ok {
			return nil, true, nil
		}
		return []found{{c, v.(*memRow)}}, true, nil
	}
	return nil, false, nil
}

// home is the tenant of the rows that the transaction makes.
func (st *rowStmt) home() string {
	if st.Table.Tenant == "" {
		return ""
	}
	return st.tx.tenant
}

// env evaluates expressions on a row; excluded is the row of an insert that met it.
func (st *rowStmt) env(row, excluded *memRow) *sqlexpr.Env {
	return &sqlexpr.Env{
		Now: st.now,
		Column: func(table, name string) (any, bool) {
			from := row
			switch table {
			case "excluded":
				from = excluded
			case "", "t":
			default:
				return nil, false
			}
			if from == nil || st.Table.Column(name) == nil && (name != st.Table.Tenant || name == "") {
				return nil, false
			}
			return typed(st.Table.Column(name), st.value(from, name)), true
		},
		Param: func(n int) (any, bool) {
			if n > len(st.Args) {
				return nil, false
			}
			return sqlexpr.Plain(st.Args[n-1]), true
		},
	}
}

func (st *rowStmt) eval(text string, row, excluded *memRow) (any, error) {
	n, err := st.kit.parse(text)
	if err != nil {
		return nil, err
	}
	return sqlexpr.Eval(n, st.env(row, excluded))
}

// parse remembers expressions, which are few: arguments are no part of them.
func (k *Kit) parse(text string) (sqlexpr.Node, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, ok := k.parsed[text]; ok {
		return n, nil
	}
	n, err := sqlexpr.Parse(text)
	if err == nil {
		k.parsed[text] = n
	}
	return n, err
}

// sort orders rows as Stmt.Order says.
func (st *rowStmt) sort(list []found) error {
	var failed error
	slices.SortStableFunc(list, func(a, b found) int {
		for _, o := range st.Order {
			x, y := typed(o.Column, st.value(a.row, o.Column.Name)), typed(o.Column, st.value(b.row, o.Column.Name))
			c, err := compareNulls(x, y, o)
			if err != nil {
				failed = err
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return failed
}

func compareNulls(x, y any, o rowop.Order) (int, error) {
	first := 1
	if o.NullsFirst {
		first = -1
	}
	switch {
	case x == nil && y == nil:
		return 0, nil
	case x == nil:
		return first, nil
	case y == nil:
		return -first, nil
	}
	c, err := sqlexpr.Compare(x, y)
	if o.Desc {
		c = -c
	}
	return c, err
}

// keyText makes one text of the values of a key.
func keyText(values []any) string {
	var b strings.Builder
	for _, v := range values {
		text := fmt.Sprint(v)
		fmt.Fprintf(&b, "%d:%s,", len(text), text)
	}
	return b.String()
}
