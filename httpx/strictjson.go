package httpx

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxDepth bounds the nesting of a body.
	maxDepth = 32

	// maxFieldErrors bounds the list of errors in one problem.
	maxFieldErrors = 20
)

// decodeStrict decodes data into v, a pointer to the type that sh was made from. encoding/json alone takes the last of duplicate members
// and matches names regardless of case, so that {"admin":false,"Admin":true} means true; here each member must be spelled exactly
// as declared and may appear once. Anything after the value, nesting deeper than 32 and invalid UTF-8 are a 400 problem; unknown and
// duplicate members and values of the wrong type are a 422 that lists them with JSON pointers.
func decodeStrict(data []byte, sh *shape, v any) error {
	if err := checkSyntax(data); err != nil {
		return err
	}
	s := &strictScan{data: data}
	s.value(sh, 0)
	if s.tooDeep {
		return malformed("The body is nested deeper than " + strconv.Itoa(maxDepth) + " levels.")
	}
	if s.errs != nil {
		return s.errs
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		if typeErr, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return FieldErrors{{Pointer: "/" + strings.ReplaceAll(typeErr.Field, ".", "/"), Code: "invalid_type", Detail: "has an invalid value"}}
		}
		return &Problem{Status: http.StatusUnprocessableEntity, Code: "invalid_input", Detail: "The body does not have the expected form.", Err: err}
	}
	return nil
}

func malformed(detail string) *Problem {
	return NewProblem(http.StatusBadRequest, "malformed_json", detail)
}

func checkSyntax(data []byte) error {
	if !utf8.Valid(data) {
		return malformed("The body is not valid UTF-8.")
	}
	var raw json.RawMessage
	err := json.Unmarshal(data, &raw)
	if err == nil {
		return nil
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return malformed("The body is empty.")
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return malformed("The body is not one JSON value: it is wrong at byte " + strconv.FormatInt(syntax.Offset, 10) + ".")
	}
	return malformed("The body is not one JSON value.")
}

// strictScan walks over JSON that is known to be well-formed.
type strictScan struct {
	data    []byte
	pos     int
	path    []string
	errs    FieldErrors
	tooDeep bool
}

// value walks over one value; depth is the number of arrays and objects around it.
func (s *strictScan) value(sh *shape, depth int) {
	s.space()
	start := s.pos
	for sh.kind == shapePointer && s.data[s.pos] != 'n' {
		sh = sh.elem
	}
	switch s.data[s.pos] {
	case '{':
		s.object(sh, depth)
	case '[':
		s.array(sh, depth)
	case '"':
		s.skipString()
	default:
		for s.pos < len(s.data) && !bytes.ContainsRune([]byte(",]} \t\r\n"), rune(s.data[s.pos])) {
			s.pos++
		}
	}
	if !s.tooDeep {
		if want := sh.mismatch(s.data[start:s.pos]); want != "" {
			s.fail("invalid_type", want)
		}
	}
}

func (s *strictScan) object(sh *shape, depth int) {
	if s.tooDeep = s.tooDeep || depth >= maxDepth; s.tooDeep {
		s.pos = len(s.data)
		return
	}
	seen := map[string]bool{}
	for s.pos++; ; s.pos++ { // after '{' and after each ','
		if s.space(); s.data[s.pos] == '}' {
			break
		}
		name := s.name()
		s.space()
		s.pos++ // ':'
		s.path = append(s.path, name)
		id := name
		if sh.kind == shapeCustom || sh.kind == shapeLoose {
			id = foldName(name)
		}
		child := sh.member(name)
		if seen[id] {
			s.fail("duplicate", "appears twice")
		}
		if child == nil {
			if !seen[id] {
				s.fail("unknown", "is not known here")
			}
			child = &shape{kind: shapeAny, nullable: true}
		}
		seen[id] = true
		s.value(child, depth+1)
		s.path = s.path[:len(s.path)-1]
		if s.tooDeep {
			return
		}
		if s.space(); s.data[s.pos] == '}' {
			break
		}
	}
	s.pos++
}

