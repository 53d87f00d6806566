package analytics

import (
	"fmt"
	"math"
	"reflect"
	"time"
)

// Metric is a number to compute from the events of one kind, made by the methods of [Event]. A mistake in making it
// (an unknown field, a value of the wrong type) is reported by the query that uses it, as [ErrInvalid]. It is an
// immutable value.
type Metric struct {
	schema   *schema
	agg      Agg
	field    Field
	quantile float64
	where    []Filter
	err      error
}

// Count is the number of events.
func (e Event[T]) Count() Metric { return e.metric(AggCount) }

// Users is the number of distinct users; events without a user do not count. Stores may estimate large numbers.
func (e Event[T]) Users() Metric { return e.metric(AggUniques) }

// Uniques is the number of distinct values of a field. Stores may estimate large numbers.
func (e Event[T]) Uniques(field string) Metric { return e.metric(AggUniques).over(field, false) }

// Sum is the sum of a numeric field; booleans count as 0 and 1.
func (e Event[T]) Sum(field string) Metric { return e.metric(AggSum).over(field, true) }

// Avg is the mean of a numeric field; booleans count as 0 and 1, so that the mean of "up" is an availability.
func (e Event[T]) Avg(field string) Metric { return e.metric(AggAvg).over(field, true) }

// Quantile is the value of a numeric field below which the share q of the events lies: 0.5 is the median. q must be
// in [0, 1]. Stores may estimate it from a sample of at least 8192 values.
func (e Event[T]) Quantile(field string, q float64) Metric {
	m := e.metric(AggQuantile).over(field, true)
	m.quantile = q
	if !(q >= 0 && q <= 1) && m.err == nil {
		m.err = fmt.Errorf("%w: quantile %v is outside [0, 1]", ErrInvalid, q)
	}
	return m
}

// Where returns the metric restricted to events whose field equals value, which must have the field's type (any integer
// type for an integer field; for times a time.Time, for durations a time.Duration). Several Where must all match.
func (m Metric) Where(field string, value any) Metric {
	f, err := m.lookup(field)
	if err == nil {
		if value, err = normalize(f, value); err == nil {
			m.where = append(m.where[:len(m.where):len(m.where)], Filter{Field: f, Value: value})
			return m
		}
	}
	if m.err == nil {
		m.err = err
	}
	return m
}

func (e Event[T]) metric(agg Agg) Metric {
	m := Metric{schema: e.schema, agg: agg}
	if e.schema == nil {
		m.err = fmt.Errorf("%w: event was not made by Define", ErrInvalid)
	}
	return m
}

func (m Metric) over(field string, numeric bool) Metric {
	f, err := m.lookup(field)
	if err == nil && numeric && f.Kind == reflect.String {
		err = fmt.Errorf("%w: field %q of event %q is text, not a number", ErrInvalid, field, m.schema.name)
	}
	if m.field = f; err != nil && m.err == nil {
		m.err = err
	}
	return m
}

func (m Metric) lookup(field string) (Field, error) {
	if m.schema == nil {
		return Field{}, fmt.Errorf("%w: metric was not made by an event", ErrInvalid)
	}
	f, ok := m.schema.field(field)
	if !ok {
		return Field{}, fmt.Errorf("%w: event %q has no field %q", ErrInvalid, m.schema.name, field)
	}
	return f, nil
}

// normalize converts a filter value to the type that stores expect for the field.
func normalize(f Field, value any) (any, error) {
	switch t := value.(type) {
	case time.Time:
		value = t.UTC().Format(timeLayout)
	case time.Duration:
		value = t.Seconds()
	}
	v := reflect.ValueOf(value)
	switch f.Kind {
	case reflect.String:
		if v.Kind() == reflect.String && validText(v.String(), 0, maxRecord) {
			return v.String(), nil
		}
	case reflect.Bool:
		if v.Kind() == reflect.Bool {
			return v.Bool(), nil
		}
	case reflect.Int64:
		if v.CanInt() {
			return v.Int(), nil
		}
		if v.CanUint() && v.Uint() <= 1<<63-1 {
			return int64(v.Uint()), nil
		}
	case reflect.Float64:
		if v.CanFloat() && !math.IsNaN(v.Float()) && !math.IsInf(v.Float(), 0) {
			return v.Float(), nil
		}
		if v.CanInt() {
			return float64(v.Int()), nil
		}
	}
	return nil, fmt.Errorf("%w: field %q of kind %v cannot equal this %T", ErrInvalid, f.Name, f.Kind, value)
}
