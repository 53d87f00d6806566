package httpx

import (
	"encoding"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Param describes one parameter of an [Endpoint] that is not in the body.
type Param struct {
	In   string       // "path", "query" or "header"
	Name string       // as the client writes it
	Type reflect.Type // of the Go field
}

// binder fills the fields of an input that come from path, query and header.
type binder struct {
	fields  []boundField
	allowed []string // query parameters, sorted
}

type boundField struct {
	Param
	index []int
	parse parser
}

// maxValues bounds a repeated parameter.
const maxValues = 100

// newBinder compiles the struct tags of t; it panics on tags that cannot work, because endpoints are made at start.
// body says that the rest of t is decoded from JSON: then fields bound here must be hidden from JSON.
func newBinder(t reflect.Type, body bool) *binder {
	b := &binder{}
	if elem, pointer := pointed(t); pointer && isBound(elem) {
		panic(fmt.Sprintf("httpx: the input %v has parameters; take the struct, not a pointer to it", t))
	}
	if t.Kind() != reflect.Struct {
		return b
	}
	b.add(t, t, nil, body)
	for _, f := range b.fields {
		if f.In == "query" {
			b.allowed = append(b.allowed, f.Name)
		}
	}
	slices.Sort(b.allowed)
	return b
}

func (b *binder) add(root, t reflect.Type, index []int, body bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		in, name := boundTag(root, f)
		if in == "" {
			switch elem, pointer := pointed(f.Type); {
			case f.Anonymous && f.Type.Kind() == reflect.Struct:
				b.add(root, f.Type, at, body)
			case f.Anonymous && pointer && isBound(elem):
				panic(fmt.Sprintf("httpx: %v: field %s has parameters; embed the struct, not a pointer to it", root, f.Name))
			}
			continue
		}
		if !f.IsExported() {
			panic(fmt.Sprintf("httpx: %v: field %s has a %s tag but is not exported", root, f.Name, in))
		}
		if body && f.Tag.Get("json") != "-" {
			panic(fmt.Sprintf("httpx: %v: field %s comes from the %s; add json:\"-\" so that the body cannot set it", root, f.Name, in))
		}
		parse := parserOf(f.Type, in != "path")
		if parse == nil {
			panic(fmt.Sprintf("httpx: %v: field %s: a %s parameter cannot be a %v", root, f.Name, in, f.Type))
		}
		for _, other := range b.fields {
			if other.In == in && other.Name == name {
				panic(fmt.Sprintf("httpx: %v: two fields are bound to %s parameter %s", root, in, name))
			}
		}
		b.fields = append(b.fields, boundField{Param{in, name, f.Type}, at, parse})
	}
}

// pointed returns what a pointer type points to.
func pointed(t reflect.Type) (elem reflect.Type, ok bool) {
	if t.Kind() != reflect.Pointer {
		return t, false
	}
	return t.Elem(), true
}

// isBound reports whether a struct has a field that comes from path, query or header.
func isBound(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	return slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		in, _ := boundTag(t, f)
		return in != ""
	})
}

func boundTag(root reflect.Type, f reflect.StructField) (in, name string) {
	for _, tag := range [...]string{"path", "query", "header"} {
		v, ok := f.Tag.Lookup(tag)
		if !ok {
			continue
		}
		if in != "" || v == "" {
			panic(fmt.Sprintf("httpx: %v: field %s needs exactly one of the tags path, query, header, with a name", root, f.Name))
		}
		in, name = tag, v
		if tag == "header" {
			name = http.CanonicalHeaderKey(v)
		}
	}
	return in, name
}

