package tenancytest

import (
	"maps"
	"slices"

	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqlexpr"
)

// twin returns another row with the same key in a unique index, and notes the key in row. Nulls have no key.
func (st *rowStmt) twin(u rowop.Unique, row *memRow, self *found) (found, error) {
	if u.Where != "" {
		cond, err := st.kit.parse(u.Where)
		if err != nil {
			return found{}, err
		}
		if ok, err := sqlexpr.True(cond, st.env(row, nil)); !ok {
			return found{}, err
		}
	}
	parts := []any{u.Name}
	if !u.AllTenants {
		parts = append(parts, row.tenant)
	}
	for _, name := range u.Columns {
		if row.values[name] == nil {
			return found{}, nil
		}
		parts = append(parts, row.values[name])
	}
	key := keyText(parts)
	if row.keys == nil {
		row.keys = map[string]string{}
	}
	row.keys[u.Name] = key
	st.kit.mu.Lock()
	cells := slices.Collect(maps.Keys(st.table.index[key]))
	st.kit.mu.Unlock()
	for _, c := range cells {
		if self != nil && c == self.cell {
			continue
		}
		if v, ok := st.tx.read(c); ok && v.(*memRow).keys[u.Name] == key {
			return found{c, v.(*memRow)}, nil
		}
	}
	return found{}, nil
}

// remember adds a written row to the indexes, which are shared by all transactions: whoever looks there looks at the row
// as his transaction sees it.
func (t *rowTable) remember(tx *memTx, f found) {
	tx.kit.mu.Lock()
	defer tx.kit.mu.Unlock()
	if !t.known[f.cell] {
		t.known[f.cell] = true
		t.cells = append(t.cells, f.cell)
	}
	if tx.keys == nil {
		tx.keys = map[string]*rowTable{}
	}
	for _, key := range f.row.keys {
		if t.index[key] == nil {
			t.index[key] = map[cell]bool{}
		}
		t.index[key][f.cell] = true
		tx.keys[key] = t
	}
}

// sameKey tells whether a concurrent transaction has committed a row with a key that tx wants to commit. PostgreSQL makes
// the second one wait; here it is refused and run again, and sees the row then. The caller holds mu.
func (k *Kit) sameKey(tx *memTx) bool {
	for key, t := range tx.keys {
		holders := 0
		for c := range t.index[key] {
			value, exists := tx.final(c)
			if !exists {
				continue
			}
			for _, has := range value.(*memRow).keys {
				if has == key {
					holders++
				}
			}
		}
		if holders > 1 {
			return true
		}
	}
	return false
}
