package redisjobs_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// slowest answers how long the longest call took that Redis worked on since it
// was started, and how many took more than 20 ms.
func slowest(t *testing.T, rdb *redis.Client) (worst time.Duration, long int) {
	// Not SlowLogGet, which fails at an entry without arguments; Redis 7.0 has one now and then.
	slow, err := rdb.Do(t.Context(), "slowlog", "get", "-1").Slice()
	require.NoError(t, err)
	for _, entry := range slow {
		took := time.Duration(entry.([]any)[2].(int64)) * time.Microsecond
		if worst = max(worst, took); took > 20*time.Millisecond {
			long++
		}
	}
	return worst, long
}

// enqueueRate is how many of the same jobs EnqueueMany stores a second, a
// tenant's at a time, as one process that does nothing else.
func (c *crowd) enqueueRate(n int) float64 {
	require.NoError(c.t, c.rdb.FlushAll(c.t.Context()).Err())
	const tenants, callers = 500, 4
	began := time.Now()
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for tenant := caller; tenant < tenants; tenant += callers {
				var items []jobs.Item
				for i := tenant; i < n; i += tenants {
					items = append(items, jobs.Item{Args: Check{ID: i}})
				}
				if _, err := c.q.EnqueueMany(withTenant(c.t.Context(), crowdTenant(tenant)), items); err != nil {
					c.t.Errorf("enqueue: %v", err)
				}
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(began).Seconds()
}

// mired is a store whose second call to fire does not return.
type mired struct {
	*redisjobs.Driver
	calls atomic.Int64
}

func (m *mired) FireDue(ctx context.Context, ticks []driver.DueTick) ([]driver.FiredTick, error) {
	if m.calls.Add(1) > 1 {
		fmt.Println("mired")
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return m.Driver.FireDue(ctx, ticks)
}

// fireWorker fires schedules and nothing else, perhaps until it is mired.
func fireWorker(rdb *redis.Client, mire bool) error {
	d, err := redisjobs.New(rdb, nil)
	if err != nil {
		return err
	}
	var store driver.Driver = d
	if mire {
		store = &mired{Driver: d}
	}
	q, err := jobs.New(store, &jobs.Options{Concurrency: -1, Logger: quiet, Tenant: tenantOf, WithTenant: withTenant})
	if err != nil {
		return err
	}
	return q.Run(context.Background())
}

// Three processes die in the middle of a burst, with ticks that they have
// claimed: a fourth fires those, too, when the claims have lapsed.
func TestKilledInABurst(t *testing.T) {
	t.Parallel()
	n := testenv.Rounds(5000, 50_000)
	var at time.Time
	var c *crowd
	var addr string
	for lead := time.Duration(testenv.Rounds(10, 30)) * time.Second; !time.Now().Before(at); lead *= 2 { // to store them takes its time
		at = time.Now().UTC().Add(lead).Truncate(time.Second)
		c, addr = newCrowd(t, n, at.Format("5 4 15 2 1 *"))
	}
	begin := func(mode string) (*exec.Cmd, *bufio.Scanner) {
		exe, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.Command(exe, "--", mode, addr)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		return cmd, bufio.NewScanner(out)
	}
	kill := func(cmd *exec.Cmd) {
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "a killed process has no clean exit")
	}
	fired := func() int {
		stats, err := c.q.Stats(t.Context())
		require.NoError(t, err)
		return stats.Ready
	}
	var victims [3]*exec.Cmd
	var lines [3]*bufio.Scanner
	for i := range victims {
		victims[i], lines[i] = begin("mired")
	}
	for i := range victims {
		require.True(t, lines[i].Scan(), "it ended by itself")
	}
	require.False(t, time.Now().Before(at), "fired early")
	for _, v := range victims {
		kill(v)
	}
	done := fired()
	claimed, err := c.rdb.HLen(t.Context(), "jobs:{default}:claims").Result()
	require.NoError(t, err)
	if marked, err := c.rdb.HExists(t.Context(), "jobs:{default}:claims", strings.Repeat("-", 301)).Result(); err != nil || marked {
		require.NoError(t, err)
		claimed-- // the field that makes the hash a table
	}
	require.Positive(t, done)
	require.Positive(t, claimed, "nobody held a tick")
	heir, _ := begin("fires")
	defer kill(heir)
	began := time.Now()
	require.Eventually(t, func() bool { return fired() == n+1 }, time.Minute, 10*time.Millisecond, "ticks are missing")
	t.Logf("%d of %d were fired, %d claimed when three processes died; the fourth had fired all after %s", done, n+1, claimed, time.Since(began).Round(time.Millisecond))
	require.Eventually(t, func() bool {
		left, err := c.rdb.Exists(t.Context(), "jobs:{default}:claims").Result()
		return err == nil && left == 0
	}, time.Minute, 10*time.Millisecond, "claims are left")
}
