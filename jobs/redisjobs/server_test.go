package redisjobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// Blob is a job that takes room.
type Blob struct{ Data string }

func (Blob) Kind() string { return "blob" }

func TestFullRedisDrains(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t, "--maxmemory", "8mb")
	rdb := server.Client()
	opts := options()
	opts.Lease = 15 * time.Second
	q, err := queue(rdb, opts)
	require.NoError(t, err)
	stored := 0
	blob := Blob{Data: strings.Repeat("x", 4000)}
	for err == nil {
		if _, err = q.Enqueue(t.Context(), blob, nil); err == nil {
			stored++
		}
	}
	require.ErrorIs(t, err, driver.ErrFull)
	require.Greater(t, stored, 500)
	// From here on it is full for certain, whatever buffers are freed.
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory", "1").Err())

	var mu sync.Mutex
	ran, failed := 0, 0
	jobs.Handle(q, func(ctx context.Context, b Blob) error {
		mu.Lock()
		defer mu.Unlock()
		if info, _ := jobs.InfoFrom(ctx); info.Attempt == 1 && failed < 20 {
			failed++
			return errors.New("retries must work on a full server too")
		}
		ran++
		return nil
	})
	stop := start(t, q)
	empty(t, q, time.Minute)
	require.NoError(t, stop())
	require.Equal(t, stored, ran)
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory", "8mb").Err())
	_, err = q.Enqueue(t.Context(), blob, nil)
	require.NoError(t, err, "there is room again")
}

func TestEvictingRedisIsRefused(t *testing.T) {
	t.Parallel()
	rdb := testenv.RedisServer(t, "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru").Client()
	q, err := queue(rdb, options())
	require.NoError(t, err)
	_, err = q.Enqueue(t.Context(), Count{}, nil)
	require.ErrorIs(t, err, redisjobs.ErrEvicts)
	err = q.Run(t.Context())
	require.ErrorIs(t, err, redisjobs.ErrEvicts)
	require.ErrorContains(t, err, "maxmemory-policy allkeys-lru")
	require.ErrorContains(t, err, "set noeviction")
	d, err := redisjobs.New(rdb, &redisjobs.Options{AllowEviction: true})
	require.NoError(t, err)
	_, err = d.Push(t.Context(), driver.Push{Jobs: []driver.Job{{ID: "a"}}})
	require.NoError(t, err)
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	_, err = q.Enqueue(t.Context(), Count{}, nil)
	require.NoError(t, err, "without a restart")
}

// A queue may move to any node of a Cluster: one that evicts is one too many.
func TestEvictingNodeOfAClusterIsRefused(t *testing.T) {
	t.Parallel()
	c := testenv.RedisCluster(t, 2)
	push := func() error {
		_, err := open(t, c.Client()).Push(t.Context(), driver.Push{Jobs: []driver.Job{{ID: "a"}}})
		return err
	}
	require.NoError(t, push())
	// A node lists a replica once it has heard that it got something.
	for i := range 20 {
		require.NoError(t, c.Client().Set(t.Context(), fmt.Sprint("key", i), "x", 0).Err())
	}
	for _, node := range c.Nodes {
		rdb := node.Client()
		require.Eventually(t, func() bool {
			ranges, err := rdb.ClusterSlots(t.Context()).Result()
			listed := 0
			for _, r := range ranges {
				listed += len(r.Nodes)
			}
			return err == nil && listed == len(c.Nodes)
		}, time.Minute, 50*time.Millisecond)
	}
	for i, node := range c.Nodes {
		set := func(policy string) {
			require.NoError(t, node.Client().ConfigSet(t.Context(), "maxmemory-policy", policy).Err())
		}
		require.NoError(t, node.Client().ConfigSet(t.Context(), "maxmemory", "50mb").Err())
		set("allkeys-lru")
		err := push()
		require.ErrorIs(t, err, redisjobs.ErrEvicts, "node %d", i)
		require.ErrorContains(t, err, "maxmemory-policy allkeys-lru of "+node.Addr)
		set("noeviction")
		require.NoError(t, push(), "node %d", i)
	}
	c.Nodes[3].Kill()
	require.NoError(t, push(), "a replica that is down keeps nobody from working")
}

