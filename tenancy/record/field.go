package record

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// role is what a column is for.
type role int

const (
	plain role = iota
	versionOf
	createdAt
	updatedAt
	deletedAt
	readOnly
)

// field is a column with its place in the struct.
type field struct {
	*rowop.Column
	index  []int
	path   string // Base.ID
	role   role
	auto   bool
	search bool
	ref    string
	enum   []string
	label  string
	secret bool // stays out of the audit log and of Describe
}

// in returns the field of a record.
func (f *field) in(v reflect.Value) reflect.Value { return v.FieldByIndex(f.index) }

// fieldsOf reads the tags of a struct; embedded structs are part of it.
func fieldsOf(t reflect.Type, at []int, path string) ([]*field, error) {
	var list []*field
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, tagged := sf.Tag.Lookup("db")
		index := append(slices.Clone(at), i)
		switch {
		case tag == "-":
			continue
		case sf.Anonymous && !tagged && sf.Type.Kind() == reflect.Struct:
			inner, err := fieldsOf(sf.Type, index, path+sf.Name+".")
			if err != nil {
				return nil, err
			}
			list = append(list, inner...)
			continue
		case !sf.IsExported():
			continue
		}
		f, err := newField(sf, tag, index)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", sf.Name, err)
		}
		f.path = path + sf.Name
		list = append(list, f)
	}
	return list, nil
}

func newField(sf reflect.StructField, tag string, index []int) (*field, error) {
	name, options, _ := strings.Cut(tag, ",")
	if name == "" {
		name = snake(sf.Name)
	}
	f := &field{index: index, ref: sf.Tag.Get("ref"), label: sf.Tag.Get("label"), Column: &rowop.Column{
		Name: name, Type: sf.Type, Nullable: sf.Type.Kind() == reflect.Pointer,
		Default: sf.Tag.Get("default"), Expr: sf.Tag.Get("expr"),
	}}
	if enum := sf.Tag.Get("enum"); enum != "" {
		f.enum = strings.Split(enum, ",")
	}
	f.secret = sf.Tag.Get("json") == "-"
	f.classify()
	for option := range strings.SplitSeq(options, ",") {
		if err := f.option(option); err != nil {
			return nil, err
		}
	}
	if f.role == plain && f.Expr != "" {
		f.role = readOnly
	}
	if f.auto && f.Class == rowop.Int {
		f.Auto, f.role = true, readOnly
	}
	return f, f.check()
}

func (f *field) option(option string) error {
	switch option {
	case "":
	case "pk":
		f.Key = true
	case "auto":
		f.auto = true
	case "version":
		f.role = versionOf
	case "created":
		f.role = createdAt
	case "updated":
		f.role = updatedAt
	case "deleted":
		f.role = deletedAt
	case "readonly":
		f.role = readOnly
	case "null":
		f.Nullable = true
	case "search":
		f.search = true
	case "json":
		f.Class, f.SQL = rowop.JSON, "jsonb"
	default:
		kind, ok := strings.CutPrefix(option, "type=")
		if !ok {
			return fmt.Errorf("unknown option %q in tag db", option)
		}
		f.SQL = kind
		if base := strings.TrimPrefix(f.Type.String(), "*"); f.Class == rowop.JSON && kind != "json" && kind != "jsonb" && base != "json.RawMessage" {
			f.Class = rowop.Opaque // a type that pgx knows, as netip.Addr
		}
	}
	return nil
}

func (f *field) check() error {
	base := f.Type
	if base.Kind() == reflect.Pointer {
		base = base.Elem()
	}
	switch {
	case f.role == versionOf && (f.Class != rowop.Int || !reflect.Zero(f.Type).CanInt()):
		return fmt.Errorf("a version is an integer, not %s", f.Type)
	case (f.role == createdAt || f.role == updatedAt) && f.Type != reflect.TypeFor[time.Time]():
		return fmt.Errorf("want time.Time, not %s", f.Type)
	case f.role == deletedAt && f.Type != reflect.TypeFor[*time.Time]():
		return fmt.Errorf("want *time.Time, not %s", f.Type)
	case f.auto && (!f.Key || f.Class != rowop.Int && base.Kind() != reflect.String):
		return fmt.Errorf("auto is for a primary key of text or integers")
	case strings.ContainsRune(f.Name, 0):
		return fmt.Errorf("a column name with NUL")
	}
	return nil
}

// classify finds out how a Go type is stored.
func (f *field) classify() {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	f.Class, f.SQL = classOf(t)
	if v, ok := reflect.Zero(t).Interface().(driver.Valuer); ok && f.Class == rowop.Opaque {
		value, err := v.Value()
		f.Nullable = f.Nullable || value == nil && err == nil // sql.Null and its like
	}
	if f.Class == rowop.Array {
		f.Elem, _ = classOf(t.Elem())
	}
}

func classOf(t reflect.Type) (rowop.Class, string) {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return rowop.Time, "timestamptz"
	case t == reflect.TypeFor[json.RawMessage]():
		return rowop.JSON, "jsonb"
	case t.Implements(reflect.TypeFor[driver.Valuer]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[sql.Scanner]()):
		return rowop.Opaque, "text"
	}
	switch t.Kind() {
	case reflect.Bool:
		return rowop.Bool, "boolean"
	case reflect.Int16, reflect.Int8, reflect.Uint8:
		return rowop.Int, "smallint"
	case reflect.Int32, reflect.Uint16:
		return rowop.Int, "integer"
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint32, reflect.Uint64:
		return rowop.Int, "bigint"
	case reflect.Float32, reflect.Float64:
		return rowop.Float, "double precision"
	case reflect.String:
		return rowop.Text, "text"
	case reflect.Slice:
		return sliceClass(t.Elem())
	case reflect.Struct, reflect.Map, reflect.Interface:
		return rowop.JSON, "jsonb"
	}
	return rowop.Opaque, "text"
}

func sliceClass(elem reflect.Type) (rowop.Class, string) {
	if elem.Kind() == reflect.Uint8 {
		return rowop.Bytes, "bytea"
	}
	switch class, kind := classOf(elem); class {
	case rowop.Bool, rowop.Int, rowop.Float, rowop.Text, rowop.Time, rowop.Bytes:
		if elem.Kind() != reflect.Pointer {
			return rowop.Array, kind + "[]"
		}
	}
	return rowop.JSON, "jsonb"
}

// snake makes created_at of CreatedAt and html_url of HTMLURL… of HTMLUrl.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
