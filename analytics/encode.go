package analytics

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

// encoder appends one value as JSON.
type encoder func(b []byte, v reflect.Value) ([]byte, error)

// timeLayout is RFC 3339 with milliseconds in UTC, so that text order is time order.
const timeLayout = "2006-01-02T15:04:05.000Z"

// encoderOf returns a nil encoder for a type that is not supported.
func encoderOf(t reflect.Type) (reflect.Kind, encoder) {
	switch t {
	case reflect.TypeFor[time.Time]():
		return reflect.String, encodeTime
	case reflect.TypeFor[time.Duration]():
		return reflect.Float64, func(b []byte, v reflect.Value) ([]byte, error) {
			return appendFloat(b, time.Duration(v.Int()).Seconds()), nil
		}
	}
	switch t.Kind() {
	case reflect.String:
		return reflect.String, func(b []byte, v reflect.Value) ([]byte, error) {
			return appendString(b, v.String()), nil
		}
	case reflect.Bool:
		return reflect.Bool, func(b []byte, v reflect.Value) ([]byte, error) {
			return strconv.AppendBool(b, v.Bool()), nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return reflect.Int64, func(b []byte, v reflect.Value) ([]byte, error) {
			return strconv.AppendInt(b, v.Int(), 10), nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return reflect.Int64, encodeUint
	case reflect.Float32, reflect.Float64:
		return reflect.Float64, encodeFloat
	}
	return reflect.Invalid, nil
}

func encodeTime(b []byte, v reflect.Value) ([]byte, error) {
	t := v.Interface().(time.Time).UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return nil, fmt.Errorf("%w: year %d has no RFC 3339 form", ErrInvalid, t.Year())
	}
	b = append(b, '"')
	return append(t.AppendFormat(b, timeLayout), '"'), nil
}

func encodeUint(b []byte, v reflect.Value) ([]byte, error) {
	if v.Uint() > math.MaxInt64 {
		return nil, fmt.Errorf("%w: %d is over the largest int64", ErrInvalid, v.Uint())
	}
	return strconv.AppendUint(b, v.Uint(), 10), nil
}

func encodeFloat(b []byte, v reflect.Value) ([]byte, error) {
	if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("%w: %v is not a finite number", ErrInvalid, f)
	}
	return appendFloat(b, v.Float()), nil
}

// appendFloat always writes a fraction or an exponent, so that 99 stays a float where types are inferred from text.
func appendFloat(b []byte, f float64) []byte {
	start := len(b)
	b = strconv.AppendFloat(b, f, 'g', -1, 64)
	if bytes.IndexByte(b[start:], '.') < 0 && bytes.IndexByte(b[start:], 'e') < 0 {
		b = append(b, ".0"...)
	}
	return b
}

// appendProps appends the JSON object of an event.
func (s *schema) appendProps(b []byte, v reflect.Value) ([]byte, error) {
	b = append(b, '{')
	for i, c := range s.columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), c.Name...), `":`...) // column names need no escaping
		var err error
		if b, err = c.encode(b, v.Field(c.index)); err != nil {
			return nil, fmt.Errorf("field %s: %w", c.Name, err)
		}
	}
	return append(b, '}'), nil
}

// appendString appends s as a JSON string (RFC 8259), replacing invalid UTF-8 by U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
