package redisjobs_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
)

// load is a queue under load: producers, and two workers, each with a client of
// its own.
type load struct {
	*testing.T
	rdb  redis.UniversalClient
	q    *jobs.Queue
	stop func() (accepted map[int][2]time.Time) // ends the producers

	workers []func() error
	mu      sync.Mutex
	at      map[int][2]time.Time // when its enqueue began and returned
}

func newLoad(t *testing.T, client func() redis.UniversalClient) *load {
	t.Helper()
	l := &load{T: t, rdb: client(), at: map[int][2]time.Time{}}
	opts := options()
	opts.Lease = 3 * time.Second
	var err error
	l.q, err = queue(l.rdb, opts)
	require.NoError(t, err)
	for range 2 {
		rdb := client()
		q, err := counter(open(t, rdb), rdb, opts)
		require.NoError(t, err)
		l.workers = append(l.workers, start(t, q))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var producers sync.WaitGroup
	for p := range 3 {
		producers.Go(func() {
			for n := p; ctx.Err() == nil; n += 3 {
				began := time.Now()
				if _, err := l.q.Enqueue(ctx, Count{N: n}, nil); err == nil {
					l.mu.Lock()
					l.at[n] = [2]time.Time{began, time.Now()}
					l.mu.Unlock()
				}
				<-time.After(time.Millisecond)
			}
		})
	}
	l.stop = sync.OnceValue(func() map[int][2]time.Time {
		cancel()
		producers.Wait()
		return l.at
	})
	return l
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.at)
}

// more waits until so many more jobs were accepted.
func (l *load) more(n int) {
	l.Helper()
	goal := l.count() + n
	require.Eventually(l, func() bool { return l.count() >= goal }, time.Minute, time.Millisecond)
}

// end waits until everything is done and answers what was accepted between from
// and to and did not run, and what was before or after; none may be stuck, and
// nothing is left.
func (l *load) end(from, to time.Time) (inside, outside, twice int) {
	l.Helper()
	accepted := l.stop()
	empty(l, l.q, time.Minute)
	for _, stop := range l.workers {
		require.NoError(l, stop())
	}
	seen, twice := tally(l, l.rdb)
	for n, at := range accepted {
		switch {
		case seen[n] > 0:
		case at[1].After(from) && at[0].Before(to):
			inside++
		default:
			outside++
		}
	}
	leftovers(l, l.rdb)
	l.Logf("%d jobs accepted, %d ran; lost: %d accepted within %s before the failover, %d others; %d ran twice",
		len(accepted), len(seen), inside, to.Sub(from).Round(time.Millisecond), outside, twice)
	return inside, outside, twice
}

// later enqueues fifty jobs, from number n on, that are due when the failover is over.
func (l *load) later(n int) {
	l.Helper()
	items := counts(50)
	for i := range items {
		items[i] = jobs.Item{Args: Count{N: n + i}, Options: &jobs.EnqueueOptions{Delay: 12 * time.Second}}
	}
	began := time.Now()
	_, err := l.q.EnqueueMany(l.Context(), items)
	require.NoError(l, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range items {
		l.at[n+i] = [2]time.Time{began, time.Now()}
	}
}

// synced waits until a replica has all that its master took before, and answers
// when it asked for that: what was accepted earlier cannot be lost.
func (l *load) synced(master *redis.Client) time.Time {
	l.Helper()
	asked := time.Now()
	conn := master.Conn()
	defer conn.Close()
	require.NoError(l, conn.Set(l.Context(), "synced:{default}", "", time.Second).Err())
	n, err := conn.Wait(l.Context(), 1, 0).Result() // 0: as long as it takes
	require.NoError(l, err)
	require.Positive(l, n)
	return asked
}

// Replication is not waited for: the last writes may be lost with a master. What
// the replica has, and the queue, is not.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	f := testenv.RedisFailover(t)
	l := newLoad(t, func() redis.UniversalClient { return f.Client() })
	l.more(300)
	from := l.synced(f.Master.Client())
	f.Master.Kill()
	killed := time.Now()
	l.more(300)
	t.Logf("jobs were accepted again %s after the master died", time.Since(killed).Round(time.Millisecond))
	_, outside, _ := l.end(from, killed)
	require.Zero(t, outside)
}

