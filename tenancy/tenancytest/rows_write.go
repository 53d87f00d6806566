package tenancytest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlexpr"
)

// insert answers Insert, one row or many.
func (st *rowStmt) insert() (resultSet, error) {
	if err := st.mayWrite(); err != nil {
		return resultSet{}, err
	}
	if st.Table.Tenant != "" && st.tx.tenant == "" {
		return resultSet{}, pgError("42501", "tenancy: no tenant in this transaction")
	}
	args := [][]any{st.Args}
	if st.Bulk {
		arrays := 0
		for _, v := range st.Values {
			if v == "" {
				arrays++
			}
		}
		args = transpose(st.Args[:min(arrays, len(st.Args))])
	}
	var list []found
	met := map[cell]bool{}
	for _, row := range args {
		f, ok, err := st.insertRow(row, met)
		if err != nil {
			return resultSet{}, err
		}
		if ok {
			list = append(list, f)
		}
	}
	if st.Now {
		return newResultSet(st.now)
	}
	return st.answer(list)
}

// transpose makes rows of arrays.
func transpose(columns []any) [][]any {
	if len(columns) == 0 {
		return nil
	}
	rows := make([][]any, reflect.ValueOf(columns[0]).Len())
	for i := range rows {
		for _, c := range columns {
			rows[i] = append(rows[i], reflect.ValueOf(c).Index(i).Interface())
		}
	}
	return rows
}

// insertRow writes one row; ok is false when a conflict left it out.
func (st *rowStmt) insertRow(args []any, met map[cell]bool) (f found, ok bool, err error) {
	row := &memRow{tenant: st.home(), values: map[string]any{}}
	n := 0
	for i, c := range st.Columns {
		var v any
		if st.Values[i] == "" {
			v = sqlexpr.Plain(args[n])
			if text, ok := v.(string); ok && st.Bulk && !c.Native() {
				if v, err = fromText(c, text); err != nil {
					return f, false, err
				}
			}
			n++
		} else if v, err = st.eval(st.Values[i], nil, nil); err != nil {
			return f, false, err
		}
		if c.Name == st.Table.Tenant && c.Name != "" {
			if v != row.tenant {
				return f, false, pgError("42501", "new row violates row-level security policy for table "+st.Table.Name)
			}
			continue
		}
		if row.values[c.Name], err = plainValue(c, v); err != nil {
			return f, false, err
		}
	}
	if err := st.complete(row); err != nil {
		return f, false, err
	}
	if st.Conflict != nil {
		if err := st.check(row); err != nil { // before it is known whether the row will be there
			return f, false, err
		}
		old, err := st.arbiter(row)
		if err != nil {
			return f, false, err
		}
		if old.row != nil {
			return st.onConflict(old, row, met)
		}
	}
	f, err = st.store(row, nil)
	met[f.cell] = true
	return f, err == nil, err
}

// complete sets what an insert does not write.
func (st *rowStmt) complete(row *memRow) error {
	for _, c := range st.Table.Columns {
		if _, written := row.values[c.Name]; written || c.Name == st.Table.Tenant || c.Expr != "" {
			continue
		}
		switch {
		case c.Auto:
			st.kit.mu.Lock()
			st.table.serial[c.Name]++
			row.values[c.Name] = st.table.serial[c.Name]
			st.kit.mu.Unlock()
		case c.Default != "":
			v, err := st.eval(c.Default, nil, nil)
			if err == nil {
				row.values[c.Name], err = plainValue(c, v)
			}
			if err != nil {
				return err
			}
		case c.Nullable:
			row.values[c.Name] = nil
		default:
			return pgError("0A000", fmt.Sprintf("tenancytest: what the database sets column %s of %s to is not known; "+
				"say it with a tag default or expr, or run this test on PostgreSQL", c.Name, st.Table))
		}
	}
	return nil
}

// arbiter returns the row that a conflict clause is about.
func (st *rowStmt) arbiter(row *memRow) (found, error) {
	for _, u := range st.Table.Unique {
		if !slices.Equal(u.Columns, st.Conflict.Columns) || u.AllTenants != st.Conflict.AllTenants || u.Where != st.Conflict.Where {
			continue
		}
		return st.twin(u, row, nil)
	}
	return found{}, pgError("42P10", "tenancytest: there is no unique constraint for the columns of this upsert; "+
		"if PostgreSQL has one, name it in record.Options.Unique")
}

func (st *rowStmt) onConflict(old found, row *memRow, met map[cell]bool) (found, bool, error) {
	switch {
	case st.Conflict.Set == "":
		return found{}, false, nil
	case met[old.cell]:
		return found{}, false, pgError("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time")
	case !st.mine(old.tenant):
		return found{}, false, pgError("42501", "new row violates row-level security policy for table "+st.Table.Name)
	}
	changed, err := st.assign(st.Conflict.Set, old.row, row)
	if err != nil {
		return found{}, false, err
	}
	f, err := st.store(changed, &old)
	met[f.cell] = true
	return f, err == nil, err
}

