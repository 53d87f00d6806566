package archtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOutsideModules builds, for each block, a module outside of the
// repository that imports the block and tests on its fake alone, and compares
// the modules that got compiled in with the ones that may be.
func TestOutsideModules(t *testing.T) {
	pgx := []string{"github.com/jackc/pgx/v5", "github.com/jackc/pgpassfile", "github.com/jackc/pgservicefile", "github.com/jackc/puddle/v2", "golang.org/x/sync", "golang.org/x/text"}
	for block, allowed := range map[string][]string{
		"tenancy":   pgx, // a unit of work is a PostgreSQL transaction
		"cache":     {"github.com/maypok86/otter/v2"},
		"jobs":      nil,
		"billing":   nil,
		"notify":    nil,
		"analytics": nil,
		"httpx":     nil,
	} {
		t.Run(block, func(t *testing.T) {
			dir := outsideModule(t, block)
			list := outsideGo(t, dir, "list", "-deps", "-test", "-f", "{{with .Module}}{{.Path}}{{end}}", "./...")
			modules := slices.Compact(slices.Sorted(slices.Values(strings.Fields(list))))
			t.Logf("compiled in: %s", strings.Join(modules, " "))
			for _, m := range modules {
				if m != "example.com/outside" && m != "github.com/ashlar-go/ashlar" && !slices.Contains(allowed, m) {
					t.Errorf("a program that imports %s compiles %s", block, m)
				}
			}
			packages := outsideGo(t, dir, "list", "-deps", "-test", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./...")
			for _, p := range strings.Fields(packages) {
				p, ours := strings.CutPrefix(p, "github.com/ashlar-go/ashlar/")
				if block == "tenancy" && p == "internal/devstack" {
					continue // starts the server of tenancytest.Postgres
				}
				if ours && p != block && !strings.HasPrefix(p, block+"/") {
					t.Errorf("a program that imports %s compiles our %s", block, p)
				}
			}
			require.Contains(t, outsideGo(t, dir, "test", "./..."), "ok")
		})
	}
}

// outsideModule lays out the module of testdata/outside/<block>.
func outsideModule(t *testing.T, block string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	src, err := os.ReadFile(filepath.Join("testdata", "outside", block, "x_test.go"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x_test.go"), src, 0o600))
	// The versions and sums of the library itself, so that nothing has to be
	// looked up.
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600))
	mod := "module example.com/outside\n\ngo 1.26.0\n\nrequire github.com/ashlar-go/ashlar v0.0.0\n\nreplace github.com/ashlar-go/ashlar => " + root + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600))
	return dir
}

func outsideGo(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %s: %s", strings.Join(args, " "), out)
	return string(out)
}
