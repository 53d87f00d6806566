package devstack

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// oldestPostgres is the oldest major version that Ashlar's SQL runs on.
const oldestPostgres = 14

var postgresMissing = &NotFoundError{
	Server: "PostgreSQL",
	Tried:  []string{"DATABASE_URL", "$PGBIN", "postgres on PATH", "the usual install folders", "npm", "docker"},
	Install: map[string]string{
		"debian": "apt-get install -y postgresql",
		"macos":  "brew install postgresql@17",
		"any":    "install PostgreSQL, npm or docker",
	},
}

// folders are where packages put PostgreSQL's programs, each a glob.
func folders() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/usr/lib/postgresql*/bin",
		"/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/opt/local/lib/postgresql*/bin",
	}
}

// findPostgres returns a folder with initdb and postgres.
func findPostgres(ctx context.Context, progress io.Writer) (string, error) {
	dir, err := localPostgres()
	if dir == "" && err == nil {
		return npmPostgres(ctx, progress)
	}
	return dir, err
}

// localPostgres returns the folder of what is installed, "" for nothing.
func localPostgres() (string, error) {
	if dir := os.Getenv("PGBIN"); dir != "" {
		if !hasPostgres(dir) {
			return "", errors.New("devstack: PGBIN has no initdb and postgres: point it at PostgreSQL's bin folder or unset it")
		}
		return dir, nil
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil && hasPostgres(filepath.Dir(p)) {
			return filepath.Dir(p), nil
		}
	}
	var found []string
	for _, glob := range folders() {
		dirs, err := filepath.Glob(glob)
		if err != nil {
			return "", err
		}
		for _, dir := range dirs {
			if hasPostgres(dir) && major(dir) >= oldestPostgres {
				found = append(found, dir)
			}
		}
	}
	if len(found) == 0 {
		return "", nil
	}
	return slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) }), nil
}

func hasPostgres(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// major returns the version of the postgres in dir, 0 if it does not run.
func major(dir string) int {
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(out)) // postgres (PostgreSQL) 15.18 (Debian …)
	if len(fields) < 3 {
		return 0
	}
	v, _, _ := strings.Cut(fields[2], ".")
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0
	}
	return n
}

// HasPostgres reports whether this machine has PostgreSQL's programs, npm's
// package and docker left out.
func HasPostgres() bool {
	dir, err := localPostgres()
	return err == nil && dir != ""
}
