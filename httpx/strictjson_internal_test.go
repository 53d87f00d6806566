package httpx

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type Base struct {
	ID     int `json:"id"`
	Hidden int `json:"-"`
}

type Line struct {
	Amount int8           `json:"amount"`
	Extra  map[string]any `json:"extra"`
	Next   *Line          `json:"next"`
}

type order struct {
	Base
	Name    string    `json:"name"`
	Admin   bool      `json:"admin"`
	Lines   []Line    `json:"lines"`
	Price   float64   `json:"price"`
	At      time.Time `json:"at"`
	Note    *string   `json:"note"`
	Quoted  int       `json:"quoted,string"`
	Raw     json.RawMessage
	Data    []byte
	Count   uint16            `json:"count"`
	Pair    [2]int            `json:"pair"`
	Any     any               `json:"any"`
	Labels  map[string]string `json:"labels"`
	private int
}

var orderShape = shapeOf(reflect.TypeFor[order]())

func decodeOrder(s string) (order, error) {
	var o order
	err := decodeStrict([]byte(s), orderShape, &o)
	return o, err
}

func TestStrictJSONAccepts(t *testing.T) {
	t.Parallel()
	o, err := decodeOrder(` {"id":1,"name":"é\u0041","admin":true,"lines":[{"amount":-128,"extra":{"a":1,"A":{"b":[null]}},"next":{"amount":1}},{}],
		"price":1e3,"at":"2026-11-24T00:00:00Z","note":null,"quoted":"7","Raw":{"x":[1,2]},"Data":"aGk=","count":65535,"pair":[1,2],"any":[{}],"labels":{"k":"v","K":"w"}} `)
	require.NoError(t, err)
	require.Equal(t, 1, o.ID)
	require.Equal(t, "éA", o.Name)
	require.EqualValues(t, 1, o.Lines[0].Next.Amount)
	require.Equal(t, "w", o.Labels["K"])
	require.Zero(t, o.private)
	deep := strings.Repeat(`{"next":`, maxDepth-2) + "{}" + strings.Repeat("}", maxDepth-2)
	_, err = decodeOrder(`{"lines":[` + deep + `]}`)
	require.Error(t, err, "two levels more than the limit")
	_, err = decodeOrder(`{"any":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`)
	require.NoError(t, err)
}

func TestStrictJSONRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ body, pointer, code string }{
		{`{"admin":false,"Admin":true}`, "/Admin", "unknown"}, // encoding/json takes true
		{`{"Admin":true}`, "/Admin", "unknown"},
		{`{"admin":false,"admin":true}`, "/admin", "duplicate"},
		{`{"admin":false,"\u0061dmin":true}`, "/admin", "duplicate"},
		{`{"nope":1}`, "/nope", "unknown"},
		{`{"private":1}`, "/private", "unknown"},
		{`{"Hidden":1}`, "/Hidden", "unknown"},
		{`{"lines":[{},{"Amount":1}]}`, "/lines/1/Amount", "unknown"},
		{`{"lines":[{"extra":{"a":1,"a":2}}]}`, "/lines/0/extra/a", "duplicate"},
		{`{"any":{"a":1,"a":2}}`, "/any/a", "duplicate"},
		{`{"Raw":{"a":1,"A":2}}`, "/Raw/A", "duplicate"}, // who decodes it later may not look at case
		{`{"Raw":{"k":1,"\u212a":2}}`, "/Raw/\u212a", "duplicate"},
		{`{"a/b~c":1}`, "/a~1b~0c", "unknown"},
		{`{"name":1}`, "/name", "invalid_type"},
		{`{"name":null}`, "/name", "invalid_type"},
		{`{"lines":[{"amount":128}]}`, "/lines/0/amount", "invalid_type"},
		{`{"lines":[{"amount":1.5}]}`, "/lines/0/amount", "invalid_type"},
		{`{"lines":[{"next":{"amount":"1"}}]}`, "/lines/0/next/amount", "invalid_type"},
		{`{"lines":{}}`, "/lines", "invalid_type"},
		{`{"price":"1"}`, "/price", "invalid_type"},
		{`{"price":1e999}`, "/price", "invalid_type"},
		{`{"at":"yesterday"}`, "/at", "invalid_type"},
		{`{"count":-1}`, "/count", "invalid_type"},
		{`{"admin":"true"}`, "/admin", "invalid_type"},
		{`{"labels":[]}`, "/labels", "invalid_type"},
		{`{"pair":[1]}`, "/pair", "invalid_type"}, // encoding/json would make it [1 0]
		{`{"pair":[1,2,3]}`, "/pair", "invalid_type"},
		{`{"Data":5}`, "/Data", "invalid_type"},
		{`[]`, "", "invalid_type"},
		{`null`, "", "invalid_type"},
		{`"x"`, "", "invalid_type"},
	} {
		t.Run(tc.body, func(t *testing.T) {
			_, err := decodeOrder(tc.body)
			fields, ok := errors.AsType[FieldErrors](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, tc.pointer, fields[0].Pointer)
			require.Equal(t, tc.code, fields[0].Code)
		})
	}
	for _, body := range []string{`{"quoted":"x"}`, `{"Data":"###"}`} { // only encoding/json sees what is wrong
		_, err := decodeOrder(body)
		p, ok := errors.AsType[*Problem](err)
		require.True(t, ok, "%s: %v", body, err)
		require.Equal(t, 422, p.Status)
	}
	for _, body := range []string{
		``, ` `, `{`, `{}{}`, `{} x`, `{"name":"a"}]`, `{'name':1}`, `{"name":"a",}`, "{\"name\":\"\xff\"}", `{"name":"a" /* c */}`, `{"price":NaN}`, `{"price":01}`,
		`{"any":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`, strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000),
	} {
		_, err := decodeOrder(body)
		p, ok := errors.AsType[*Problem](err)
		require.True(t, ok, "%.40q: %v", body, err)
		require.Equal(t, "malformed_json", p.Code)
	}
}

func TestStrictJSONListsAllErrorsUpToALimit(t *testing.T) {
	t.Parallel()
	_, err := decodeOrder(`{"x":1,"name":2,"lines":[{"y":1}]}`)
	fields, _ := errors.AsType[FieldErrors](err)
	require.Len(t, fields, 3)
	_, err = decodeOrder(`{"lines":[` + strings.TrimSuffix(strings.Repeat(`{"y":1},`, 1000), ",") + `]}`)
	fields, _ = errors.AsType[FieldErrors](err)
	require.Len(t, fields, maxFieldErrors)
	_, err = decodeOrder(`{"` + strings.Repeat("k", 100_000) + `":1}`)
	fields, _ = errors.AsType[FieldErrors](err)
	require.Less(t, len(fields[0].Pointer), 500)
}

type (
	left      struct{ Both, Left int }
	right     struct{ Both, Right int }
	ambiguous struct {
		left
		right
	}
	shadowing struct {
		left
		Both string
	}
	tagWins struct {
		left
		Tagged
	}
	Tagged struct {
		Other int `json:"Both"`
	}
	pointer struct{ *Base }
	named   struct {
		Base `json:"base"`
	}
	tree map[string]tree
	list []list
)

// The names that the scanner knows must be those that encoding/json knows, for every way to embed.
func TestJSONFieldsAgreeWithEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, v := range []any{order{}, left{}, ambiguous{}, shadowing{}, tagWins{}, pointer{}, named{}, Line{}} {
		typ := reflect.TypeOf(v)
		known := jsonFields(typ)
		for _, name := range []string{
			"id", "ID", "Hidden", "name", "admin", "lines", "price", "at", "note", "quoted", "Raw", "Data", "count", "pair", "any", "labels", "private",
			"Both", "Left", "Right", "Other", "Base", "base", "amount", "extra", "next", "left", "right", "Tagged",
		} {
			dec := json.NewDecoder(strings.NewReader(`{"` + name + `":null}`))
			dec.DisallowUnknownFields()
			err := dec.Decode(reflect.New(typ).Interface())
			_, exact := known[name]
			if exact {
				require.NoError(t, err, "%v: %s", typ, name)
			} else if err == nil { // then only because encoding/json ignores case
				folded := false
				for k := range known {
					folded = folded || foldName(k) == foldName(name)
				}
				require.True(t, folded, "%v: %s is known to encoding/json only", typ, name)
			}
		}
	}
}

