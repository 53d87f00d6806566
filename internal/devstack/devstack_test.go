package devstack_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/internal/devstack/memredis"
)

// TestMain lets the test binary be a program that starts the servers and is
// then killed, see TestServersEndWithTheirProgram.
func TestMain(m *testing.M) {
	if os.Getenv("DEVSTACK_CHILD") == "" {
		os.Exit(m.Run())
	}
	ctx := context.Background()
	pg, err := devstack.Postgres(ctx, &devstack.PostgresOptions{URL: "none"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	rd, err := devstack.Redis(ctx, &devstack.RedisOptions{URL: "none"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	pb, err := devstack.PgBouncer(ctx, pg, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(pg.Dir)
	fmt.Println(pg.Pid(), rd.Pid(), pb.Pid())
	switch os.Getenv("DEVSTACK_CHILD") {
	case "exit":
		os.Exit(3)
	case "panic":
		panic("planned")
	}
	select {} // until it is killed
}

func TestServersEndWithTheirProgram(t *testing.T) {
	for _, end := range []string{"exit", "panic", "kill"} {
		t.Run(end, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "DEVSTACK_CHILD="+end)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			in := bufio.NewScanner(out)
			require.True(t, in.Scan(), "the child printed nothing")
			dir := in.Text()
			require.True(t, in.Scan())
			pids := strings.Fields(in.Text())
			require.Len(t, pids, 3)
			if end == "kill" {
				for _, p := range pids {
					require.True(t, running(t, p), "a server is gone before its program")
				}
				require.NoError(t, cmd.Process.Kill())
			}
			require.Error(t, cmd.Wait())
			for _, p := range pids {
				require.Eventually(t, func() bool { return !running(t, p) }, time.Minute, 10*time.Millisecond, "server %s outlived its program", p)
			}
			require.Eventually(t, func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) }, time.Minute, 10*time.Millisecond, "data left behind")
		})
	}
}

// TestServersRunAsAUser starts them without root's rights, when the tests have
// those; otherwise all other tests do.
func TestServersRunAsAUser(t *testing.T) {
	home := t.TempDir()
	bin := filepath.Join(home, "devstack.test")
	src, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(bin, src, 0o755))
	cmd := exec.Command(bin)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "DEVSTACK_CHILD=exit", "HOME="+home, "XDG_CACHE_HOME="+home, "TMPDIR=/tmp")
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		require.NoError(t, err)
		uid, err := strconv.Atoi(nobody.Uid)
		require.NoError(t, err)
		for _, d := range []string{home, filepath.Dir(home)} {
			require.NoError(t, os.Chmod(d, 0o777))
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 3, exit.ExitCode(), "%s", out) // what the child ends with once all run
}

// running reports whether a process exists and is more than a zombie that
// nobody reaped.
func running(t *testing.T, pid string) bool {
	n, err := strconv.Atoi(pid)
	require.NoError(t, err)
	if syscall.Kill(n, 0) != nil {
		return false
	}
	state, err := exec.Command("ps", "-o", "stat=", "-p", pid).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
}

func TestPostgresRoles(t *testing.T) {
	ctx := t.Context()
	pg, err := devstack.Postgres(ctx, &devstack.PostgresOptions{URL: "none"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Close()) })
	for url, want := range map[string]string{pg.AppURL: "tenancy_app", pg.SystemURL: "tenancy_system"} {
		conn, err := pgx.Connect(ctx, url)
		require.NoError(t, err)
		var super, bypass, member bool
		require.NoError(t, conn.QueryRow(ctx, `select rolsuper, rolbypassrls, pg_has_role(current_user, $1, 'member')
			from pg_roles where rolname = current_user`, want).Scan(&super, &bypass, &member))
		require.False(t, super)
		require.False(t, bypass)
		require.True(t, member)
		_, err = conn.Exec(ctx, `create table public.x (a int)`)
		require.ErrorContains(t, err, "permission denied")
		require.NoError(t, conn.Close(ctx))
	}
}

