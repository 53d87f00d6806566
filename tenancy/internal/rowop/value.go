package rowop

import (
	"database/sql/driver"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Encode makes of a field's value what is sent: nil, bool, int64, float64, string (text and json), time.Time in UTC, []byte,
// a slice of those for an array, or the value itself for an opaque column.
func (c *Column) Encode(v reflect.Value) (any, error) {
	if v.Kind() == reflect.Pointer && c.Class != Opaque && !(c.Class == JSON && c.Type.Kind() != reflect.Pointer) {
		if v.IsNil() {
			return nil, nil
		}
		v = v.Elem()
	}
	if c.Nullable && (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.IsNil() {
		return nil, nil
	}
	switch c.Class {
	case JSON:
		return encodeJSON(v)
	case Array:
		return encodeArray(c.Elem, v)
	case Opaque:
		if v.Kind() == reflect.Pointer && v.IsNil() {
			return nil, nil
		}
		return v.Interface(), nil
	}
	return encode(c.Class, v)
}

func encode(class Class, v reflect.Value) (any, error) {
	switch class {
	case Bool:
		return v.Bool(), nil
	case Int:
		if v.CanUint() {
			if v.Uint() > math.MaxInt64 {
				return nil, fmt.Errorf("%d does not fit into a bigint", v.Uint())
			}
			return int64(v.Uint()), nil
		}
		return v.Int(), nil
	case Float:
		return v.Float(), nil
	case Text:
		return v.String(), nil
	case Bytes:
		if v.IsNil() {
			return []byte{}, nil
		}
		return v.Bytes(), nil
	case Time:
		return v.Interface().(time.Time).UTC().Truncate(time.Microsecond), nil
	}
	return v.Interface(), nil
}

// encodeJSON writes nil slices and maps as empty ones: a column that is no pointer is not null.
func encodeJSON(v reflect.Value) (any, error) {
	switch {
	case v.Type() == reflect.TypeFor[json.RawMessage]() && v.Len() == 0:
		return "null", nil
	case v.Kind() == reflect.Map && v.IsNil():
		return "{}", nil
	case v.Kind() == reflect.Slice && v.IsNil():
		return "[]", nil
	}
	body, err := json.Marshal(v.Interface())
	return string(body), err
}

func encodeArray(elem Class, v reflect.Value) (any, error) {
	switch elem {
	case Bool:
		return arrayOf[bool](elem, v)
	case Int:
		return arrayOf[int64](elem, v)
	case Float:
		return arrayOf[float64](elem, v)
	case Time:
		return arrayOf[time.Time](elem, v)
	case Bytes:
		return arrayOf[[]byte](elem, v)
	}
	return arrayOf[string](elem, v)
}

func arrayOf[T any](elem Class, v reflect.Value) (any, error) {
	list := make([]T, v.Len())
	for i := range list {
		x, err := encode(elem, v.Index(i))
		if err != nil {
			return nil, err
		}
		list[i] = x.(T)
	}
	return list, nil
}

// Collect makes the array of a column for a Bulk statement out of n fields, and adds to sizes about what they take on the
// wire.
func (c *Column) Collect(n int, field func(i int) reflect.Value, sizes []int) (any, error) {
	if c.Class == Text && c.Native() && c.Type.Kind() == reflect.String {
		list := make([]string, n) // most columns
		for i := range list {
			list[i] = field(i).String()
			sizes[i] += len(list[i]) + 4
		}
		return list, nil
	}
	values := make([]any, n)
	null := false
	for i := range values {
		v, err := c.Encode(field(i))
		if d, ok := v.(driver.Valuer); ok && err == nil {
			v, err = d.Value() // which may be null
		}
		if err == nil && v != nil && !c.Native() {
			v, err = TextOf(v)
		}
		if err != nil {
			return nil, err
		}
		values[i], null = v, null || v == nil
		sizes[i] += sizeOf(v)
	}
	if !c.Native() {
		return collect[string](values, null), nil
	}
	switch c.Class {
	case Bool:
		return collect[bool](values, null), nil
	case Int:
		return collect[int64](values, null), nil
	case Float:
		return collect[float64](values, null), nil
	case Time:
		return collect[time.Time](values, null), nil
	case Text:
		return collect[string](values, null), nil
	case Bytes:
		return collect[[]byte](values, false), nil
	}
	return values, nil
}

// collect makes a slice of T, or of *T if there are nulls.
func collect[T any](values []any, null bool) any {
	if null {
		list := make([]*T, len(values))
		for i, v := range values {
			if t, ok := v.(T); ok {
				list[i] = &t
			}
		}
		return list
	}
	list := make([]T, len(values))
	for i, v := range values {
		list[i], _ = v.(T)
	}
	return list
}

func sizeOf(v any) int {
	switch v := v.(type) {
	case string:
		return len(v) + 4
	case []byte:
		return len(v) + 4
	}
	return 12
}

// Normal makes of a field what it would be after a round trip through the database: times in UTC and microseconds, no nil
// where the column is not null.
func (c *Column) Normal(v reflect.Value) {
	switch at := v.Addr().Interface().(type) {
	case *time.Time:
		*at = at.UTC().Truncate(time.Microsecond)
		return
	case **time.Time:
		if *at != nil {
			t := (*at).UTC().Truncate(time.Microsecond)
			*at = &t
		}
		return
	case *[]time.Time:
		*at = slices.Clone(*at)
		for i, t := range *at {
			(*at)[i] = t.UTC().Truncate(time.Microsecond)
		}
	case *json.RawMessage:
		if !c.Nullable && len(*at) == 0 {
			*at = json.RawMessage("null")
		}
		return
	}
	switch {
	case c.Nullable || c.Class == Opaque:
	case v.Kind() == reflect.Slice && v.IsNil():
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	case v.Kind() == reflect.Map && v.IsNil():
		v.Set(reflect.MakeMap(v.Type()))
	}
}

// TextOf writes a value as PostgreSQL reads it from text.
func TextOf(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case time.Time:
		return v.Format("2006-01-02 15:04:05.999999Z07:00"), nil
	case []byte:
		return fmt.Sprintf(`\x%x`, v), nil
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		return string(text), err
	case driver.Valuer:
		inner, err := v.Value()
		if err != nil {
			return "", err
		}
		return TextOf(inner)
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Slice {
		return arrayText(r)
	}
	return "", fmt.Errorf("a %T cannot be written in bulk", v)
}

func arrayText(r reflect.Value) (string, error) {
	b := []byte{'{'}
	for i := range r.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		s, err := TextOf(r.Index(i).Interface())
		if err != nil {
			return "", err
		}
		b = append(b, '"')
		for j := range len(s) {
			if s[j] == '"' || s[j] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, s[j])
		}
		b = append(b, '"')
	}
	return string(append(b, '}')), nil
}
