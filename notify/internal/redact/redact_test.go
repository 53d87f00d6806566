package redact_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify/internal/redact"
)

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"The 'To' number +14155550100 is not valid":    "The 'To' number [redacted] is not valid",
		"550 5.1.1 <ann.lee@x.io>: unknown (ann@y.io)": "550 5.1.1 <[redacted]>: unknown ([redacted])",
		"call (415) 555-0100 or %2B14155550100":        "call ([redacted] or [redacted]",
		"key SG.abcd is wrong":                         "key [redacted] is wrong",
		"code 21211 at 03:04, attempt 2":               "code 21211 at 03:04, attempt 2",
		"two\r\nlines\x00and\tmore":                    "two lines and more",
		"zoë@bücher.example and x%40y.io":              "[redacted] and [redacted]",
	} {
		require.Equal(t, want, redact.Text(in, "SG.abcd", "x"))
	}
	require.LessOrEqual(t, len(redact.Text(strings.Repeat("é", 1<<20))), 310)
	long := redact.Text(strings.Repeat(strings.Repeat("x", 90)+"@y.io ", 20)[:1195]+" SG.abcd", "SG.abcd")
	require.NotContains(t, long, "SG", "what is removed makes room for what follows")
}

func TestError(t *testing.T) {
	t.Parallel()
	cause := errors.New("for ann@example.com")
	err := redact.Error(fmt.Errorf("no: %w", cause), "ann@example.com", "")
	require.EqualError(t, err, "no: for [redacted]")
	require.ErrorIs(t, err, cause)
	require.Same(t, cause, redact.Error(cause, "other"))
	require.NoError(t, redact.Error(nil, "x"))
}

func FuzzText(f *testing.F) {
	f.Add("ann@example.com, +1 415 555 0100", "secret")
	f.Add("@@@@", "@")
	f.Add("x\u00a0@y 1-2-3-4-5-6-7", "\xff")
	phone := regexp.MustCompile(`\d{7}`)
	f.Fuzz(func(t *testing.T, s, secret string) {
		got := redact.Text(s, secret)
		require.True(t, utf8.ValidString(got))
		require.LessOrEqual(t, len(got), 310)
		require.NotRegexp(t, phone, got)
		require.NotContains(t, got, "\n")
	})
}
