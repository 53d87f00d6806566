package main

import (
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// TestBadConfigurationIsOneSentence: no stack trace, no secret, exit code 1.
func TestBadConfigurationIsOneSentence(t *testing.T) {
	t.Parallel()
	locked := testenv.RedisServer(t, "--requirepass", "right")
	pg := passwordPostgres(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	nobody := freePort(t)
	for name, c := range map[string]struct {
		args, env []string
		want      string
	}{
		"unknown flag":            {args: []string{"-colour"}, want: "flag provided but not defined: -colour"},
		"unknown role":            {args: []string{"king"}, want: `unknown role "king"`},
		"unknown argument":        {args: []string{"all", "now"}, want: `unknown argument "now"`},
		"role without server":     {args: []string{"worker"}, want: "set DATABASE_URL"},
		"bad address":             {args: []string{"-listen", "nowhere"}, want: "is not host:port"},
		"proxies without a mask":  {args: []string{"-proxies", "10.0.0.1"}, want: "want networks like 10.0.0.0/8"},
		"a short seal":            {args: []string{"all"}, env: []string{"SEAL_KEY=k1:abcd"}, want: "SEAL_KEY: tenancy: the secret of a seal has 2 bytes"},
		"a seal that is no hex":   {args: []string{"all"}, env: []string{"SEAL_KEY=hidden"}, want: "SEAL_KEY: want <key id>:<64 hex digits>"},
		"not a URL":               {args: []string{"all"}, env: []string{"REDIS_URL=::hidden::"}, want: "REDIS_URL is not a URL"},
		"PostgreSQL away":         {args: []string{"all"}, env: []string{"DATABASE_URL=postgres://me:hidden@127.0.0.1:" + nobody + "/x"}, want: "cannot be reached"},
		"Redis away":              {args: []string{"all"}, env: []string{"REDIS_URL=redis://:hidden@127.0.0.1:" + nobody}, want: "REDIS_URL: the server cannot be reached"},
		"ClickHouse away":         {args: []string{"all"}, env: []string{"CLICKHOUSE_URL=http://me:hidden@127.0.0.1:" + nobody}, want: "CLICKHOUSE_URL"},
		"wrong password of Redis": {args: []string{"all"}, env: []string{"REDIS_URL=redis://:hidden@" + locked.Addr}, want: "REDIS_URL: WRONGPASS"},
		"no password of Redis":    {args: []string{"all"}, env: []string{"REDIS_URL=redis://" + locked.Addr}, want: "REDIS_URL: NOAUTH"},
		"wrong password of PostgreSQL": {
			args: []string{"all"},
			env:  []string{"APP_DATABASE_URL=" + pg, "SYSTEM_DATABASE_URL=" + pg},
			want: "APP_DATABASE_URL: the server refuses: password authentication failed",
		},
		"a role that sees everything": {
			args: []string{"all"},
			env:  []string{"APP_DATABASE_URL=" + asSuperuser(pg), "SYSTEM_DATABASE_URL=" + asSuperuser(pg)},
			want: "postgres is a superuser",
		},
		"half the roles": {args: []string{"all"}, env: []string{"APP_DATABASE_URL=" + pg}, want: "set both APP_DATABASE_URL and SYSTEM_DATABASE_URL"},
		"port taken":     {args: []string{"all", "-listen", taken.Addr().String()}, want: "the port cannot be opened"},
		"manage what":    {args: []string{"manage", "everything"}, want: "pulse manage migrate"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := command(append(c.args, "-data", dataDir(t))...)
			if len(c.args) > 1 && !strings.HasPrefix(c.args[1], "-") || strings.HasPrefix(c.args[0], "-") {
				cmd = command(c.args...)
			}
			cmd.Dir = dataDir(t)
			cmd.Env = append(cmd.Env, c.env...)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "%s", out)
			require.Equal(t, 1, exit.ExitCode())
			last := strings.TrimSpace(string(out))
			last = last[strings.LastIndex(last, "\n")+1:]
			require.True(t, strings.HasPrefix(last, "pulse: "), "%s", out)
			require.Contains(t, last, c.want)
			require.NotContains(t, string(out), "goroutine ")
			require.NotContains(t, string(out), "hidden")
		})
	}
}

// passwordPostgres starts a PostgreSQL that asks for passwords and returns a
// URL with a wrong one.
func passwordPostgres(t *testing.T) string {
	t.Helper()
	pg, err := devstack.Postgres(t.Context(), &devstack.PostgresOptions{URL: "none", Database: "pulse"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Close()) })
	conn, err := pgx.Connect(t.Context(), pg.AdminURL)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `alter role ashlar_app password 'right'`)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(pg.Dir, "pg_hba.conf"), []byte("local all postgres trust\nlocal all all scram-sha-256\n"), 0o600))
	_, err = conn.Exec(t.Context(), `select pg_reload_conf()`)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	wrong := strings.Replace(pg.AppURL, "ashlar_app@", "ashlar_app:hidden@", 1)
	eventually(t, "the server asks for passwords", func() bool {
		c, err := pgx.Connect(t.Context(), wrong)
		if err == nil {
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		return err != nil
	})
	return wrong
}

func asSuperuser(url string) string {
	return strings.Replace(url, "ashlar_app:hidden@", "postgres@", 1)
}

// TestInboxIsForThisMachine: the dev inbox shows the mail of all teams.
func TestInboxIsForThisMachine(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]bool{
		"-listen 127.0.0.1:8080": true,
		"-listen localhost:8080": true,
		"-listen [::1]:8080":     true,
		"-listen :8080":          false,
		"-listen 0.0.0.0:8080":   false,
		"-listen 127.0.0.1:8080 -base https://pulse.example.com": false,
		"-listen 0.0.0.0:8080 -base http://localhost:8080":       false,
		"-listen 127.0.0.1:8080 -proxies 127.0.0.0/8":            false,
	} {
		c, err := parse(strings.Fields(args), func(string) string { return "" }, io.Discard)
		require.NoError(t, err)
		require.Equal(t, want, c.local(), args)
	}
}

func TestProxiesAddUp(t *testing.T) {
	t.Parallel()
	c, err := parse(strings.Fields("-proxies 10.0.0.0/8,fd00::/8 -proxies 192.0.2.0/24"), func(string) string { return "" }, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("192.0.2.0/24")}, c.proxies)
}
