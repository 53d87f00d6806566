package archtest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadmeProgram runs the README's program as it stands there.
func TestReadmeProgram(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	program := regexp.MustCompile("(?s)<!-- program -->\n```go\n(.*?)```").FindSubmatch(readme)
	require.NotNil(t, program, "README.md has no program")
	dir := outsideModule(t, "tenancy")
	require.NoError(t, os.Remove(filepath.Join(dir, "x_test.go")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), program[1], 0o600))
	require.Equal(t, `committed: true [{hi}]
another team sees 0 notes
no tenant: tenancy: no tenant in context; set one with WithID, or use System with a reason
`, outsideGo(t, dir, "run", "."))
}