func (s *strictScan) array(sh *shape, depth int) {
	if s.tooDeep = s.tooDeep || depth >= maxDepth; s.tooDeep {
		s.pos = len(s.data)
		return
	}
	child := sh.elem
	if sh.kind != shapeList {
		child = sh.inside()
	}
	i := 0
	for s.pos++; ; i++ {
		if s.space(); s.data[s.pos] == ']' {
			break
		}
		s.path = append(s.path, strconv.Itoa(i))
		s.value(child, depth+1)
		s.path = s.path[:len(s.path)-1]
		if s.tooDeep {
			return
		}
		if s.space(); s.data[s.pos] == ',' {
			s.pos++
		}
	}
	s.pos++
	if sh.kind == shapeList && sh.typ.Kind() == reflect.Array && i != sh.typ.Len() { // encoding/json would fill up or drop
		s.fail("invalid_type", "must have "+strconv.Itoa(sh.typ.Len())+" elements")
	}
}

func (s *strictScan) space() {
	for s.pos < len(s.data) && (s.data[s.pos] == ' ' || s.data[s.pos] == '\t' || s.data[s.pos] == '\r' || s.data[s.pos] == '\n') {
		s.pos++
	}
}

func (s *strictScan) skipString() {
	for s.pos++; s.data[s.pos] != '"'; s.pos++ {
		if s.data[s.pos] == '\\' {
			s.pos++
		}
	}
	s.pos++
}

// name reads a member name and resolves its escapes.
func (s *strictScan) name() string {
	start := s.pos
	s.skipString()
	raw := s.data[start:s.pos]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var name string
	_ = json.Unmarshal(raw, &name) // well-formed: checked before
	return name
}

func (s *strictScan) fail(code, detail string) {
	if len(s.errs) >= maxFieldErrors {
		return
	}
	var b strings.Builder
	for _, p := range s.path {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(clip(p, 100), "~", "~0"), "/", "~1"))
	}
	s.errs = append(s.errs, FieldError{Pointer: strings.ToValidUTF8(clip(b.String(), 400), ""), Code: code, Detail: detail})
}

// member returns the shape of an object's member, or nil if there is none of that name.
func (sh *shape) member(name string) *shape {
	switch sh.kind {
	case shapeObject:
		return sh.fields[name]
	case shapeDict:
		return sh.elem
	}
	return sh.inside()
}

// inside returns the shape of what is in a value that is not described further.
func (sh *shape) inside() *shape {
	if sh.kind == shapeCustom {
		return &shape{kind: shapeLoose, nullable: true}
	}
	return &shape{kind: shapeAny, nullable: true}
}

// mismatch says what raw must be, or "" when it fits.
func (sh *shape) mismatch(raw []byte) string {
	first := raw[0]
	if first == 'n' {
		if sh.nullable || sh.kind == shapeLoose {
			return ""
		}
		first = 0 // null fits nothing below
	}
	text := string(raw[:min(len(raw), 400)])
	switch sh.kind {
	case shapeCustom:
		u, _ := reflect.New(sh.typ).Interface().(json.Unmarshaler)
		return failed(u.UnmarshalJSON(raw), "has an invalid value")
	case shapeText:
		var s string
		if first != '"' || json.Unmarshal(raw, &s) != nil {
			return "must be a string"
		}
		return failed(reflect.New(sh.typ).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)), "has an invalid value")
	case shapeObject, shapeDict:
		return unless(first == '{', "must be an object")
	case shapeList:
		return unless(first == '[', "must be an array")
	case shapeString:
		return unless(first == '"', "must be a string")
	case shapeBool:
		return unless(first == 't' || first == 'f', "must be true or false")
	case shapeInt:
		_, err := strconv.ParseInt(text, 10, sh.typ.Bits())
		return failed(err, "must be an integer of "+strconv.Itoa(sh.typ.Bits())+" bits")
	case shapeUint:
		_, err := strconv.ParseUint(text, 10, sh.typ.Bits())
		return failed(err, "must be an integer of "+strconv.Itoa(sh.typ.Bits())+" bits that is not negative")
	case shapeFloat:
		if first != '-' && (first < '0' || first > '9') {
			return "must be a number"
		}
		_, err := strconv.ParseFloat(string(raw), sh.typ.Bits())
		return failed(err, "must be a number in range")
	}
	return ""
}

func unless(ok bool, detail string) string {
	if ok {
		return ""
	}
	return detail
}

// foldName maps names that encoding/json would match with each other to one form: the smallest rune of each case-folding orbit.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		smallest := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			smallest = min(smallest, f)
		}
		return smallest
	}, name)
}
