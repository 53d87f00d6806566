package main

import (
	"io"
	"net/http"
	"os"
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
	api := startCommand(t, port, env, "api", "-listen", "127.0.0.1:"+port, "-data", dir)
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
	require.Equal(t, 200, api.call("GET", "/ops/jobs/pulse/schedules", "", nil, nil), "the dashboard of a queue that others work on")
	require.Equal(t, 200, api.call("GET", "/ops/cache/", "", nil, nil), "the page about its own cache")
	metrics, err := http.Get(api.base + "/ops/metrics")
	require.NoError(t, err)
	defer metrics.Body.Close()
	text, err := io.ReadAll(metrics.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), `jobs_store_up{queue="pulse"} 1`)
	signalled := time.Now()
	require.NoError(t, api.cmd.Process.Signal(os.Interrupt))
	api.end(signalled)
}

func TestHelpIsNoError(t *testing.T) {
	t.Parallel()
	out, err := command("-h").Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "scheduler")
	require.Contains(t, string(out), "DATABASE_URL")
}
