package sqlexpr

import (
	"bytes"
	"cmp"
	"database/sql/driver"
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"time"
)

// JSON is the text of a json value.
type JSON string

// Plain brings a Go value to the few types that expressions compute with: nil, bool, int64, float64, string, JSON, []byte,
// time.Time (UTC, microseconds), time.Duration (an interval) and []any.
func Plain(v any) any {
	switch v := v.(type) {
	case nil, bool, int64, float64, string, JSON, []any, time.Duration:
		return v
	case []byte:
		if v == nil {
			return nil
		}
		return v
	case time.Time:
		return v.UTC().Truncate(time.Microsecond)
	}
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.Pointer && r.IsNil() {
		return nil
	}
	if d, ok := v.(driver.Valuer); ok {
		if inner, err := d.Value(); err == nil {
			return Plain(inner)
		}
		return v
	}
	switch r.Kind() {
	case reflect.Pointer:
		return Plain(r.Elem().Interface())
	case reflect.Bool:
		return r.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return r.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if u := r.Uint(); u <= math.MaxInt64 {
			return int64(u)
		}
	case reflect.Float32, reflect.Float64:
		return r.Float()
	case reflect.String:
		return r.String()
	case reflect.Slice:
		return plainSlice(r)
	}
	return v
}

func plainSlice(r reflect.Value) any {
	if r.IsNil() {
		return nil
	}
	if r.Type().Elem().Kind() == reflect.Uint8 {
		return r.Bytes()
	}
	list := make([]any, r.Len())
	for i := range list {
		list[i] = Plain(r.Index(i).Interface())
	}
	return list
}

// Typed is the text of a value that PostgreSQL does not compare as text. UUIDs are compared with texts; the order of numbers,
// dates and addresses that a program keeps as text is not known here.
type Typed struct{ SQL, Text string }

// UUID is a UUID as PostgreSQL writes it, or false.
func UUID(text string) (string, bool) {
	digits := strings.ToLower(strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}"), "-", ""))
	if b, err := hex.DecodeString(digits); err != nil || len(b) != 16 {
		return "", false
	}
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:], true
}

func compareTyped(x Typed, b any) (int, error) {
	text, ok := b.(string)
	if y, same := b.(Typed); same && y.SQL == x.SQL {
		text, ok = y.Text, true
	}
	if !ok || x.SQL != "uuid" {
		return 0, notUnderstood("the comparison of %s kept as text and %s", x.SQL, kindOf(b))
	}
	y, ok := UUID(text)
	if !ok {
		return 0, fault("22P02", "invalid input syntax for type uuid")
	}
	return cmp.Compare(x.Text, y), nil
}

// Compare orders two values that are not null.
func Compare(a, b any) (int, error) {
	if y, ok := b.(Typed); ok {
		if _, both := a.(Typed); !both {
			c, err := compareTyped(y, a)
			return -c, err
		}
	}
	switch x := a.(type) {
	case Typed:
		return compareTyped(x, b)
	case bool:
		if y, ok := b.(bool); ok {
			switch {
			case x == y:
				return 0, nil
			case y:
				return -1, nil
			}
			return 1, nil
		}
	case int64:
		switch y := b.(type) {
		case int64:
			return cmp.Compare(x, y), nil
		case float64:
			return cmp.Compare(float64(x), y), nil
		}
	case float64:
		switch y := b.(type) {
		case int64:
			return cmp.Compare(x, float64(y)), nil
		case float64:
			return compareFloats(x, y), nil
		}
	case string:
		if y, ok := b.(string); ok {
			return cmp.Compare(x, y), nil
		}
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y), nil
		}
	case time.Duration:
		if y, ok := b.(time.Duration); ok {
			return cmp.Compare(x, y), nil
		}
	case []byte:
		if y, ok := b.([]byte); ok {
			return bytes.Compare(x, y), nil
		}
	case []any:
		if y, ok := b.([]any); ok {
			return compareLists(x, y)
		}
	}
	return 0, notUnderstood("the comparison of %s and %s", kindOf(a), kindOf(b))
}

// compareFloats puts NaN above everything, as PostgreSQL does.
func compareFloats(x, y float64) int {
	switch nx, ny := math.IsNaN(x), math.IsNaN(y); {
	case nx && ny:
		return 0
	case nx:
		return 1
	case ny:
		return -1
	}
	return cmp.Compare(x, y)
}

// compareLists compares arrays; in them, null is larger than everything and equal to itself.
func compareLists(x, y []any) (int, error) {
	for i := range min(len(x), len(y)) {
		switch {
		case x[i] == nil && y[i] == nil:
			continue
		case x[i] == nil:
			return 1, nil
		case y[i] == nil:
			return -1, nil
		}
		if c, err := Compare(x[i], y[i]); c != 0 || err != nil {
			return c, err
		}
	}
	return cmp.Compare(len(x), len(y)), nil
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case Typed:
		return v.SQL
	case bool:
		return "boolean"
	case int64:
		return "integer"
	case float64:
		return "number"
	case string:
		return "text"
	case JSON:
		return "json"
	case []byte:
		return "bytea"
	case time.Time:
		return "timestamp"
	case time.Duration:
		return "interval"
	case []any:
		return "array"
	}
	return reflect.TypeOf(v).String()
}
