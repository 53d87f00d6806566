package rediscache_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
)

const attackProcesses = 3

// attacking lets one attack at a time have the machine.
var attacking sync.Mutex

// attack starts the processes, then what faults starts, and stops all when the time is over or
// enough says so.
func attack(t *testing.T, o order, d time.Duration, faults []fault, enough func(*ground) bool) (sum verdict, g *ground) {
	t.Helper()
	attacking.Lock()
	defer attacking.Unlock()
	path, g := newGround(t)
	o.Ground, o.Processes = path, attackProcesses
	verdicts := make([]verdict, o.Processes)
	errs := make([]error, o.Processes)
	var wg sync.WaitGroup
	for i := range o.Processes {
		o.Process = i
		text, err := json.Marshal(o)
		require.NoError(t, err)
		wg.Go(func() { verdicts[i], errs[i] = runAttacker(string(text)) })
	}
	defer wg.Wait()
	defer g.over.Store(1)
	eventually(t, "all processes", func() bool { return g.ready.Load() == int64(o.Processes) })
	var stops []func()
	for _, f := range faults {
		stops = append(stops, every(f.every, f.cause))
	}
	end := time.Now().Add(d)
	for time.Now().Before(end) && (enough == nil || !enough(g)) {
		<-time.After(10 * time.Millisecond)
	}
	if enough == nil && faults == nil {
		eventually(t, "writes", func() bool { return g.writes.Load() > 50 })
	}
	for _, stop := range stops {
		stop()
	}
	g.over.Store(1)
	wg.Wait()
	for i, v := range verdicts {
		require.NoError(t, errs[i])
		sum.add(v)
	}
	t.Logf("%d processes: %d reads, %d writes, %d loads, %d invalidations refused; stale in the store %d, in the own process %d, older than a held commit %d; other memory at most %v late; stuck %d",
		o.Processes, sum.Reads, g.writes.Load(), sum.Loads, sum.Refused, g.stale.Load(), g.own.Load(), g.strict.Load(), sum.Late, sum.Stuck)
	require.Empty(t, sum.Err, "Fetch must not fail")
	return sum, g
}

// runAttacker runs one process of an attack to its end.
func runAttacker(order string) (v verdict, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), orderVariable+"="+order)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return v, err
	}
	if out.Len() == 0 {
		return v, nil // of a stampede
	}
	return v, json.Unmarshal(out.Bytes(), &v)
}

func requireCoherent(t *testing.T, v verdict, g *ground) {
	t.Helper()
	require.Zero(t, g.stale.Load(), "values from the store, older than an acknowledged invalidation")
	require.Zero(t, g.own.Load(), "values older than an invalidation of the same process")
	require.Zero(t, g.strict.Load(), "values older than a commit under a hold")
	require.LessOrEqual(t, v.Late, attackBound, "values from the memory of another process")
	require.Zero(t, v.Stuck, "old values at rest")
}

func seconds(short, full int) time.Duration {
	return time.Duration(testenv.Rounds(short, full)) * time.Second
}

// fault is something that goes wrong again and again.
type fault struct {
	every time.Duration
	cause func()
}

// every calls f at intervals until the test calls stop.
func every(d time.Duration, f func()) (stop func()) {
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				f()
			}
		}
	})
	return func() { close(over); wg.Wait() }
}

func TestAttack(t *testing.T) {
	t.Parallel()
	srv := testenv.RedisServer(t)
	v, g := attack(t, order{Redis: []string{srv.Addr}}, seconds(1, 60), nil, nil)
	requireCoherent(t, v, g)
}

// All subscribers are killed all the time, and Redis itself is frozen for longer than memory
// may be trusted.
func TestAttackWithFaults(t *testing.T) {
	t.Parallel()
	srv := testenv.RedisServer(t)
	rdb := srv.Client()
	v, g := attack(t, order{Redis: []string{srv.Addr}}, seconds(3, 60), []fault{
		{150 * time.Millisecond, func() {
			_ = rdb.ClientKillByFilter(context.Background(), "TYPE", "pubsub").Err() // not while it is frozen
		}},
		{seconds(1, 10), func() {
			srv.Pause()
			<-time.After(attackBound + attackBound/2)
			srv.Resume()
		}},
	}, nil)
	requireCoherent(t, v, g)
}

// Keys, stamps and messages are on three masters, whose order among each other nobody promises.
func TestAttackOnACluster(t *testing.T) {
	t.Parallel()
	c := testenv.RedisCluster(t, 3)
	v, g := attack(t, order{Redis: c.Addrs, Cluster: true}, seconds(1, 60), nil, nil)
	requireCoherent(t, v, g)
}

func TestAttackFindsPlantedFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		order order
		found func(*ground) int64
	}{
		"naive fills":    {order{Naive: true}, func(g *ground) int64 { return g.stale.Load() }},
		"no second look": {order{Short: true}, func(g *ground) int64 { return g.stale.Load() }},
		"late seqs":      {order{Late: true}, func(g *ground) int64 { return g.stale.Load() }},
		"unheld holds":   {order{Unheld: true}, func(g *ground) int64 { return g.strict.Load() }},
	} {
		t.Run(name, func(t *testing.T) {
			c.order.Redis = []string{testenv.RedisServer(t).Addr}
			_, g := attack(t, c.order, 2*time.Minute, nil, func(g *ground) bool { return c.found(g) > 0 })
			require.Positive(t, c.found(g), "an attack that this survives proves nothing")
		})
	}
}