// bind fills v from the request. Path values that cannot be parsed are a 404: no resource has that name. Query parameters that are
// unknown, repeated or malformed are a 400 that lists them all.
func (b *binder) bind(r *http.Request, v reflect.Value) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, NewProblem(http.StatusBadRequest, "malformed_query", "The query cannot be parsed.")
	}
	var wrong FieldErrors
	for _, name := range slices.Sorted(keysOf(query)) {
		if _, ok := slices.BinarySearch(b.allowed, name); !ok && len(wrong) < maxFieldErrors {
			wrong = append(wrong, FieldError{Parameter: clip(strings.ToValidUTF8(name, ""), 100), Code: "unknown", Detail: b.allowedText()})
		}
	}
	for _, f := range b.fields {
		var values []string
		switch f.In {
		case "path":
			value := r.PathValue(f.Name)
			if value == "" && r.Pattern != "" && !strings.Contains(r.Pattern, "{"+f.Name) {
				return nil, fmt.Errorf("httpx: route %q has no {%s}, which the input of its handler needs", r.Pattern, f.Name)
			}
			values = []string{value}
		case "query":
			values = query[f.Name]
		case "header":
			values = r.Header[f.Name]
		}
		if len(values) == 0 {
			continue
		}
		detail := f.parse(v.FieldByIndex(f.index), values)
		if detail == "" {
			continue
		}
		if f.In == "path" {
			return nil, NewProblem(http.StatusNotFound, "not_found", "There is nothing at this path.")
		}
		if len(wrong) < maxFieldErrors {
			wrong = append(wrong, FieldError{Parameter: f.Name, Code: "invalid", Detail: "The " + f.In + " parameter " + detail + "."})
		}
	}
	if wrong != nil {
		return nil, &Problem{Status: http.StatusBadRequest, Code: "invalid_parameters", Errors: wrong}
	}
	return query, nil
}

func (b *binder) allowedText() string {
	if len(b.allowed) == 0 {
		return "There are no query parameters here."
	}
	return "The query parameters are " + strings.Join(b.allowed, ", ") + "."
}

func keysOf(m url.Values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// parser sets a field from the values of its parameter, or says what they must be.
type parser func(v reflect.Value, values []string) (problem string)

// parserOf returns nil for types that cannot be a parameter.
func parserOf(t reflect.Type, repeats bool) parser {
	if repeats && t.Kind() == reflect.Slice && !isText(t) {
		elem := scalar(t.Elem())
		if elem == nil {
			return nil
		}
		return func(v reflect.Value, values []string) string {
			if len(values) > maxValues {
				return "must not be repeated more than " + strconv.Itoa(maxValues) + " times"
			}
			list := reflect.MakeSlice(t, len(values), len(values))
			for i, s := range values {
				if detail := elem(list.Index(i), s); detail != "" {
					return detail
				}
			}
			v.Set(list)
			return ""
		}
	}
	target, pointer := t, t.Kind() == reflect.Pointer && !isText(t)
	if pointer {
		target = t.Elem()
	}
	one := scalar(target)
	if one == nil {
		return nil
	}
	return func(v reflect.Value, values []string) string {
		if len(values) > 1 {
			return "must not be repeated"
		}
		if pointer {
			v.Set(reflect.New(target))
			v = v.Elem()
		}
		return one(v, values[0])
	}
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// scalar returns nil for types that are not written as one word.
func scalar(t reflect.Type) func(reflect.Value, string) string {
	if isText(t) {
		if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
			return nil
		}
		return func(v reflect.Value, s string) string {
			return failed(v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)), "has an invalid value")
		}
	}
	if t == reflect.TypeFor[time.Duration]() {
		return func(v reflect.Value, s string) string {
			d, err := time.ParseDuration(s)
			v.SetInt(int64(d))
			return failed(err, "must be a duration such as 90s")
		}
	}
	switch t.Kind() {
	case reflect.String:
		return func(v reflect.Value, s string) string { v.SetString(s); return "" }
	case reflect.Bool:
		return func(v reflect.Value, s string) string {
			v.SetBool(s == "true")
			if s != "true" && s != "false" {
				return "must be true or false"
			}
			return ""
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(v reflect.Value, s string) string {
			n, err := strconv.ParseInt(s, 10, t.Bits())
			v.SetInt(n)
			return failed(err, "must be an integer")
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(v reflect.Value, s string) string {
			n, err := strconv.ParseUint(s, 10, t.Bits())
			v.SetUint(n)
			return failed(err, "must be an integer that is not negative")
		}
	case reflect.Float32, reflect.Float64:
		return func(v reflect.Value, s string) string {
			n, err := strconv.ParseFloat(s, t.Bits())
			if err == nil && (n-n != 0) {
				return "must be a number" // NaN and infinities parse, but are none
			}
			v.SetFloat(n)
			return failed(err, "must be a number")
		}
	}
	return nil
}

func failed(err error, detail string) string {
	if err == nil {
		return ""
	}
	return detail
}
