package record

import (
	"bytes"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// binding is what a cursor is good for, as bytes. Two queries have the same bytes if, and only if, they have the same
// tenant, table, order, condition and arguments: each part says what it is and where it ends.
type binding []byte

// maxDepth bounds pointers that lead in circles.
const maxDepth = 64

// What no reflect.Kind stands for.
const (
	aMoment byte = 0xff - iota
	aSaying      // of a driver.Valuer
	someBytes
)

func (p *plan) binding(tenant string, q Query, order []rowop.Order) (binding, error) {
	var b binding
	b.text(p.table.Schema)
	b.text(p.table.Name)
	b.text(tenant)
	b.number(uint64(len(order)))
	for _, o := range order {
		b.text(o.Column.Name)
		b.flag(o.Desc)
		b.flag(o.NullsFirst)
	}
	b.flag(q.WithDeleted)
	b.text(q.Where)
	b.number(uint64(len(q.Args)))
	for i, a := range q.Args {
		if err := b.any(reflect.ValueOf(a), 0); err != nil {
			return nil, fmt.Errorf("%w: $%d: %w", ErrArgument, i+1, err)
		}
	}
	return b, nil
}

func (b *binding) number(n uint64) { *b = binary.BigEndian.AppendUint64(*b, n) }

func (b *binding) text(s string) {
	b.number(uint64(len(s)))
	*b = append(*b, s...)
}

func (b *binding) flag(f bool) bool {
	if f {
		*b = append(*b, 1)
	} else {
		*b = append(*b, 0)
	}
	return f
}

// any binds a value whose type is not known from what it is in.
func (b *binding) any(v reflect.Value, depth int) error {
	if !b.flag(v.IsValid()) {
		return nil
	}
	b.text(typeName(v.Type()))
	return b.value(addressable(v), depth)
}

// addressable copies a struct that is in nothing, or an array of them, for moment.
func addressable(v reflect.Value) reflect.Value {
	if k := v.Kind(); k != reflect.Struct && k != reflect.Array || v.CanAddr() || !v.CanInterface() {
		return v
	}
	at := reflect.New(v.Type()).Elem()
	at.Set(v)
	return at
}

// typeName tells types apart that print alike.
func typeName(t reflect.Type) string {
	switch {
	case t.Name() != "":
		return t.PkgPath() + "." + t.Name()
	case t.Kind() == reflect.Pointer:
		return "*" + typeName(t.Elem())
	case t.Kind() == reflect.Slice:
		return "[]" + typeName(t.Elem())
	case t.Kind() == reflect.Array:
		return "[" + strconv.Itoa(t.Len()) + "]" + typeName(t.Elem())
	case t.Kind() == reflect.Map:
		return "map[" + typeName(t.Key()) + "]" + typeName(t.Elem())
	}
	return t.String()
}

// value binds what v holds, fields that are not exported included, and what it says as a driver.Valuer besides: which of
// both pgx sends depends on the type of the parameter.
func (b *binding) value(v reflect.Value, depth int) error {
	if depth++; depth > maxDepth {
		return fmt.Errorf("a %s is deeper than %d levels", v.Type(), maxDepth)
	}
	if t, ok := moment(v); ok {
		_, offset := t.Zone() // a timestamp and a date are sent as the clock there shows them
		*b = append(*b, aMoment)
		b.number(uint64(t.Unix()))
		b.number(uint64(t.Nanosecond()))
		b.number(uint64(offset))
		return nil
	}
	if err := b.valuer(v, depth); err != nil {
		return err
	}
	*b = append(*b, byte(v.Kind()))
	switch v.Kind() {
	case reflect.Bool:
		b.flag(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		b.number(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		b.number(v.Uint())
	case reflect.Float32, reflect.Float64:
		b.number(math.Float64bits(v.Float()))
	case reflect.Complex64, reflect.Complex128:
		b.number(math.Float64bits(real(v.Complex())))
		b.number(math.Float64bits(imag(v.Complex())))
	case reflect.String:
		b.text(v.String())
	case reflect.Struct:
		b.number(uint64(v.NumField()))
		for i := range v.NumField() {
			if err := b.value(v.Field(i), depth); err != nil {
				return err
			}
		}
	case reflect.Array:
		return b.elements(v, depth)
	default:
		return b.nilable(v, depth)
	}
	return nil
}

// nilable binds what may be nil, which is null and not the same as empty.
func (b *binding) nilable(v reflect.Value, depth int) error {
	if !b.flag(!v.IsNil()) {
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		return b.value(v.Elem(), depth)
	case reflect.Interface:
		return b.any(v.Elem(), depth)
	case reflect.Slice:
		return b.elements(v, depth)
	case reflect.Map:
		return b.entries(v, depth)
	}
	return fmt.Errorf("a %s cannot be compared", v.Type()) // a function or a channel
}

func (b *binding) elements(v reflect.Value, depth int) error {
	b.number(uint64(v.Len()))
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		*b = append(append(*b, someBytes), v.Bytes()...)
		return nil
	}
	for i := range v.Len() {
		if err := b.value(v.Index(i), depth); err != nil {
			return err
		}
	}
	return nil
}

// entries binds a map in the order of its bound keys.
func (b *binding) entries(v reflect.Value, depth int) error {
	list := make([]binding, 0, v.Len())
	for entries := v.MapRange(); entries.Next(); {
		var e binding
		if err := e.value(addressable(entries.Key()), depth); err != nil {
			return err
		}
		if err := e.value(addressable(entries.Value()), depth); err != nil {
			return err
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(x, y binding) int { return bytes.Compare(x, y) })
	b.number(uint64(len(list)))
	for _, e := range list {
		*b = append(*b, e...)
	}
	return nil
}

// valuer asks whom pgx may ask, a nil pointer included if its type wants to be asked.
func (b *binding) valuer(v reflect.Value, depth int) error {
	if !v.CanInterface() || v.Kind() == reflect.Interface {
		return nil
	}
	asked, ok := v.Interface().(driver.Valuer)
	if !ok || v.Kind() == reflect.Pointer && v.Type().Elem().Implements(reflect.TypeFor[driver.Valuer]()) {
		return nil
	}
	said, err := asked.Value()
	if err != nil {
		return err
	}
	*b = append(*b, aSaying)
	return b.any(reflect.ValueOf(said), depth)
}

// moment returns v as a time, whose own fields tell more than the time, such as where the monotonic clock was.
func moment(v reflect.Value) (time.Time, bool) {
	at := reflect.TypeFor[time.Time]()
	if v.Kind() != reflect.Struct || !v.Type().ConvertibleTo(at) {
		return time.Time{}, false
	}
	if !v.CanInterface() && v.CanAddr() { // in a field that is not exported
		v = reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
	}
	if !v.CanInterface() {
		return time.Time{}, false
	}
	return v.Convert(at).Interface().(time.Time), true
}
