package guard

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEachExceptionIsThereOnce: a reviewer reads the list, and one reason.
func TestEachExceptionIsThereOnce(t *testing.T) {
	t.Parallel()
	seen := map[Exception]bool{}
	for _, e := range own() {
		e.Reason = ""
		require.False(t, seen[e], "%s %s", e.Rule, e.Object)
		seen[e] = true
	}
}
