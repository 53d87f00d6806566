package record

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

//go:embed catalog.sql
var catalogSQL string

// object is a row of the catalog.
type object struct {
	Kind     string
	Name     string
	Columns  []string
	Type     string // of a column; the predicate of a unique index
	Required bool   // a column: not null; a unique index: the primary key
	Made     bool   // a column with a default, generated or an identity
}

// Verify compares the struct and the options with the table in the database, for a test or the start of a program, and
// reports every difference that makes a method fail, or the in-memory kit answer otherwise than PostgreSQL: columns that are
// missing, of another kind, or null where the field is not; columns that an insert would have to know; unique indexes that
// are not declared, and what is declared but missing. It also learns the columns of all constraints for ConstraintError.
// One round trip; the in-memory kit has nothing to compare.
func (t *Table[T]) Verify(ctx context.Context, q tenancy.Querier) error {
	s := rowop.New(rowop.Stmt{Kind: rowop.Catalog, Table: t.table, Where: catalogSQL})
	op := rowop.Op{Stmt: s, Args: []any{t.table.Ident()}}
	var list []object
	known := false
	err := q.Scan(ctx, func(rows pgx.Rows) (err error) {
		if known = len(rows.FieldDescriptions()) > 0; known {
			list, err = pgx.CollectRows(rows, pgx.RowToStructByName[object])
		}
		return err
	}, op.Label(), op)
	if err != nil || !known {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("record: verify %s: there is no such table, or its schema is not granted", t.table)
	}
	t.known.learn(list)
	var problems []error
	for _, p := range slices.Concat(t.verifyColumns(list), t.verifyUnique(list), t.verifyChecks(list)) {
		problems = append(problems, fmt.Errorf("record: verify %s: %s", t.table, p))
	}
	return errors.Join(problems...)
}

func (p *plan) verifyColumns(list []object) (problems []string) {
	columns := map[string]object{}
	for _, o := range list {
		if o.Kind == "column" {
			columns[o.Name] = o
		}
	}
	for _, f := range p.fields {
		o, ok := columns[f.Name]
		switch {
		case !ok:
			problems = append(problems, fmt.Sprintf("field %s has no column %s", f.path, f.Name))
		case !fits(f, o.Type):
			problems = append(problems, fmt.Sprintf("column %s is %s, field %s wants %s", f.Name, o.Type, f.path, f.SQL))
		case !o.Required && !f.Nullable && f.Name != p.table.Tenant:
			problems = append(problems, fmt.Sprintf("column %s may be null, field %s may not: make it a pointer or the column not null", f.Name, f.path))
		}
		delete(columns, f.Name)
	}
	if p.table.Tenant != "" && p.table.Column(p.table.Tenant) == nil {
		if _, ok := columns[p.table.Tenant]; !ok {
			problems = append(problems, fmt.Sprintf("there is no tenant column %s; a table of no tenant has Options.Tenant -", p.table.Tenant))
		}
		delete(columns, p.table.Tenant)
	}
	for _, o := range list {
		if _, left := columns[o.Name]; left && o.Kind == "column" && o.Required && !o.Made {
			problems = append(problems, fmt.Sprintf("column %s is required and has neither a field nor a default", o.Name))
		}
	}
	return problems
}

// fits tells whether a column's type holds what the field holds.
func fits(f *field, kind string) bool {
	if kind == strings.Replace(f.SQL, "timestamptz", "timestamp with time zone", 1) { // the catalog's name of it
		return true
	}
	switch f.Class {
	case rowop.Int:
		return slices.Contains([]string{"bigint", "integer", "smallint"}, kind)
	case rowop.Float:
		return slices.Contains([]string{"double precision", "real", "numeric"}, kind)
	case rowop.Text:
		return slices.Contains([]string{"text", "character varying", "character", "citext", "name"}, kind)
	case rowop.Time:
		return slices.Contains([]string{"timestamp without time zone", "date"}, kind)
	case rowop.JSON:
		return kind == "json"
	case rowop.Opaque:
		return true
	}
	return false
}

func (p *plan) verifyUnique(list []object) (problems []string) {
	found := map[string]bool{}
	for _, o := range list {
		if o.Kind != "unique" {
			continue
		}
		columns, all := o.Columns, true
		if p.table.Tenant != "" && len(columns) > 0 && columns[0] == p.table.Tenant {
			columns, all = columns[1:], false
		}
		all = all && p.table.Tenant != ""
		i := slices.IndexFunc(p.table.Unique, func(u rowop.Unique) bool {
			return slices.Equal(u.Columns, columns) && u.AllTenants == all && (u.Where == "") == (o.Type == "")
		})
		switch {
		case i < 0:
			problems = append(problems, fmt.Sprintf("unique index %s (%s) is not declared in Options.Unique", o.Name, strings.Join(o.Columns, ", ")))
		case p.table.Unique[i].Name != o.Name:
			problems = append(problems, fmt.Sprintf("unique index %s is declared with the name %s", o.Name, p.table.Unique[i].Name))
		default:
			found[o.Name] = true
		}
	}
	for _, u := range p.table.Unique {
		if !found[u.Name] {
			problems = append(problems, fmt.Sprintf("unique index %s (%s) is declared, but not there so", u.Name, strings.Join(u.Columns, ", ")))
		}
	}
	return problems
}

func (p *plan) verifyChecks(list []object) (problems []string) {
	for _, check := range p.table.Checks {
		if !slices.ContainsFunc(list, func(o object) bool { return o.Kind == "check" && o.Name == check.Name }) {
			problems = append(problems, fmt.Sprintf("check %s is declared, but not there", check.Name))
		}
	}
	return problems
}
