package sqldb

import (
	"database/sql/driver"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// rows are the rows of a statement; closing them ends its unit, if it was one.
type rows struct {
	pgx     pgx.Rows
	types   *pgtype.Map
	fields  []pgconn.FieldDescription
	names   []string
	decode  []decoder
	peeked  bool // the first row has been read and not been asked for
	waiting bool // and there is one
}

var (
	_ driver.RowsColumnTypeDatabaseTypeName = (*rows)(nil)
	_ driver.RowsColumnTypeLength           = (*rows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*rows)(nil)
	_ driver.RowsColumnTypeScanType         = (*rows)(nil)
)

// newRows reads the first row, because not every mode of pgx knows the columns before.
func newRows(r pgx.Rows) (*rows, error) {
	out := &rows{pgx: r, peeked: true, waiting: r.Next()}
	if !out.waiting {
		if err := r.Err(); err != nil {
			r.Close()
			return nil, err
		}
	}
	out.types, out.fields = r.TypeMap(), r.FieldDescriptions()
	for _, f := range out.fields {
		out.names = append(out.names, f.Name)
		out.decode = append(out.decode, decoderFor(out.types, f))
	}
	return out, nil
}

// Columns implements driver.Rows.
func (r *rows) Columns() []string { return r.names }

// Close implements driver.Rows.
func (r *rows) Close() error {
	r.pgx.Close()
	return r.pgx.Err()
}

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error {
	more := r.waiting
	if !r.peeked {
		more = r.pgx.Next()
	}
	r.peeked = false
	if !more {
		if err := r.pgx.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	for i, raw := range r.pgx.RawValues() {
		dest[i] = nil
		if raw == nil {
			continue
		}
		v, err := r.decode[i](raw)
		if err != nil {
			return fmt.Errorf("sqldb: column %s: %w", r.names[i], err)
		}
		dest[i] = v
	}
	return nil
}

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName; a type that pgx does not know is its OID.
func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	if t, ok := r.types.TypeForOID(r.fields[i].DataTypeOID); ok {
		return strings.ToUpper(t.Name)
	}
	return strconv.FormatUint(uint64(r.fields[i].DataTypeOID), 10)
}

const varHeader = 4 // PostgreSQL counts the header of a value into its modifier

// ColumnTypeLength implements driver.RowsColumnTypeLength.
func (r *rows) ColumnTypeLength(i int) (int64, bool) {
	switch f := r.fields[i]; f.DataTypeOID {
	case pgtype.TextOID, pgtype.ByteaOID:
		return math.MaxInt64, true
	case pgtype.VarcharOID, pgtype.BPCharOID:
		return int64(f.TypeModifier - varHeader), true
	case pgtype.VarbitOID:
		return int64(f.TypeModifier), true
	}
	return 0, false
}

// ColumnTypePrecisionScale implements driver.RowsColumnTypePrecisionScale.
func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if r.fields[i].DataTypeOID != pgtype.NumericOID {
		return 0, 0, false
	}
	mod := int64(r.fields[i].TypeModifier - varHeader)
	return mod >> 16 & 0xffff, mod & 0xffff, true
}

// ColumnTypeScanType implements driver.RowsColumnTypeScanType.
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	switch r.fields[i].DataTypeOID {
	case pgtype.Float8OID, pgtype.NumericOID:
		return reflect.TypeFor[float64]()
	case pgtype.Float4OID:
		return reflect.TypeFor[float32]()
	case pgtype.Int8OID:
		return reflect.TypeFor[int64]()
	case pgtype.Int4OID:
		return reflect.TypeFor[int32]()
	case pgtype.Int2OID:
		return reflect.TypeFor[int16]()
	case pgtype.BoolOID:
		return reflect.TypeFor[bool]()
	case pgtype.DateOID, pgtype.TimestampOID, pgtype.TimestamptzOID:
		return reflect.TypeFor[time.Time]()
	case pgtype.ByteaOID:
		return reflect.TypeFor[[]byte]()
	}
	return reflect.TypeFor[string]()
}
