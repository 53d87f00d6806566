package main

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// TestRolesInSeparateProcesses runs pulse as one would in production: servers
// given by URL, migrations first, then a process per role.
func TestRolesInSeparateProcesses(t *testing.T) {
	t.Parallel()
	pg, err := devstack.Postgres(t.Context(), &devstack.PostgresOptions{URL: "none", Database: "pulse"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Close()) })
	ch := testenv.ClickHouse(t)
	env := []string{
		"DATABASE_URL=" + pg.AdminURL,
		"SEAL_KEY=k1:" + strings.Repeat("5e", 32),
		"REDIS_URL=redis://" + testenv.RedisServer(t).Addr,
		"CLICKHOUSE_URL=" + ch.URL + "/" + ch.Database,
		"OPS_PASSWORD=for operators",
	}
	dir, port := dataDir(t), freePort(t)
	migrate := command("manage", "migrate")
	migrate.Env = append(migrate.Env, env...)
	out, err := migrate.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Regexp(t, `(?m)^applied \d+ migrations$`, string(out))
	require.Contains(t, string(out), "source=pulse")

	// The roles with the least rights that do: only migrations need the owner.
	env = append(env[1:], "APP_DATABASE_URL="+pg.AppURL, "SYSTEM_DATABASE_URL="+pg.SystemURL)
	for _, role := range []string{"worker", "scheduler"} {
		cmd := command(role, "-data", dir, "-allow-private")
		cmd.Env = append(cmd.Env, env...)
		logs := &buffer{}
		cmd.Stdout, cmd.Stderr = logs, logs
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
			require.NoError(t, cmd.Wait(), "%s: %s", role, logs)
		})
	}
	api := startCommand(t, port, env, "api", "-listen", "127.0.0.1:"+port, "-data", dir, "-proxies", "127.0.0.0/8", "-proxies", "10.0.0.0/8")
	var team struct {
		Key string `json:"api_key"`
	}
	require.Equal(t, 201, api.call("POST", "/signup", "", map[string]string{"team": "Acme", "slug": "acme", "email": "ops@acme.example"}, &team))
	var monitor struct{ ID, State string }
	require.Equal(t, 201, api.call("POST", "/monitors", team.Key, map[string]string{"name": "Itself", "url": api.base + "/livez", "interval": "5s"}, &monitor))
	eventually(t, "a check by the worker", func() bool {
		api.call("GET", "/monitors/"+monitor.ID, team.Key, nil, &monitor)
		return monitor.State == "up"
	})
	eventually(t, "its event in ClickHouse", func() bool { return api.checks(team.Key, monitor.ID) >= 1 })
	require.Equal(t, 200, api.call("GET", "/readyz", "", nil, nil))
	ops := strings.Replace(api.base, "://", "://me:for%20operators@", 1)
	for path, shows := range map[string]string{
		"/ops/jobs/pulse/schedules": "", // the dashboard of a queue that others work on
		"/ops/cache/":               "", // the page about its own cache
		"/ops/metrics":              `jobs_store_up{queue="pulse"} 1`,
	} {
		require.Equal(t, 401, api.call("GET", path, "", nil, nil), path)
		page, err := http.Get(ops + path)
		require.NoError(t, err)
		text, err := io.ReadAll(page.Body)
		require.NoError(t, err)
		require.NoError(t, page.Body.Close())
		require.Equal(t, 200, page.StatusCode, path)
		require.Contains(t, string(text), shows)
	}
	behindProxies(t, api)
	signalled := time.Now()
	require.NoError(t, api.cmd.Process.Signal(os.Interrupt))
	api.end(signalled)
}

// behindProxies: clients that come through proxies are told apart, by what a proxy wrote and not by what a client did.
func behindProxies(t *testing.T, p *program) {
	t.Helper()
	signUp := func(forwarded string) int {
		req, err := http.NewRequestWithContext(t.Context(), "POST", p.base+"/signup", strings.NewReader(`{"team":"x","slug":"../x","email":"x@x.example"}`)) // counts, though refused
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Forwarded-For", forwarded)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	require.Equal(t, 422, signUp("198.51.100.7"))
	for n := 1; signUp("198.51.100.7, 10.1.2.3") != 429; n++ {
		require.Less(t, n, 40, "20 are allowed, and some more while Redis is too slow for its timeout")
	}
	require.Equal(t, 422, signUp("198.51.100.8"))
	for n := 1; signUp("198.51.100."+strconv.Itoa(100+n)+", 198.51.100.8") != 429; n++ {
		require.Less(t, n, 40, "what a client makes up is not believed")
	}
}

func TestHelpIsNoError(t *testing.T) {
	t.Parallel()
	out, err := command("-h").Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "scheduler")
	require.Contains(t, string(out), "DATABASE_URL")
}