// A replica takes over that has not heard of what was acknowledged for a while:
// enqueues, acks, leases. Jobs that it has not heard of are lost, as the package
// says; what it has heard of, and the counters, are repaired.
func TestFailoverToAReplicaThatLags(t *testing.T) {
	t.Parallel()
	f := testenv.RedisFailover(t)
	l := newLoad(t, func() redis.UniversalClient { return f.Client() })
	l.later(1_000_000)
	l.more(300)
	from := l.synced(f.Master.Client())
	f.Replica.Pause()
	// What is on its way to it would still arrive.
	require.NoError(t, f.Master.Client().ClientKillByFilter(t.Context(), "TYPE", "replica").Err())
	l.more(200)
	l.later(2_000_000)
	f.Master.Kill()
	killed := time.Now()
	f.Replica.Resume()
	l.more(300)
	inside, outside, _ := l.end(from, killed)
	// Of the jobs that ran meanwhile the new master does not know that they did.
	require.GreaterOrEqual(t, inside, 50, "these writes are lost, or the test showed nothing")
	require.Zero(t, outside)
}

func TestClusterFailoverUnderLoad(t *testing.T) {
	t.Parallel()
	c := testenv.RedisCluster(t, 3)
	l := newLoad(t, func() redis.UniversalClient { return c.Client() })
	l.more(300)
	master := c.MasterOf("jobs:{default}:ready")
	from := l.synced(master.Client())
	master.Kill()
	killed := time.Now()
	l.more(300)
	t.Logf("jobs were accepted again %s after the master died", time.Since(killed).Round(time.Millisecond))
	_, outside, _ := l.end(from, killed)
	require.Zero(t, outside)
}

// The queue's slot moves to another node and back, key by key, while it is
// worked on. Nothing may be lost, and nobody need try again.
func TestSlotMigrationUnderLoad(t *testing.T) {
	t.Parallel()
	c := testenv.RedisCluster(t, 2)
	l := newLoad(t, func() redis.UniversalClient { return c.Client() })
	slot, err := l.rdb.(*redis.ClusterClient).ClusterKeySlot(t.Context(), "jobs:{default}:ready").Result()
	require.NoError(t, err)
	moves := testenv.Rounds(2, 20)
	for range moves {
		l.more(200)
		from := c.MasterOf("jobs:{default}:ready")
		to := c.Nodes[0]
		if to == from {
			to = c.Nodes[1]
		}
		l.migrate(c, int(slot), from, to)
	}
	l.more(200)
	_, outside, twice := l.end(time.Time{}, time.Time{})
	require.Zero(t, outside)
	t.Logf("%d moves, %d jobs ran twice", moves, twice)
}

// migrate moves a slot as redis-cli --cluster reshard does, a few keys at a time.
func (l *load) migrate(c *testenv.Cluster, slot int, from, to *testenv.Server) {
	l.Helper()
	ctx, source, target := l.Context(), from.Client(), to.Client()
	id := func(c *redis.Client) string {
		id, err := c.ClusterMyID(ctx).Result()
		require.NoError(l, err)
		return id
	}
	set := func(c *redis.Client, args ...any) {
		require.NoError(l, c.Do(ctx, append([]any{"CLUSTER", "SETSLOT", slot}, args...)...).Err())
	}
	set(target, "IMPORTING", id(source))
	set(source, "MIGRATING", id(target))
	host, port, _ := strings.Cut(to.Addr, ":")
	moved := 0
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, slot, 2).Result()
		require.NoError(l, err)
		if len(keys) == 0 {
			break
		}
		args := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
		for _, key := range keys {
			args = append(args, key)
		}
		require.NoError(l, source.Do(ctx, args...).Err())
		moved += len(keys)
		<-time.After(5 * time.Millisecond) // commands find the slot in halves
	}
	set(target, "NODE", id(target))
	set(source, "NODE", id(target))
	l.Logf("slot %s moved, %d keys", strconv.Itoa(slot), moved)
}
