package analytics

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"time"
)

// Decode returns the properties of a record of this event. Fields that the record lacks stay zero, fields that T lacks
// are ignored: T may have changed since. A value that does not fit its field is [ErrInvalid].
func (e Event[T]) Decode(r Record) (T, error) {
	var out T
	if e.schema == nil || r.Name != e.schema.name {
		return out, fmt.Errorf("%w: record of event %q decoded as %q", ErrInvalid, r.Name, e.Name())
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(r.Props, &raw); err != nil {
		return out, fmt.Errorf("%w: properties of event %q: %w", ErrInvalid, r.Name, err)
	}
	v := reflect.ValueOf(&out).Elem()
	for _, c := range e.schema.columns {
		text, ok := raw[c.Name]
		if !ok {
			continue
		}
		if err := decodeField(v.Field(c.index), text); err != nil {
			return out, fmt.Errorf("%w: field %q of event %q: %w", ErrInvalid, c.Name, r.Name, err)
		}
	}
	if e.schema.time >= 0 {
		v.Field(e.schema.time).Set(reflect.ValueOf(r.Time))
	}
	if e.schema.user >= 0 {
		v.Field(e.schema.user).SetString(r.User)
	}
	return out, nil
}

func decodeField(v reflect.Value, text json.RawMessage) error {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		var seconds float64
		if err := json.Unmarshal(text, &seconds); err != nil {
			return err
		}
		v.SetInt(int64(math.Round(seconds * float64(time.Second))))
		return nil
	}
	// Through the basic kinds, so that methods of named types (UnmarshalJSON) do not change the format.
	switch v.Kind() {
	case reflect.String:
		return decodeAs[string](v, text)
	case reflect.Bool:
		return decodeAs[bool](v, text)
	case reflect.Struct:
		return decodeAs[time.Time](v, text)
	case reflect.Float32, reflect.Float64:
		return decodeAs[float64](v, text)
	}
	var n int64
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	if v.CanInt() && !v.OverflowInt(n) {
		v.SetInt(n)
		return nil
	}
	if v.CanUint() && n >= 0 && !v.OverflowUint(uint64(n)) {
		v.SetUint(uint64(n))
		return nil
	}
	return fmt.Errorf("%d does not fit %v", n, v.Type())
}

func decodeAs[B any](v reflect.Value, text json.RawMessage) error {
	var b B
	if err := json.Unmarshal(text, &b); err != nil {
		return err
	}
	v.Set(reflect.ValueOf(b).Convert(v.Type()))
	return nil
}
