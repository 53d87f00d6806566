package cache

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"reflect"
)

// schemaOf is a fingerprint of everything about a type that its encoding depends on: the codec,
// kinds, fields and their tags, and the name of a type that encodes itself. During a deploy that
// changes a struct or the codec, old and new processes take each other's entries for missing
// ones instead of reading half of them.
func schemaOf(t reflect.Type, codec Codec) uint64 {
	h := fnv.New64a()
	if codec != nil {
		fmt.Fprintf(h, "%q", codec.Name())
	}
	writeSchema(h, t, codec == nil, make(map[reflect.Type]bool))
	return h.Sum64()
}

var jsonMarshaler = reflect.TypeFor[json.Marshaler]()

// writeSchema writes t. Other codecs than JSON may look into the types that write their own JSON.
func writeSchema(w io.Writer, t reflect.Type, asJSON bool, open map[reflect.Type]bool) {
	if open[t] { // a recursive type is written once
		fmt.Fprintf(w, "^%s;", t.Name())
		return
	}
	if asJSON && (t.Implements(jsonMarshaler) || t.Implements(textMarshaler)) {
		fmt.Fprintf(w, "=%s;", t)
		return
	}
	open[t] = true
	defer delete(open, t)
	fmt.Fprintf(w, "%s(", t.Kind())
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		writeSchema(w, t.Elem(), asJSON, open)
	case reflect.Array:
		fmt.Fprintf(w, "%d,", t.Len())
		writeSchema(w, t.Elem(), asJSON, open)
	case reflect.Map:
		writeSchema(w, t.Key(), asJSON, open)
		writeSchema(w, t.Elem(), asJSON, open)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			fmt.Fprintf(w, "%s %v %q ", f.Name, f.Anonymous, f.Tag)
			writeSchema(w, f.Type, asJSON, open)
		}
	}
	io.WriteString(w, ");")
}
