package tenancytest

import (
	"database/sql"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqlexpr"
)

// storable tells whether PostgreSQL takes the texts of a plain value as a parameter.
func storable(v any) bool {
	switch v := v.(type) {
	case string:
		return utf8.ValidString(v) && !strings.ContainsRune(v, 0)
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !storable(item) })
	}
	return true
}

// uuidText is a UUID as PostgreSQL writes it.
func uuidText(text string) (string, error) {
	if uuid, ok := sqlexpr.UUID(text); ok {
		return uuid, nil
	}
	return "", pgError("22P02", "invalid input syntax for type uuid")
}

// keyValue reads the text of a key as PostgreSQL does.
func keyValue(c *rowop.Column, v any) (any, error) {
	text, ok := v.(string)
	switch {
	case ok && c.SQL == "uuid":
		return uuidText(text)
	case ok && c.Class == rowop.Int:
		if _, err := strconv.ParseInt(text, 10, 64); err != nil {
			return nil, pgError("22P02", "invalid input syntax for type "+c.SQL)
		}
	}
	return v, nil
}

// typed marks texts that PostgreSQL does not compare as text.
func typed(c *rowop.Column, v any) any {
	text, ok := v.(string)
	if !ok || c == nil || c.Class != rowop.Text {
		return v
	}
	switch kind, _, _ := strings.Cut(c.SQL, "("); kind {
	case "uuid", "numeric", "decimal", "money", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "inet", "cidr":
		return sqlexpr.Typed{SQL: kind, Text: text}
	}
	return v
}

// plainValue makes of a plain value one of the column's type, as PostgreSQL does in an assignment.
func plainValue(c *rowop.Column, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	if other, ok := v.(sqlexpr.Typed); ok {
		v = other.Text
	}
	switch c.Class {
	case rowop.Int:
		return integer(c, v)
	case rowop.Float:
		if i, ok := v.(int64); ok {
			v = float64(i)
		}
		if f, ok := v.(float64); ok {
			return f, nil
		}
	case rowop.Text:
		switch v := v.(type) {
		case string:
			if c.SQL == "uuid" {
				return uuidText(v)
			}
			return v, nil
		case int64:
			return strconv.FormatInt(v, 10), nil
		}
	case rowop.Bool:
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case rowop.Time:
		if t, ok := v.(time.Time); ok {
			if c.SQL == "date" {
				t = t.Truncate(24 * time.Hour)
			}
			return t, nil
		}
	case rowop.Bytes:
		if b, ok := v.([]byte); ok {
			return append([]byte{}, b...), nil
		}
	case rowop.JSON:
		switch v := v.(type) {
		case sqlexpr.JSON:
			return v, nil
		case string:
			if !json.Valid([]byte(v)) {
				return nil, pgError("22P02", "invalid input syntax for type json")
			}
			if strings.Contains(strings.ReplaceAll(v, `\\`, ""), `\u0000`) && c.SQL != "json" {
				return nil, pgError("22P05", "unsupported Unicode escape sequence")
			}
			return sqlexpr.JSON(v), nil
		}
	case rowop.Array:
		if list, ok := v.([]any); ok {
			return list, nil
		}
	default:
		return v, nil
	}
	return nil, pgError("42804", fmt.Sprintf("column %q is of type %s but expression is a %T", c.Name, c.SQL, v))
}

func integer(c *rowop.Column, v any) (any, error) {
	if f, ok := v.(float64); ok {
		f = math.RoundToEven(f)
		if f < -1<<63 || f >= 1<<63 {
			return nil, pgError("22003", "bigint out of range")
		}
		v = int64(f)
	}
	i, ok := v.(int64)
	if !ok {
		return nil, pgError("42804", fmt.Sprintf("column %q is of type %s but expression is a %T", c.Name, c.SQL, v))
	}
	if c.SQL == "integer" && i != int64(int32(i)) || c.SQL == "smallint" && i != int64(int16(i)) {
		return nil, pgError("22003", c.SQL+" out of range")
	}
	return i, nil
}

// goValue makes of a plain value one of the field's type.
func goValue(c *rowop.Column, v any) (any, error) {
	to := reflect.New(c.Type).Elem()
	if v == nil {
		return to.Interface(), nil
	}
	target := to
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	if c.Class == rowop.JSON {
		err := json.Unmarshal([]byte(v.(sqlexpr.JSON)), target.Addr().Interface())
		return to.Interface(), err
	}
	err := setPlain(target, v)
	return to.Interface(), err
}

func setPlain(to reflect.Value, v any) error {
	from := reflect.ValueOf(v)
	switch {
	case from.Type().AssignableTo(to.Type()):
		to.Set(from)
		return nil
	case from.Kind() == reflect.String && to.Kind() == reflect.String, number(from.Kind()) && number(to.Kind()),
		from.Kind() == reflect.Bool && to.Kind() == reflect.Bool:
		to.Set(from.Convert(to.Type()))
		return nil
	}
	if s, ok := to.Addr().Interface().(sql.Scanner); ok {
		return s.Scan(v)
	}
	if u, ok := to.Addr().Interface().(encoding.TextUnmarshaler); ok && from.Kind() == reflect.String {
		return u.UnmarshalText([]byte(from.String()))
	}
	if list, ok := v.([]any); ok && to.Kind() == reflect.Slice {
		to.Set(reflect.MakeSlice(to.Type(), len(list), len(list)))
		for i, item := range list {
			if item == nil {
				return fmt.Errorf("cannot scan NULL into %s", to.Type().Elem())
			}
			if err := setPlain(to.Index(i), item); err != nil {
				return err
			}
		}
		return nil
	}
	if from.CanConvert(to.Type()) && from.Kind() == reflect.Slice {
		to.Set(from.Convert(to.Type()))
		return nil
	}
	return fmt.Errorf("cannot scan %T into %s", v, to.Type())
}

// parseArray reads an array as rowop writes it: {"a","b"}.
func parseArray(elem rowop.Class, text string) (any, error) {
	list := []any{}
	c := &rowop.Column{Name: "element", Class: elem}
	if len(text) < 2 {
		return nil, pgError("22P02", "malformed array literal")
	}
	for rest := text[1 : len(text)-1]; rest != ""; {
		item := []byte{}
		i := 1
		for ; i < len(rest) && rest[i] != '"'; i++ {
			if rest[i] == '\\' {
				i++
			}
			item = append(item, rest[i])
		}
		v, err := fromText(c, string(item))
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		rest = rest[i+1:]
		if rest != "" {
			rest = rest[1:] // the comma
		}
	}
	return list, nil
}

// fromText reads what rowop wrote as text.
func fromText(c *rowop.Column, text string) (any, error) {
	switch c.Class {
	case rowop.Bool:
		return strconv.ParseBool(text)
	case rowop.Int:
		return strconv.ParseInt(text, 10, 64)
	case rowop.Float:
		return strconv.ParseFloat(text, 64)
	case rowop.Time:
		t, err := time.Parse("2006-01-02 15:04:05.999999Z07:00", text)
		return t.UTC(), err
	case rowop.Array:
		return parseArray(c.Elem, text)
	case rowop.Bytes:
		return hex.DecodeString(strings.TrimPrefix(text, `\x`))
	}
	return text, nil
}
