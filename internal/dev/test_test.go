package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTallyCountsWhatHappened runs go test on small modules, one per outcome.
func TestTallyCountsWhatHappened(t *testing.T) {
	const header = "package x\nimport \"testing\"\n"
	for name, c := range map[string]struct {
		src                     string
		passed, failed, skipped int
		shows                   string
	}{
		"pass":         {header + "func TestA(t *testing.T) {}\nfunc TestB(t *testing.T) {}\n", 2, 0, 0, "ok   x"},
		"fail":         {header + "func TestA(t *testing.T) {}\nfunc TestB(t *testing.T) { t.Error(\"planned\") }\n", 1, 1, 0, "planned"},
		"skip":         {header + "func TestA(t *testing.T) { t." + "Skip(\"no server\") }\n", 0, 0, 1, "no server"},
		"panic":        {header + "func TestA(t *testing.T) { panic(\"planned\") }\n", 0, 1, 0, "planned"},
		"exit":         {header + "import \"os\"\nfunc TestA(t *testing.T) { os.Exit(7) }\n", 0, 1, 0, "FAIL"},
		"no build":     {header + "func TestA(t *testing.T) { undefined() }\n", 0, 1, 0, "undefined: undefined"},
		"does not vet": {header + "import \"fmt\"\nfunc TestA(t *testing.T) { fmt.Printf(\"%d\", \"a\") }\n", 0, 1, 0, "Printf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n\ngo 1.26\n"), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "x_test.go"), []byte(c.src), 0o600))
			var out bytes.Buffer
			total := &tally{out: &out}
			require.NoError(t, goTest(t.Context(), total, dir, false, "./..."))
			total.report()
			require.Equal(t, []int{c.passed, c.failed, c.skipped}, []int{total.passed, total.failed, total.skipped}, "%s", &out)
			require.Contains(t, out.String(), c.shows)
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			require.Regexp(t, `^\d+ passed, \d+ failed, \d+ skipped$`, lines[len(lines)-1])
		})
	}
}

func TestBadCommandsAreExplained(t *testing.T) {
	t.Chdir("../..")
	for _, args := range [][]string{nil, {"tests"}, {"test", "jobs"}, {"bench", "a", "b"}} {
		require.ErrorIs(t, run(t.Context(), args, &bytes.Buffer{}), errUsage)
	}
	t.Chdir("internal")
	require.ErrorContains(t, run(t.Context(), []string{"test"}, &bytes.Buffer{}), "root of the repository")
}