func TestRecursiveShapes(t *testing.T) {
	t.Parallel()
	var tr tree
	require.NoError(t, decodeStrict([]byte(`{"a":{"b":{}}}`), shapeOf(reflect.TypeFor[tree]()), &tr))
	require.Error(t, decodeStrict([]byte(`{"a":{"b":1}}`), shapeOf(reflect.TypeFor[tree]()), &tr))
	var l list
	require.NoError(t, decodeStrict([]byte(`[[],[[]]]`), shapeOf(reflect.TypeFor[list]()), &l))
	var p *Line
	require.NoError(t, decodeStrict([]byte(`null`), shapeOf(reflect.TypeFor[*Line]()), &p))
	require.NoError(t, decodeStrict([]byte(`{"next":{}}`), shapeOf(reflect.TypeFor[*Line]()), &p))
	require.NotNil(t, p.Next)
}

// FuzzStrictJSON compares the scanner with a second one made of json.Decoder's tokens: what is accepted has no duplicate member, no
// nesting over the limit, no second value, and only exact names at the top; and it decodes.
func FuzzStrictJSON(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"id":1}`, `{"":0,"":0}`, `{"admin":false,"Admin":true}`, `{"any":{"a":1,"a":2}}`, `{"lines":[{"next":{"extra":{"x":[1,{"y":null}]}}}]}`, `{"name":"\ud800"}`,
		`{"a\u0000":1}`, `[[[[`, `{"quoted":"1"}`, `{"pair":[1,2,3]}`, "\xef\xbb\xbf{}", `{"at":"2026-11-24T00:00:00Z"} `, `{"Raw":{"k":1,"K":2}}`,
		`{"any":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var o order
		err := decodeStrict(data, orderShape, &o)
		if err != nil {
			if _, ok := errors.AsType[interface {
				error
				HTTPStatus() int
			}](err); !ok {
				t.Fatalf("%q: %v is no answer for a client", data, err)
			}
			return
		}
		duplicate, depth, top := tokens(t, data)
		if duplicate || depth > maxDepth {
			t.Fatalf("%q accepted: duplicate %v, depth %d", data, duplicate, depth)
		}
		for _, name := range top {
			if orderShape.fields[name] == nil {
				t.Fatalf("%q accepted with member %q", data, name)
			}
		}
	})
}

func tokens(t *testing.T, data []byte) (duplicate bool, depth int, top []string) {
	type frame struct {
		object, value bool
		seen          map[string]bool
	}
	var frames []frame
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	done := false
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return duplicate, depth, top
		}
		if err != nil || done {
			t.Fatalf("%q accepted: %v, trailing %v", data, err, done)
		}
		if d, ok := tok.(json.Delim); ok && (d == '{' || d == '[') {
			frames = append(frames, frame{object: d == '{', seen: map[string]bool{}})
			depth = max(depth, len(frames))
			continue
		} else if ok {
			frames = frames[:len(frames)-1]
		}
		if len(frames) == 0 {
			done = true
			continue
		}
		cur := &frames[len(frames)-1]
		if _, closing := tok.(json.Delim); cur.object && !cur.value && !closing {
			name, _ := tok.(string)
			duplicate = duplicate || cur.seen[name]
			cur.seen[name], cur.value = true, true
			if len(frames) == 1 {
				top = append(top, name)
			}
			continue
		}
		cur.value = false
	}
}
