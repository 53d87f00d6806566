package devstack_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
)

// TestClickHouseEndsWithItsProgram runs itself as the program that starts a
// server and then ends in some way.
func TestClickHouseEndsWithItsProgram(t *testing.T) {
	if end := os.Getenv("DEVSTACK_CLICKHOUSE_CHILD"); end != "" {
		s, err := devstack.ClickHouse(t.Context(), &devstack.ClickHouseOptions{URL: "none"})
		require.NoError(t, err)
		fmt.Println("started", s.Dir, s.Pid(), s.Addr)
		switch end {
		case "exit":
			os.Exit(3)
		case "panic":
			panic("planned")
		}
		select {} // until it is killed
	}
	for _, end := range []string{"exit", "panic", "kill"} {
		t.Run(end, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestClickHouseEndsWithItsProgram$")
			cmd.Env = append(os.Environ(), "DEVSTACK_CLICKHOUSE_CHILD="+end)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			in := bufio.NewScanner(out)
			var words []string
			for len(words) == 0 && in.Scan() {
				if rest, ok := strings.CutPrefix(in.Text(), "started "); ok {
					words = strings.Fields(rest)
				}
			}
			require.Len(t, words, 3, "the child started no server")
			dir, pid := words[0], words[1]
			if end == "kill" {
				require.True(t, running(t, pid), "the server is gone before its program")
				require.Equal(t, "1\n", ask(t, words[2], "SELECT 1"))
				require.NoError(t, cmd.Process.Kill())
			}
			require.Error(t, cmd.Wait())
			require.Eventually(t, func() bool { return !running(t, pid) }, time.Minute, 10*time.Millisecond, "the server outlived its program")
			require.Eventually(t, func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) }, time.Minute, 10*time.Millisecond, "data left behind")
		})
	}
}

// ask sends one query to a server.
func ask(t *testing.T, addr, sql string) string {
	t.Helper()
	res, err := http.Post("http://"+addr+"/", "text/plain", strings.NewReader(sql))
	require.NoError(t, err)
	defer res.Body.Close()
	var b strings.Builder
	_, err = bufio.NewReader(res.Body).WriteTo(&b)
	require.NoError(t, err)
	return b.String()
}

func TestClickHouseKeepsItsDirectory(t *testing.T) {
	t.Parallel()
	opts := &devstack.ClickHouseOptions{URL: "none", Dir: t.TempDir()}
	s, err := devstack.ClickHouse(t.Context(), opts)
	require.NoError(t, err)
	require.Equal(t, "http://"+s.Addr, s.URL)
	require.Empty(t, ask(t, s.Addr, "CREATE TABLE default.kept (n UInt8) ENGINE = MergeTree ORDER BY n"))
	require.Empty(t, ask(t, s.Addr, "INSERT INTO default.kept VALUES (7)"))
	// A crash, then the same port and data again.
	_, port, ok := strings.Cut(s.Addr, ":")
	require.True(t, ok)
	opts.Port, err = strconv.Atoi(port)
	require.NoError(t, err)
	require.NoError(t, s.Kill())
	require.NoError(t, s.Close())
	again, err := devstack.ClickHouse(t.Context(), opts)
	require.NoError(t, err)
	require.Equal(t, s.Addr, again.Addr)
	require.Equal(t, "7\n", ask(t, again.Addr, "SELECT n FROM default.kept"))

	_, err = devstack.ClickHouse(t.Context(), opts)
	require.ErrorContains(t, err, "ended while starting", "the port and the directory are taken")
	require.NoError(t, again.Close())
	require.NoError(t, again.Close(), "a second time")
}

func TestClickHouseByURL(t *testing.T) {
	t.Setenv("CLICKHOUSE_URL", "http://user:secret@db.example.com:8123/?database=x")
	s, err := devstack.ClickHouse(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, "db.example.com:8123", s.Addr)
	require.NoError(t, s.Close())
	t.Setenv("CLICKHOUSE_URL", "secret@nonsense")
	_, err = devstack.ClickHouse(t.Context(), nil)
	require.ErrorContains(t, err, "CLICKHOUSE_URL")
	require.NotContains(t, err.Error(), "secret")
}

// goOnly makes a PATH with nothing but the Go toolchain, whose caches stay the
// same wherever HOME points.
func goOnly(t *testing.T) {
	t.Helper()
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		value, err := exec.Command("go", "env", name).Output()
		require.NoError(t, err)
		t.Setenv(name, strings.TrimSpace(string(value)))
	}
	goBin, err := exec.LookPath("go")
	require.NoError(t, err)
	goBin, err = filepath.EvalSymlinks(goBin)
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(goBin, filepath.Join(bin, "go")))
	t.Setenv("PATH", bin)
	t.Setenv("CLICKHOUSE_URL", "")
}

func TestClickHouseMissing(t *testing.T) {
	goOnly(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // no engine installed yet
	t.Setenv("HOME", t.TempDir())
	_, err := devstack.ClickHouse(t.Context(), nil)
	require.ErrorIs(t, err, devstack.ErrNotFound)
	var missing *devstack.NotFoundError
	require.ErrorAs(t, err, &missing)
	require.NotEmpty(t, missing.Line())
	require.ErrorContains(t, err, missing.Line())
}

// TestInstalledClickHouseComesFirst puts a program called clickhouse on PATH
// that understands the configuration file and is our engine inside.
func TestInstalledClickHouseComesFirst(t *testing.T) {
	engine, err := devstack.ClickHouse(t.Context(), &devstack.ClickHouseOptions{URL: "none"})
	require.NoError(t, err)
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", engine.Pid()))
	require.NoError(t, err)
	require.NoError(t, engine.Close())
	bin := t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
[ "$1 $2" = "server --config-file" ] || exit 2
value() { sed -n "s|.*<$1>\(.*\)</$1>.*|\1|p" "$config" | head -n 1; }
config=$3
exec %s -addr "$(value listen_host):$(value http_port)" -dir "$(value path)"
`, program)
	require.NoError(t, os.WriteFile(filepath.Join(bin, "clickhouse"), []byte(script), 0o700))
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	s, err := devstack.ClickHouse(t.Context(), &devstack.ClickHouseOptions{URL: "none"})
	require.NoError(t, err)
	require.Equal(t, "1\n", ask(t, s.Addr, "SELECT 1"))
	require.FileExists(t, filepath.Join(s.Dir, "config.xml"))
	require.NoError(t, s.Close())
	require.NoDirExists(t, s.Dir)
}
