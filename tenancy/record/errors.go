package record

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Errors that callers branch on with errors.Is, besides tenancy.ErrNotFound and tenancy.ErrStale. The first four are
// matched by a *ConstraintError.
var (
	// ErrConflict reports that another record has a value that must be unique, or that excludes this one.
	ErrConflict = errors.New("record: conflicts with another record")

	// ErrReference reports a reference to a record that does not exist, or that a record cannot be removed because another
	// one refers to it.
	ErrReference = errors.New("record: reference to a missing record, or from an existing one")

	// ErrCheck reports a value that a check constraint refuses.
	ErrCheck = errors.New("record: refused by a check of the database")

	// ErrRequired reports a null where a value is needed.
	ErrRequired = errors.New("record: a value is missing")

	// ErrCursor reports a cursor that was changed, belongs to another tenant, table, order or filter, or was sealed with a
	// key that is not known any more. Begin at the first page again.
	ErrCursor = errors.New("record: cursor is not valid here; begin at the first page")

	// ErrArgument reports an argument of a Page to which no cursor can be bound, because it holds a function or a channel,
	// refers to itself, or is a driver.Valuer that fails.
	ErrArgument = errors.New("record: a cursor cannot be bound to this argument")
)

// ConstraintError is what PostgreSQL says about a constraint. It matches the sentinel of its kind and the error of the
// server (*pgconn.PgError). Its text has no values.
type ConstraintError struct {
	Kind       error    // ErrConflict, ErrReference, ErrCheck or ErrRequired
	Table      string   // without the schema
	Constraint string   // empty for ErrRequired
	Columns    []string // without the tenant; nil if they are not known, as for a check that was not declared
	Err        error
}

// Error says what, where and why, without values.
func (e *ConstraintError) Error() string {
	var b strings.Builder
	b.WriteString(e.Kind.Error() + ": " + e.Table)
	if len(e.Columns) > 0 {
		b.WriteString(" (" + strings.Join(e.Columns, ", ") + ")")
	}
	if e.Constraint != "" {
		b.WriteString(", constraint " + e.Constraint)
	}
	return b.String()
}

// Unwrap returns the sentinel and what the server said.
func (e *ConstraintError) Unwrap() []error { return []error{e.Kind, e.Err} }

// kindOf returns the sentinel for a SQLSTATE, or nil.
func kindOf(code string) error {
	switch code {
	case "23505", "23P01":
		return ErrConflict
	case "23503", "23001":
		return ErrReference
	case "23514":
		return ErrCheck
	case "23502":
		return ErrRequired
	}
	return nil
}

// Explain makes a *ConstraintError of a constraint's violation anywhere in err, and returns any other error as it is. All
// methods but SaveLater do so themselves; its errors come from the unit, as in
//
//	err := notes.Explain(db.Do(ctx, fn))
func (t *Table[T]) Explain(err error) error { return t.explain(err) }

func (p *plan) explain(err error) error {
	var answer *pgconn.PgError
	if err == nil || !errors.As(err, &answer) || kindOf(answer.Code) == nil {
		return err
	}
	if _, done := errors.AsType[*ConstraintError](err); done {
		return err
	}
	e := &ConstraintError{Kind: kindOf(answer.Code), Table: answer.TableName, Constraint: answer.ConstraintName, Err: err}
	if answer.ColumnName != "" {
		e.Columns = []string{answer.ColumnName}
	} else {
		e.Columns = p.known.columns(answer)
	}
	return e
}
