package httpx

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
)

// template is a tag or location such as "note:{id}", whose names are filled from an input's parameters or an output's JSON members.
type template []templatePart

type templatePart struct {
	text   string // when index is nil
	output bool   // index is into the output, else into the input
	index  []int
}

// maxExpanded bounds what one name can put into a tag.
const maxExpanded = 200

// newTemplate compiles text. It panics on a name that neither the bound parameters nor out (which may be nil) have: a typo would
// otherwise show as a cache that is never invalidated.
func newTemplate(text string, in *binder, out reflect.Type) template {
	var t template
	for rest := text; rest != ""; {
		lit, after, found := strings.Cut(rest, "{")
		if lit != "" {
			t = append(t, templatePart{text: lit})
		}
		if !found {
			break
		}
		name, tail, closed := strings.Cut(after, "}")
		part, ok := lookUp(name, in, out)
		if !closed || !ok {
			panic(fmt.Sprintf("httpx: %q: {%s} is neither a parameter of the input nor a JSON member of the output", text, name))
		}
		t, rest = append(t, part), tail
	}
	return t
}

func lookUp(name string, in *binder, out reflect.Type) (templatePart, bool) {
	for out != nil && out.Kind() == reflect.Pointer {
		out = out.Elem()
	}
	if out != nil && out.Kind() == reflect.Struct {
		if f, ok := jsonFields(out)[name]; ok {
			return templatePart{output: true, index: f.index}, true
		}
	}
	for _, f := range in.fields {
		if f.Name == name && f.In != "header" {
			return templatePart{index: f.index}, true
		}
	}
	return templatePart{}, false
}

func (t template) expand(in, out reflect.Value, escape func(string) string) string {
	var b strings.Builder
	for _, part := range t {
		switch {
		case part.index == nil:
			b.WriteString(part.text)
		case part.output:
			b.WriteString(escape(fieldText(out, part.index)))
		default:
			b.WriteString(escape(fieldText(in, part.index)))
		}
	}
	return b.String()
}

// fieldText writes a field as its JSON or its parameter would show it; nil pointers on the way give "".
func fieldText(v reflect.Value, index []int) string {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return ""
	}
	f, err := v.FieldByIndexErr(index)
	if err != nil {
		return ""
	}
	for f.Kind() == reflect.Pointer {
		if f.IsNil() {
			return ""
		}
		f = f.Elem()
	}
	if m, ok := f.Interface().(encoding.TextMarshaler); ok {
		text, _ := m.MarshalText()
		return string(text)
	}
	return fmt.Sprint(f.Interface())
}

func newTemplates(texts []string, in *binder, out reflect.Type) []template {
	list := make([]template, len(texts))
	for i, text := range texts {
		list[i] = newTemplate(text, in, out)
	}
	return list
}

func expandAll(list []template, in, out reflect.Value) []string {
	if len(list) == 0 {
		return nil
	}
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = t.expand(in, out, func(s string) string { return clip(s, maxExpanded) })
	}
	return texts
}
