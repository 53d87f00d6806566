package httpx

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
)

// shape is what a Go type admits as JSON. It is compiled once for each endpoint and then only read.
type shape struct {
	kind     shapeKind
	typ      reflect.Type
	nullable bool
	fields   map[string]*shape // object: by the exact name
	elem     *shape            // dict, list, pointer
}

type shapeKind int

const (
	shapeAny    shapeKind = iota // interface{}: anything, exact duplicates refused
	shapeCustom                  // json.Unmarshaler: anything it takes; duplicates that differ in case are refused too
	shapeText                    // encoding.TextUnmarshaler: a string it takes
	shapeObject
	shapeDict
	shapeList
	shapeString
	shapeBool
	shapeInt
	shapeUint
	shapeFloat
	shapePointer
	shapeLoose // left to encoding/json: the ",string" option, json.Number
)

func shapeOf(t reflect.Type) *shape { return buildShape(t, map[reflect.Type]*shape{}) }

func buildShape(t reflect.Type, seen map[reflect.Type]*shape) *shape {
	if s, ok := seen[t]; ok {
		return s // recursive types are cyclic shapes
	}
	s := &shape{typ: t}
	seen[t] = s
	if t.Kind() == reflect.Pointer {
		s.kind, s.nullable = shapePointer, true
		s.elem = buildShape(t.Elem(), seen)
		return s
	}
	pointer := reflect.PointerTo(t)
	switch {
	case t.Kind() == reflect.Interface:
		s.kind, s.nullable = shapeAny, true
		return s
	case pointer.Implements(reflect.TypeFor[json.Unmarshaler]()):
		s.kind, s.nullable = shapeCustom, true
		return s
	case pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		s.kind = shapeText
		return s
	case t == reflect.TypeFor[json.Number]():
		s.kind = shapeLoose
		return s
	}
	switch t.Kind() {
	case reflect.Struct:
		s.kind, s.fields = shapeObject, map[string]*shape{}
		for name, f := range jsonFields(t) {
			if f.loose {
				s.fields[name] = &shape{kind: shapeLoose, typ: f.typ, nullable: f.typ.Kind() == reflect.Pointer}
			} else {
				s.fields[name] = buildShape(f.typ, seen)
			}
		}
	case reflect.Map:
		s.kind, s.nullable = shapeDict, true
		s.elem = buildShape(t.Elem(), seen)
	case reflect.Slice:
		s.nullable = true
		if t.Elem().Kind() == reflect.Uint8 {
			s.kind = shapeLoose // base64
			break
		}
		s.kind = shapeList
		s.elem = buildShape(t.Elem(), seen)
	case reflect.Array:
		s.kind = shapeList
		s.elem = buildShape(t.Elem(), seen)
	case reflect.String:
		s.kind = shapeString
	case reflect.Bool:
		s.kind = shapeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.kind = shapeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		s.kind = shapeUint
	case reflect.Float32, reflect.Float64:
		s.kind = shapeFloat
	default:
		panic("httpx: " + t.String() + " cannot be decoded from JSON")
	}
	return s
}

type jsonField struct {
	typ    reflect.Type
	index  []int
	tagged bool
	loose  bool
}

// jsonFields returns the members that encoding/json knows for a struct, by its rules: embedded structs are flattened, the least
// nested name wins, then the tagged one, and what is still ambiguous does not exist.
func jsonFields(t reflect.Type) map[string]jsonField {
	type level struct {
		t     reflect.Type
		index []int
	}
	found, blocked, visited := map[string]jsonField{}, map[string]bool{}, map[reflect.Type]bool{}
	for current := []level{{t, nil}}; len(current) > 0; {
		var next []level
		here := map[string][]jsonField{}
		for _, l := range current {
			visited[l.t] = true
			for i := range l.t.NumField() {
				f := l.t.Field(i)
				name, embedded, ok := jsonName(f)
				if !ok {
					continue
				}
				at := append(append([]int(nil), l.index...), i)
				if embedded != nil {
					if !visited[embedded] {
						next = append(next, level{embedded, at})
					}
					continue
				}
				field := jsonField{typ: f.Type, index: at, tagged: name != ""}
				_, tagOpts, _ := strings.Cut(f.Tag.Get("json"), ",")
				field.loose = strings.Contains(","+tagOpts+",", ",string,")
				if name == "" {
					name = f.Name
				}
				here[name] = append(here[name], field)
			}
		}
		for name, fields := range here {
			if _, hidden := found[name]; hidden || blocked[name] {
				continue
			}
			if f, ok := dominant(fields); ok {
				found[name] = f
			} else {
				blocked[name] = true
			}
		}
		current = next
	}
	return found
}

// jsonName returns the name in the tag, or the struct to flatten; ok is false for fields that JSON does not see.
func jsonName(f reflect.StructField) (name string, embedded reflect.Type, ok bool) {
	tag := f.Tag.Get("json")
	if tag == "-" {
		return "", nil, false
	}
	t := f.Type
	if t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	if !f.IsExported() && (!f.Anonymous || t.Kind() != reflect.Struct) {
		return "", nil, false
	}
	name, _, _ = strings.Cut(tag, ",")
	if name == "" && f.Anonymous && t.Kind() == reflect.Struct {
		return "", t, true
	}
	return name, nil, f.IsExported()
}

func dominant(fields []jsonField) (jsonField, bool) {
	if len(fields) == 1 {
		return fields[0], true
	}
	var tagged []jsonField
	for _, f := range fields {
		if f.tagged {
			tagged = append(tagged, f)
		}
	}
	if len(tagged) == 1 {
		return tagged[0], true
	}
	return jsonField{}, false
}