func TestPostgresKeepsItsDirThroughKill(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		require.NoError(t, os.Chmod(d, 0o755)) // PostgreSQL's account must get there, too
	}
	o := &devstack.PostgresOptions{URL: "none", Dir: dir + "/data"}
	pg, err := devstack.Postgres(ctx, o)
	require.NoError(t, err)
	conn, err := pgx.Connect(ctx, pg.OwnerURL)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, `create table kept (a int); insert into kept values (42)`)
	require.NoError(t, err)

	_, err = devstack.Postgres(shortContext(t), o)
	require.ErrorContains(t, err, "in use by another PostgreSQL")

	require.Equal(t, dir+"/data", pg.Dir)
	require.NoError(t, pg.Kill())
	require.NoError(t, pg.Close())
	pg, err = devstack.Postgres(ctx, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Close()) })
	conn, err = pgx.Connect(ctx, pg.AdminURL)
	require.NoError(t, err)
	var a int
	require.NoError(t, conn.QueryRow(ctx, `select a from kept`).Scan(&a))
	require.Equal(t, 42, a)
	require.NoError(t, conn.Close(ctx))
}

func shortContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestPostgresByURL(t *testing.T) {
	ctx := t.Context()
	pg, err := devstack.Postgres(ctx, &devstack.PostgresOptions{URL: "none"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Close()) })
	given, err := devstack.Postgres(ctx, &devstack.PostgresOptions{URL: pg.AdminURL})
	require.NoError(t, err)
	conn, err := pgx.Connect(ctx, given.AppURL)
	require.NoError(t, err)
	require.NoError(t, conn.Close(ctx))
	require.NoError(t, given.Close())

	_, err = devstack.Postgres(ctx, &devstack.PostgresOptions{URL: "postgres://me:hidden@127.0.0.1:1/x"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hidden")
}

// TestPgBouncerSharesConnections holds one transaction per connection open
// and sees that the next one waits, while idle clients hold none.
func TestPgBouncerSharesConnections(t *testing.T) {
	ctx := t.Context()
	pg, err := devstack.Postgres(ctx, &devstack.PostgresOptions{URL: "none"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Close()) })
	pb, err := devstack.PgBouncer(ctx, pg, &devstack.PgBouncerOptions{Conns: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pb.Close()) })
	var seen []int
	for _, raw := range []string{pg.AppURL, pg.AppURL, pg.SystemURL} {
		conn, err := pgx.Connect(ctx, pb.URL(raw))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, conn.Close(context.WithoutCancel(ctx))) })
		var pid int
		require.NoError(t, conn.QueryRow(ctx, `select pg_backend_pid()`).Scan(&pid))
		seen = append(seen, pid)
	}
	require.Equal(t, seen[0], seen[1], "two clients, one connection")
	require.NotEqual(t, seen[0], seen[2], "another role, another connection")
}

func TestMissingServerSaysHowToInstallIt(t *testing.T) {
	t.Setenv("PATH", "")
	t.Setenv("PGBIN", t.TempDir())
	_, err := devstack.Postgres(t.Context(), &devstack.PostgresOptions{URL: "none"})
	require.ErrorContains(t, err, "PGBIN")
}

func TestRedis(t *testing.T) {
	for name, o := range map[string]*devstack.RedisOptions{
		"socket":     {URL: "none"},
		"tcp":        {URL: "none", TCP: true},
		"long names": {URL: "none", Dir: t.TempDir() + "/" + strings.Repeat("long", 30)},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := devstack.Redis(t.Context(), o)
			require.NoError(t, err)
			ro, err := redis.ParseURL(s.URL)
			require.NoError(t, err)
			c := redis.NewClient(ro)
			require.NoError(t, c.Set(t.Context(), "a", 1, 0).Err())
			require.NoError(t, c.Close())
			require.NoError(t, s.Close())
			require.NoError(t, s.Close(), "the second Close does nothing")
		})
	}
}

func TestRedisRefusesUnknownArguments(t *testing.T) {
	_, err := devstack.Redis(t.Context(), &devstack.RedisOptions{URL: "none", Args: []string{"--no-such-option", "1"}})
	require.ErrorContains(t, err, "ended while starting")
}

func TestMemredisLetsTimePass(t *testing.T) {
	url, err := memredis.Start(t.Context())
	require.NoError(t, err)
	o, err := redis.ParseURL(url)
	require.NoError(t, err)
	c := redis.NewClient(o)
	defer c.Close()
	require.NoError(t, c.Set(t.Context(), "a", 1, 100*time.Millisecond).Err())
	require.Eventually(t, func() bool { return c.Exists(t.Context(), "a").Val() == 0 }, time.Minute, 10*time.Millisecond)
}
