package tenancytest

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// resultSet is the answer to one statement.
type resultSet struct {
	columns  []string
	rows     [][]any
	affected int64
	err      error
}

// newResultSet makes rows of what a Handler returned.
func newResultSet(result any) (resultSet, error) {
	if n, ok := result.(Affected); ok {
		return resultSet{affected: int64(n)}, nil
	}
	if result == nil {
		return resultSet{}, nil
	}
	v := reflect.ValueOf(result)
	if v.Kind() != reflect.Slice || v.Type().Elem().Kind() == reflect.Uint8 {
		one := reflect.MakeSlice(reflect.SliceOf(v.Type()), 0, 1)
		v = reflect.Append(one, v)
	}
	var set resultSet
	elem := v.Type().Elem()
	fields := columnsOf(elem)
	for _, f := range fields {
		set.columns = append(set.columns, columnName(f))
	}
	if fields == nil {
		set.columns = []string{"value"}
	}
	for i := range v.Len() {
		row := []any{v.Index(i).Interface()}
		if fields != nil {
			row = row[:0]
			for _, f := range fields {
				row = append(row, v.Index(i).FieldByIndex(f.Index).Interface())
			}
		}
		set.rows = append(set.rows, row)
	}
	set.affected = int64(len(set.rows))
	return set, nil
}

// columnsOf returns the exported fields of a struct that is a row, or nil for a type that is a value.
func columnsOf(t reflect.Type) []reflect.StructField {
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() ||
		reflect.PointerTo(t).Implements(reflect.TypeFor[sql.Scanner]()) {
		return nil
	}
	var fields []reflect.StructField
	for f := range t.Fields() {
		if f.IsExported() && f.Tag.Get("db") != "-" {
			fields = append(fields, f)
		}
	}
	return fields
}

func columnName(f reflect.StructField) string {
	if name := f.Tag.Get("db"); name != "" {
		return name
	}
	return f.Name
}

// results implements pgx.BatchResults.
type results struct {
	session *session
	unread  []*pgx.QueuedQuery
	sets    []resultSet
	err     error // of the whole batch; Close returns it
}

func (r *results) next() (resultSet, error) {
	if len(r.unread) == 0 {
		return resultSet{}, errors.New("tenancytest: no more results in batch")
	}
	r.unread = r.unread[1:]
	if len(r.sets) == 0 {
		return resultSet{err: r.err}, r.err
	}
	set := r.sets[0]
	r.sets = r.sets[1:]
	return set, set.err
}

// Exec implements pgx.BatchResults.
func (r *results) Exec() (pgconn.CommandTag, error) {
	set, err := r.next()
	return set.tag(), err
}

// Query implements pgx.BatchResults.
func (r *results) Query() (pgx.Rows, error) {
	set, err := r.next()
	if set.err == nil {
		set.err = err
	}
	return &rows{set: set, at: -1}, err
}

// QueryRow implements pgx.BatchResults.
func (r *results) QueryRow() pgx.Row {
	rs, _ := r.Query()
	return row{rs}
}

// Close implements pgx.BatchResults. Like pgx it calls what was queued with a function.
func (r *results) Close() error {
	for len(r.unread) > 0 {
		if fn := r.unread[0].Fn; fn != nil {
			if err := fn(r); err != nil {
				return err
			}
		} else if _, err := r.Exec(); err != nil {
			return err
		}
	}
	return r.err
}

// Tx implements pgx.BatchResults.
func (r *results) Tx() pgx.Tx { return nil }

func (s resultSet) tag() pgconn.CommandTag {
	return pgconn.NewCommandTag(fmt.Sprintf("OK %d", s.affected))
}

type row struct{ pgx.Rows }

// Scan implements pgx.Row.
func (r row) Scan(dest ...any) error {
	if !r.Next() {
		if err := r.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	return r.Rows.Scan(dest...)
}

// rows implements pgx.Rows.
type rows struct {
	set resultSet
	at  int
}

// Close implements pgx.Rows.
func (r *rows) Close() { r.at = len(r.set.rows) }

// Err implements pgx.Rows.
func (r *rows) Err() error { return r.set.err }

// CommandTag implements pgx.Rows.
func (r *rows) CommandTag() pgconn.CommandTag { return r.set.tag() }

// FieldDescriptions implements pgx.Rows.
func (r *rows) FieldDescriptions() []pgconn.FieldDescription {
	fields := make([]pgconn.FieldDescription, len(r.set.columns))
	for i, name := range r.set.columns {
		fields[i].Name = name
	}
	return fields
}

// Next implements pgx.Rows.
func (r *rows) Next() bool {
	r.at = min(r.at+1, len(r.set.rows))
	return r.at < len(r.set.rows)
}

// Scan implements pgx.Rows.
func (r *rows) Scan(dest ...any) error {
	if len(dest) == 1 {
		if scanner, ok := dest[0].(pgx.RowScanner); ok {
			return scanner.ScanRow(r)
		}
	}
	src := r.set.rows[r.at]
	if len(dest) != len(src) {
		return r.fail(fmt.Errorf("tenancytest: %d destinations for %d columns", len(dest), len(src)))
	}
	for i := range dest {
		if err := assign(dest[i], src[i]); err != nil {
			return r.fail(fmt.Errorf("tenancytest: column %s: %w", r.set.columns[i], err))
		}
	}
	return nil
}

func (r *rows) fail(err error) error {
	r.set.err = err
	r.Close()
	return err
}

// Values implements pgx.Rows.
func (r *rows) Values() ([]any, error) { return r.set.rows[r.at], nil }

// RawValues implements pgx.Rows. There is no wire format here.
func (r *rows) RawValues() [][]byte { return nil }

// Conn implements pgx.Rows.
func (r *rows) Conn() *pgx.Conn { return nil }

// TypeMap implements pgx.Rows.
func (r *rows) TypeMap() *pgtype.Map { return pgtype.NewMap() }

// assign is the part of pgx's scanning that makes sense for Go values.
func assign(dest, src any) error {
	if dest == nil {
		return nil
	}
	to := reflect.ValueOf(dest)
	if from := reflect.ValueOf(src); from.IsValid() && to.Kind() == reflect.Pointer && !to.IsNil() && from.Type() == to.Type().Elem() {
		to.Elem().Set(from)
		return nil
	}
	if s, ok := dest.(sql.Scanner); ok {
		return s.Scan(src)
	}
	if to.Kind() != reflect.Pointer || to.IsNil() {
		return fmt.Errorf("cannot scan into %T", dest)
	}
	return set(to.Elem(), reflect.ValueOf(src))
}

func set(to, from reflect.Value) error {
	switch {
	case !from.IsValid() || from.Kind() == reflect.Pointer && from.IsNil():
		switch to.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
			to.SetZero()
			return nil
		}
		return fmt.Errorf("cannot scan NULL into %s", to.Type())
	case from.Type().AssignableTo(to.Type()):
		to.Set(from)
		return nil
	case to.Kind() == reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		return set(to.Elem(), from)
	case from.Kind() == reflect.Pointer || from.Kind() == reflect.Interface:
		return set(to, from.Elem())
	case from.CanConvert(to.Type()) && (from.Kind() == to.Kind() || number(from.Kind()) && number(to.Kind()) ||
		from.Kind() == reflect.String && to.Kind() == reflect.Slice || from.Kind() == reflect.Slice && to.Kind() == reflect.String):
		to.Set(from.Convert(to.Type()))
		return nil
	}
	return fmt.Errorf("cannot scan %s into %s", from.Type(), to.Type())
}

func number(k reflect.Kind) bool { return k >= reflect.Int && k <= reflect.Float64 }
