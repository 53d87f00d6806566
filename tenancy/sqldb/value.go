package sqldb

import (
	"database/sql/driver"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// decoder makes a column's bytes, which are not NULL, a value of database/sql: the same as pgx/stdlib makes, whose code is
// bound to its own connections and cannot be called.
type decoder func(raw []byte) (driver.Value, error)

func decoderFor(m *pgtype.Map, f pgconn.FieldDescription) decoder {
	switch f.DataTypeOID {
	case pgtype.BoolOID:
		return as(m, f, plain[bool])
	case pgtype.ByteaOID, pgtype.JSONOID, pgtype.JSONBOID, pgtype.XMLOID:
		return as(m, f, plain[[]byte])
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		return as(m, f, plain[int64])
	case pgtype.Float4OID:
		return as(m, f, func(v float32) (driver.Value, error) { return float64(v), nil })
	case pgtype.Float8OID:
		return as(m, f, plain[float64])
	case pgtype.OIDOID, pgtype.XIDOID, pgtype.CIDOID:
		return as(m, f, pgtype.Uint32.Value)
	case pgtype.DateOID:
		return as(m, f, pgtype.Date.Value)
	case pgtype.TimestampOID:
		return as(m, f, pgtype.Timestamp.Value)
	case pgtype.TimestamptzOID:
		return as(m, f, pgtype.Timestamptz.Value)
	}
	if f.Format == pgtype.TextFormatCode {
		return func(raw []byte) (driver.Value, error) { return string(raw), nil }
	}
	return func(raw []byte) (driver.Value, error) { return text(m, f.DataTypeOID, raw) }
}

// as decodes into a T, a new one for each row.
func as[T any](m *pgtype.Map, f pgconn.FieldDescription, value func(T) (driver.Value, error)) decoder {
	var plan pgtype.ScanPlan
	return func(raw []byte) (driver.Value, error) {
		var v T
		if plan == nil {
			plan = m.PlanScan(f.DataTypeOID, f.Format, &v)
		}
		if err := plan.Scan(raw, &v); err != nil {
			return nil, err
		}
		return value(v)
	}
}

func plain[T any](v T) (driver.Value, error) { return v, nil }
