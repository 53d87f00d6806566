package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// TestTheWholeOfAJobIsShown: its texts are on several lines, but none of their characters is cut or left out.
func TestTheWholeOfAJobIsShown(t *testing.T) {
	t.Parallel()
	id, long := strings.Repeat("i", 128), "{"+strings.Repeat("\x1bé", 150)
	var out bytes.Buffer
	wholeView{{ID: id, Error: "first\n\n" + long, Args: []byte(`{"to":"` + strings.Repeat("日", 150) + `"}`)}}.table(&out)
	require.Contains(t, out.String(), id)
	require.Contains(t, out.String(), "  first\n  \n  {")
	joined := strings.ReplaceAll(out.String(), "\n  ", "")
	require.Contains(t, joined, "{"+strings.Repeat("·é", 150))
	require.Contains(t, joined, `{"to":"`+strings.Repeat("日", 150)+`"}`)
	require.NotContains(t, out.String(), "\ufffd")
	for line := range strings.Lines(out.String()) {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 140)
	}

	out.Reset()
	jobsView{{ID: "a", Error: long}}.table(&out)
	require.NotContains(t, out.String(), strings.Repeat("·é", 30), "a table has short fields")
	require.True(t, utf8.Valid(out.Bytes()))
	require.NotContains(t, out.String(), "\ufffd")
}
