package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// envelopeVersion is what this package writes. A worker gives jobs of a later
// version back.
const envelopeVersion = 1

// envelope is the stored form of a job, JSON, immutable while the job lives:
//
//	{"v":1,"kind":"invoice.send","tenant":"acme","max":20,"args":{…}}
//
// "v" and "kind" come first, in this form; stores may rely on it.
type envelope struct {
	Version     int             `json:"v"`
	Kind        string          `json:"kind"`
	Tenant      string          `json:"tenant,omitempty"`
	MaxAttempts int             `json:"max,omitempty"`    // 0: the consumer's Options.MaxAttempts
	Keep        int64           `json:"keep,omitempty"`   // how long its result stays, in ms
	Due         int64           `json:"due,omitempty"`    // when it may run first, in ms since 1970, by its producer's clock; 0: what the id says, or its flow
	Trace       string          `json:"trace,omitempty"`  // W3C traceparent
	State       string          `json:"state,omitempty"`  // W3C tracestate
	Key         []byte          `json:"key,omitempty"`    // what Sealed is tied to instead of the id, see boundArgs
	Sealed      []byte          `json:"sealed,omitempty"` // instead of Args: what Options.Codec made of them
	Args        json.RawMessage `json:"args,omitempty"`
}

var (
	errCorrupt = errors.New("jobs: stored job is not readable")
	errNewer   = errors.New("jobs: job was stored by a newer version of this package")
)

// encode is json.Marshal without its second look at the arguments: they are
// JSON already. Kind has no characters that need escaping, see checkName.
func (e *envelope) encode() []byte {
	b := make([]byte, 0, len(e.Args)+len(e.Sealed)*4/3+len(e.Kind)+len(e.Tenant)+len(e.Trace)+len(e.State)+len(e.Key)+96)
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, int64(e.Version), 10)
	b = append(b, `,"kind":"`...)
	b = append(b, e.Kind...)
	b = append(b, '"')
	b = appendText(b, `,"tenant":`, e.Tenant)
	b = appendNumber(b, `,"max":`, int64(e.MaxAttempts))
	b = appendNumber(b, `,"keep":`, e.Keep)
	b = appendNumber(b, `,"due":`, e.Due)
	b = appendText(b, `,"trace":`, e.Trace)
	b = appendText(b, `,"state":`, e.State)
	b = appendBytes(b, `,"key":`, e.Key)
	if e.Sealed != nil {
		b = appendBytes(b, `,"sealed":`, e.Sealed)
	} else {
		b = append(append(b, `,"args":`...), e.Args...)
	}
	return append(b, '}')
}

func appendNumber(b []byte, name string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(append(b, name...), n, 10)
}

func appendText(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	quoted, _ := json.Marshal(text) // strings always can be
	return append(append(b, name...), quoted...)
}

func appendBytes(b []byte, name string, data []byte) []byte {
	if data == nil {
		return b
	}
	text, _ := json.Marshal(data) // bytes always can be
	return append(append(b, name...), text...)
}

// decode reads an envelope: quickly if it looks as encode writes it, else as
// any JSON.
func decode(body []byte) (envelope, error) {
	if env, ok := scan(body); ok {
		return env, nil
	}
	var env envelope
	if err := json.Unmarshal(body, &env); err != nil || env.Kind == "" {
		return envelope{}, errCorrupt
	}
	if env.Version > envelopeVersion {
		return env, errNewer
	}
	return env, nil
}

// scan reads what encode wrote for a job with plain arguments. It answers
// false for all else, also for what is no JSON, and leaves that to decode.
func scan(body []byte) (env envelope, ok bool) {
	rest, ok := bytes.CutPrefix(body, []byte(`{"v":1,"kind":"`))
	if !ok {
		return envelope{}, false
	}
	env.Version = envelopeVersion
	if env.Kind, rest, ok = plain(rest); !ok || env.Kind == "" {
		return envelope{}, false
	}
	for {
		name, value, found := bytes.Cut(rest, []byte(`":`))
		switch {
		case !found:
			return envelope{}, false
		case string(name) == `,"args`:
			end := len(value) - 1
			if end < 1 || value[end] != '}' || !json.Valid(value[:end]) {
				return envelope{}, false
			}
			env.Args = value[:end:end]
			return env, true
		case string(name) == `,"tenant`:
			if len(value) == 0 || value[0] != '"' {
				return envelope{}, false
			}
			env.Tenant, rest, ok = plain(value[1:])
		case string(name) == `,"max`:
			env.MaxAttempts, rest, ok = number(value)
		case string(name) == `,"due`:
			var due int
			due, rest, ok = number(value)
			env.Due = int64(due)
		default:
			return envelope{}, false
		}
		if !ok {
			return envelope{}, false
		}
	}
}

// plain reads printable ASCII up to a quote.
func plain(b []byte) (string, []byte, bool) {
	for i, c := range b {
		switch {
		case c == '"':
			return string(b[:i]), b[i+1:], true
		case c < ' ' || c == '\\' || c > '~':
			return "", nil, false
		}
	}
	return "", nil, false
}

// mostDigits is less by two than an int has.
const mostDigits = strconv.IntSize/32*9 - 1

// number reads digits, as many as an int has room for.
func number(b []byte) (int, []byte, bool) {
	n := 0
	for i, c := range b {
		if c < '0' || c > '9' {
			return n, b[i:], i > 0 && b[0] != '0'
		}
		if n = 10*n + int(c-'0'); i == mostDigits {
			break
		}
	}
	return 0, nil, false
}
