package archtest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGuidesQuoteCodeThatRuns: the code of a guide stands in the file that it names, which the compiler and the tests of
// that file keep right.
func TestGuidesQuoteCodeThatRuns(t *testing.T) {
	guides, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	quote := regexp.MustCompile("(?s)<!-- file: (\\S+) -->\n```go\n(.*?)```")
	quotes := 0
	for _, guide := range guides {
		text, err := os.ReadFile(guide)
		require.NoError(t, err)
		found := quote.FindAllSubmatch(text, -1)
		require.Equal(t, strings.Count(string(text), "```go"), len(found), "%s: every piece of Go names its file: <!-- file: path -->", guide)
		for _, m := range found {
			source, err := os.ReadFile(filepath.Join("../..", string(m[1])))
			require.NoError(t, err, guide)
			require.Contains(t, string(source), string(m[2]), "%s quotes %s, which has changed", guide, m[1])
			quotes++
		}
	}
	require.Positive(t, quotes)
}