// update answers Update.
func (st *rowStmt) update() (resultSet, error) {
	if err := st.mayWrite(); err != nil {
		return resultSet{}, err
	}
	list, err := st.matching()
	if err != nil {
		return resultSet{}, err
	}
	old := slices.Clone(list)
	for i, f := range list {
		row, err := st.assign(st.Set, f.row, nil)
		if err != nil {
			return resultSet{}, err
		}
		if list[i], err = st.store(row, &f); err != nil {
			return resultSet{}, err
		}
	}
	return st.answerBoth(old, list)
}

// assign returns a copy of a row with assignments made; they all see the row as it was.
func (st *rowStmt) assign(set string, row, excluded *memRow) (*memRow, error) {
	list, err := st.kit.parseSet(set)
	if err != nil {
		return nil, err
	}
	changed := &memRow{tenant: row.tenant, values: maps.Clone(row.values)}
	for i, a := range list {
		if slices.ContainsFunc(list[:i], func(other sqlexpr.Assign) bool { return other.Column == a.Column }) {
			return nil, pgError("42601", fmt.Sprintf("multiple assignments to same column %q", a.Column))
		}
		c := st.Table.Column(a.Column)
		if c == nil || c.Expr != "" {
			return nil, pgError("42703", fmt.Sprintf("column %q of relation %q cannot be set", a.Column, st.Table.Name))
		}
		v, err := sqlexpr.Eval(a.Value, st.env(row, excluded))
		if err == nil {
			changed.values[c.Name], err = plainValue(c, v)
		}
		if err != nil {
			return nil, err
		}
	}
	return changed, nil
}

func (k *Kit) parseSet(text string) ([]sqlexpr.Assign, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if list, ok := k.parsedSets[text]; ok {
		return list, nil
	}
	list, err := sqlexpr.ParseSet(text)
	if err == nil {
		k.parsedSets[text] = list
	}
	return list, err
}

// delete answers Delete.
func (st *rowStmt) delete() (resultSet, error) {
	if err := st.mayWrite(); err != nil {
		return resultSet{}, err
	}
	list, err := st.matching()
	if err != nil {
		return resultSet{}, err
	}
	for _, f := range list {
		st.tx.add(write{f.cell, nil, false})
	}
	return st.answer(list)
}

func (st *rowStmt) mayWrite() error {
	if st.tx.readOnly {
		return pgError("25006", "cannot execute "+string(st.Kind)+" in a read-only transaction")
	}
	return nil
}

// store checks a row and writes it, in place of old unless that is nil.
func (st *rowStmt) store(row *memRow, old *found) (found, error) {
	if err := st.check(row); err != nil {
		return found{}, err
	}
	row.keys = map[string]string{}
	for _, u := range st.Table.Unique {
		twin, err := st.twin(u, row, old)
		if err != nil {
			return found{}, err
		}
		if twin.row != nil {
			err := pgError("23505", fmt.Sprintf("duplicate key value violates unique constraint %q", u.Name))
			err.SchemaName, err.TableName, err.ConstraintName = st.Table.Schema, st.Table.Name, u.Name
			if st.Table.Tenant == "" { // row-level security hides it
				err.Detail = "Key (" + strings.Join(u.Columns, ", ") + ")=(…) already exists."
			}
			return found{}, err
		}
	}
	key := []any{}
	for _, c := range st.Table.Keys() {
		key = append(key, row.values[c.Name])
	}
	f := found{cell{table: st.table, tenant: row.tenant, key: keyText(key)}, row}
	if old != nil && old.cell != f.cell { // the key changed
		st.tx.add(write{old.cell, nil, false})
	}
	st.tx.read(f.cell) // so that a concurrent writer is noticed
	st.tx.add(write{f.cell, row, true})
	st.table.remember(st.tx, f)
	return f, nil
}

// check computes generated columns, and refuses nulls and what checks do not allow.
func (st *rowStmt) check(row *memRow) error {
	for _, c := range st.Table.Columns {
		if c.Expr != "" {
			v, err := st.eval(c.Expr, row, nil)
			if err == nil {
				row.values[c.Name], err = plainValue(c, v)
			}
			if err != nil {
				return err
			}
		}
		if row.values[c.Name] == nil && !c.Nullable && c.Name != st.Table.Tenant {
			err := pgError("23502", fmt.Sprintf("null value in column %q of relation %q violates not-null constraint", c.Name, st.Table.Name))
			err.SchemaName, err.TableName, err.ColumnName = st.Table.Schema, st.Table.Name, c.Name
			return err
		}
	}
	for _, check := range st.Table.Checks {
		v, err := st.eval(check.Expr, row, nil)
		if err != nil {
			return err
		}
		if v == false {
			err := pgError("23514", fmt.Sprintf("new row for relation %q violates check constraint %q", st.Table.Name, check.Name))
			err.SchemaName, err.TableName, err.ConstraintName = st.Table.Schema, st.Table.Name, check.Name
			return err
		}
	}
	return nil
}
