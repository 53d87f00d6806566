package tenancy

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzDiff applies the diff of two objects to the first and wants the second, and back.
func FuzzDiff(f *testing.F) {
	for _, seed := range [][2]string{
		{`{}`, `{"a":1}`}, {`{"a":1,"b":null}`, `{"b":null,"a":1.0}`}, {`{"a":{"b":[1,2]}}`, `{"a":{"b":[2,1]}}`},
		{`{"n":9007199254740993}`, `{"n":9007199254740992}`}, {`{"s":"é"}`, `{"s":"\u00e9"}`}, {`[]`, `{"a":"\u0000"}`}, {`{"old":1}`, `{"new":2}`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if !json.Valid(a) || !json.Valid(b) {
			return
		}
		text, err := diff(json.RawMessage(a), json.RawMessage(b))
		if err != nil {
			return // no object, or with NUL
		}
		var changes map[string]AuditChange
		require.NoError(t, json.Unmarshal(text, &changes))
		before, err := fieldsOf(json.RawMessage(a))
		require.NoError(t, err)
		after, err := fieldsOf(json.RawMessage(b))
		require.NoError(t, err)
		for name, c := range changes {
			require.True(t, bytes.Equal(before[name], c.Old) && bytes.Equal(after[name], c.New), "what was is in the diff")
			require.False(t, bytes.Equal(c.Old, c.New), "only what changed")
			if before[name] = c.New; c.New == nil {
				delete(before, name)
			}
		}
		require.Equal(t, len(after), len(before))
		for name := range after {
			require.True(t, bytes.Equal(after[name], before[name]))
		}
	})
}