func TestFlushedScriptsAreLoadedAgain(t *testing.T) {
	t.Parallel()
	rdb := testenv.RedisServer(t).Client()
	q, err := counter(open(t, rdb), rdb, options())
	require.NoError(t, err)
	failures := &warnings{Handler: quiet.Handler()}
	opts := options()
	opts.Lease, opts.Logger = 15*time.Second, slog.New(failures)
	other, err := counter(open(t, rdb), rdb, opts)
	require.NoError(t, err)
	stops := []func() error{start(t, q), start(t, other)}
	var producers sync.WaitGroup
	for p := range 4 {
		producers.Go(func() {
			for i := range 100 {
				if _, err := q.Enqueue(t.Context(), Count{N: 1000*p + i}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done, flushes := make(chan struct{}), 0
	go func() {
		producers.Wait()
		close(done)
	}()
	for working := true; working; flushes++ {
		select {
		case <-done:
			working = false
		case <-time.After(2 * time.Millisecond):
			require.NoError(t, rdb.ScriptFlush(t.Context()).Err())
		}
	}
	empty(t, q, time.Minute)
	for _, stop := range stops {
		require.NoError(t, stop())
	}
	seen, _ := tally(t, rdb)
	require.Len(t, seen, 400)
	require.Zero(t, failures.n.Load(), "nobody notices")
	t.Logf("400 jobs, scripts flushed %d times", flushes)
	leftovers(t, rdb)
}

// cluster is a Redis Cluster of one node: it refuses undeclared keys and keys
// of different slots like a large one.
func cluster(t testing.TB) *redis.ClusterClient {
	t.Helper()
	server := testenv.RedisServer(t, "--cluster-enabled", "yes")
	require.NoError(t, server.Client().ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr}})
	t.Cleanup(func() { _ = rdb.Close() })
	require.Eventually(t, func() bool {
		return rdb.Set(t.Context(), "probe", "x", 0).Err() == nil
	}, time.Minute, 10*time.Millisecond)
	return rdb
}

func TestConformanceCluster(t *testing.T) {
	t.Parallel()
	rdb := cluster(t)
	var mu sync.Mutex
	n := 0
	jobstest.Run(t, func(t testing.TB) driver.Driver {
		mu.Lock()
		defer mu.Unlock()
		n++
		d, err := redisjobs.New(rdb, &redisjobs.Options{Queue: "q" + strconv.Itoa(n)})
		require.NoError(t, err)
		return d
	}, jobstest.Features{})
}

func TestQueuesAreApart(t *testing.T) {
	t.Parallel()
	rdb := testenv.Redis(t)
	a, err := redisjobs.New(rdb, nil)
	require.NoError(t, err)
	for _, opts := range []*redisjobs.Options{{Queue: "mail"}, {Prefix: "staging"}} {
		other, err := redisjobs.New(rdb, opts)
		require.NoError(t, err)
		_, err = other.Push(t.Context(), driver.Push{Jobs: []driver.Job{{ID: "a"}}})
		require.NoError(t, err)
	}
	stats, err := a.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, driver.Stats{}, stats)
}

func TestNewChecksItsOptions(t *testing.T) {
	t.Parallel()
	_, err := redisjobs.New(nil, nil)
	require.ErrorContains(t, err, "client is nil")
	for _, opts := range []*redisjobs.Options{{Queue: "{a}"}, {Queue: "a b"}, {Prefix: "a{"}} {
		_, err := redisjobs.New(testenv.Redis(t), opts)
		require.ErrorContains(t, err, "braces or blanks")
	}
}

// A dead worker whose jobs cannot be given back must not cost the living
// workers their leases.
func TestFailedReclaimStopsNobody(t *testing.T) {
	t.Parallel()
	rdb := testenv.Redis(t)
	require.NoError(t, rdb.Set(t.Context(), "jobs:{default}:held:broken", "not a hash", 0).Err())
	require.NoError(t, rdb.ZAdd(t.Context(), "jobs:{default}:lease", redis.Z{Score: 1, Member: "broken"}).Err())
	pulse, err := open(t, rdb).Beat(t.Context(), driver.Beat{Worker: "w", Lease: time.Minute, Join: true})
	require.NoError(t, err)
	require.ErrorContains(t, pulse.Err, "reclaim")
	q, err := counter(open(t, rdb), rdb, options())
	require.NoError(t, err)
	stop := start(t, q)
	_, err = q.EnqueueMany(t.Context(), counts(100))
	require.NoError(t, err)
	empty(t, q, time.Minute)
	require.NoError(t, stop())
}

// The first calls find out what the server can do. If it does not answer, each
// caller waits for its own time-out and not for those of the others too.
func TestFirstCallsDoNotQueue(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t)
	const callers, timeout = 12, 2 * time.Second
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, ReadTimeout: timeout, MaxRetries: -1, PoolSize: callers})
	defer rdb.Close()
	d := open(t, rdb)
	server.Pause()
	began := time.Now()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if _, err := d.Push(t.Context(), driver.Push{Jobs: []driver.Job{{ID: "a"}}}); err == nil {
				t.Error("a frozen server has answered")
			}
		})
	}
	all.Wait()
	require.Less(t, time.Since(began), callers*timeout/2)
	server.Resume()
}

func TestUnreachableRedis(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t)
	rdb := server.Client()
	server.Kill()
	q, err := queue(rdb, options())
	require.NoError(t, err)
	require.ErrorContains(t, q.Run(t.Context()), "jobs: run: redisjobs: connect:")
	server.Restart()
	_, err = q.Enqueue(t.Context(), Count{}, nil)
	require.NoError(t, err)
}
