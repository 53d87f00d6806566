package analytics

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// schema is the compiled form of an event's struct. It does not change after Define.
type schema struct {
	name       string
	columns    []column
	time, user int // struct field indexes, -1 when absent
}

type column struct {
	Field
	index  int // of the struct field
	encode encoder
}

const (
	maxColumns = 100
	maxColumn  = 64
)

func newSchema(name string, t reflect.Type) (*schema, error) {
	if !validText(name, 1, 128) || !printable(name) {
		return nil, errors.New("the name must be 1 to 128 bytes of printable UTF-8")
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%v is not a struct", t)
	}
	s := &schema{name: name, time: -1, user: -1}
	for i := range t.NumField() {
		if err := s.add(i, t.Field(i)); err != nil {
			return nil, fmt.Errorf("field %s: %w", t.Field(i).Name, err)
		}
	}
	if len(s.columns) > maxColumns {
		return nil, fmt.Errorf("%d columns, at most %d", len(s.columns), maxColumns)
	}
	return s, nil
}

// add compiles one struct field.
func (s *schema) add(index int, f reflect.StructField) error {
	tag := f.Tag.Get("event")
	if f.Anonymous {
		return errors.New("embedded fields are not supported; name it")
	}
	if !f.IsExported() || tag == "-" {
		if !f.IsExported() && tag != "" && tag != "-" {
			return errors.New("has an event tag but is not exported")
		}
		return nil
	}
	name, option, _ := strings.Cut(tag, ",")
	switch option {
	case "":
	case "time":
		return s.setRole(&s.time, index, name, f.Type == reflect.TypeFor[time.Time]())
	case "user":
		return s.setRole(&s.user, index, name, f.Type.Kind() == reflect.String)
	default:
		return fmt.Errorf("unknown tag option %q; want time or user", option)
	}
	if name == "" {
		name = snake(f.Name)
	}
	if !validColumn(name) {
		return fmt.Errorf("column %q must match [a-z][a-z0-9_]* and have at most %d bytes", name, maxColumn)
	}
	if _, dup := s.field(name); dup {
		return fmt.Errorf("column %q exists already", name)
	}
	kind, enc := encoderOf(f.Type)
	if enc == nil {
		return fmt.Errorf("type %v is not supported; use string, bool, integer, float, time.Time or time.Duration", f.Type)
	}
	s.columns = append(s.columns, column{Field: Field{Name: name, Kind: kind}, index: index, encode: enc})
	return nil
}

func (s *schema) setRole(role *int, index int, name string, typeOK bool) error {
	switch {
	case name != "":
		return errors.New("a time or user field is not a column: leave the name empty")
	case !typeOK:
		return errors.New("a time field must be a time.Time, a user field a string")
	case *role >= 0:
		return errors.New("there is another field with this tag")
	}
	*role = index
	return nil
}

// field returns the column of that name.
func (s *schema) field(name string) (Field, bool) {
	for _, c := range s.columns {
		if c.Name == name {
			return c.Field, true
		}
	}
	return Field{}, false
}

func validColumn(name string) bool {
	if name == "" || len(name) > maxColumn || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return true
}

// snake turns a Go name into snake case: UserID is user_id, HTTPStatus is http_status.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) {
			afterLower := !unicode.IsUpper(runes[i-1]) && runes[i-1] != '_'
			beforeLower := i+1 < len(runes) && unicode.IsLower(runes[i+1]) && runes[i-1] != '_'
			if afterLower || beforeLower {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
