package redishttp_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx/ratelimit"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// tenAnHour makes a limiter for each way to fail over one server.
func tenAnHour(t *testing.T, rdb redis.UniversalClient) map[ratelimit.Failure]*ratelimit.Limiter {
	t.Helper()
	all := map[ratelimit.Failure]*ratelimit.Limiter{}
	for _, f := range []ratelimit.Failure{ratelimit.FailLocal, ratelimit.FailOpen, ratelimit.FailClosed} {
		lim, err := ratelimit.New(limits(t, rdb), "api-"+f.String(), []ratelimit.Limit{{Rate: 10, Per: time.Hour}}, &ratelimit.Options{Failure: f, Processes: 2})
		require.NoError(t, err)
		all[f] = lim
	}
	return all
}

// until asks until the store itself decides, or does not any more.
func until(t *testing.T, lim *ratelimit.Limiter, key string, fallback bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		d, err := lim.AllowN(ctx, key, 0)
		require.NoError(t, ctx.Err(), "waited in vain")
		if err != nil {
			require.ErrorIs(t, err, ratelimit.ErrUnavailable)
		}
		if (d.Fallback || err != nil) == fallback {
			return
		}
		wait(time.Millisecond)
	}
}

// away checks what the limiters do while their server does not answer: of each, 20 calls.
func away(t *testing.T, all map[ratelimit.Failure]*ratelimit.Limiter) {
	t.Helper()
	allowed := map[ratelimit.Failure]int{}
	for f, lim := range all {
		until(t, lim, "k", true)
		start := time.Now()
		for range 20 {
			d, err := lim.Allow(t.Context(), "k")
			if f == ratelimit.FailClosed {
				require.ErrorIs(t, err, ratelimit.ErrUnavailable)
				continue
			}
			require.NoError(t, err)
			require.True(t, d.Fallback)
			if d.Allowed {
				allowed[f]++
			}
		}
		t.Logf("%v: 20 calls took %v", f, time.Since(start))
	}
	require.Equal(t, 20, allowed[ratelimit.FailOpen])
	require.Equal(t, 5, allowed[ratelimit.FailLocal], "ten an hour for two processes")
}

// counting tells how often the server was asked, and for what the last time.
type counting struct {
	ratelimit.Store
	n     atomic.Int64
	mu    sync.Mutex
	group string
}

func (c *counting) Take(ctx context.Context, group string, takes []ratelimit.Take) ([]ratelimit.Span, bool, error) {
	c.n.Add(1)
	c.mu.Lock()
	c.group = group
	c.mu.Unlock()
	return c.Store.Take(ctx, group, takes)
}

func server(t *testing.T, args ...string) (*testenv.Server, *redis.Client) {
	t.Helper()
	s := testenv.RedisServer(t, args...)
	return s, client(t, s.Client())
}

func TestRedisIsKilled(t *testing.T) {
	t.Parallel()
	s, rdb := server(t)
	all := tenAnHour(t, rdb)
	remaining := func(f ratelimit.Failure, n int64) int64 { // without a timeout, however busy this machine is
		lim, err := ratelimit.New(limits(t, rdb), "api-"+f.String(), []ratelimit.Limit{{Rate: 10, Per: time.Hour}}, &ratelimit.Options{Timeout: -1})
		require.NoError(t, err)
		d, err := lim.AllowN(t.Context(), "k", n)
		require.NoError(t, err)
		require.False(t, d.Fallback)
		return d.States[0].Remaining
	}
	for f := range all {
		require.EqualValues(t, 6, remaining(f, 4))
	}
	s.Kill()
	away(t, all)
	s.Restart()
	for f, lim := range all {
		until(t, lim, "k", false)
		require.EqualValues(t, 6, remaining(f, 0), "%v: as before", f)
	}
}

// A frozen server answers nobody, and costs each caller the timeout until the limiter gives it up.
func TestRedisIsFrozen(t *testing.T) {
	t.Parallel()
	s, rdb := server(t)
	all := tenAnHour(t, rdb)
	for _, lim := range all {
		until(t, lim, "k", false)
	}
	s.Pause()
	away(t, all)
	counted := &counting{Store: limits(t, rdb)}
	lim, err := ratelimit.New(counted, "api", []ratelimit.Limit{{Rate: 10, Per: time.Hour}}, &ratelimit.Options{Failure: ratelimit.FailOpen})
	require.NoError(t, err)
	until(t, lim, "k", true)
	for counted.n.Load() < 3 {
		until(t, lim, "k", true)
	}
	start, calls := time.Now(), 0
	for ; time.Since(start) < 2500*time.Millisecond; calls++ {
		wait(time.Millisecond)
		_, err := lim.Allow(t.Context(), "k")
		require.NoError(t, err)
	}
	asked := int(counted.n.Load()) - 3
	t.Logf("%d calls in %v, %d of them asked and waited", calls, time.Since(start), asked)
	require.LessOrEqual(t, asked, 1+int(time.Since(start)/time.Second))
	require.Positive(t, asked)
	s.Resume()
	for _, lim := range all {
		until(t, lim, "k", false)
	}
}

// A full server denies whom it denied before, and lets the limiter do without it for the others.
func TestRedisIsFull(t *testing.T) {
	t.Parallel()
	_, rdb := server(t, "--maxmemory-policy", "noeviction")
	ctx := t.Context()
	lim, err := ratelimit.New(limits(t, rdb), "api", []ratelimit.Limit{{Rate: 10, Per: time.Hour}}, &ratelimit.Options{Timeout: -1})
	require.NoError(t, err)
	d, err := lim.AllowN(ctx, "k", 10)
	require.NoError(t, err)
	require.False(t, d.Fallback)
	require.NoError(t, rdb.ConfigSet(ctx, "maxmemory", "1").Err())
	require.ErrorContains(t, rdb.Set(ctx, "filler", "", 0).Err(), "OOM")
	d, err = lim.Allow(ctx, "k")
	require.NoError(t, err)
	require.False(t, d.Allowed)
	require.False(t, d.Fallback, "to deny takes no memory")
	d, err = lim.AllowN(ctx, "k", 0)
	require.NoError(t, err)
	require.True(t, d.Allowed && !d.Fallback, "nor does a look")
	lowered, err := ratelimit.New(limits(t, rdb), "api", []ratelimit.Limit{{Rate: 5, Per: time.Hour}}, &ratelimit.Options{Timeout: -1})
	require.NoError(t, err)
	d, err = lowered.Allow(ctx, "k")
	require.NoError(t, err)
	require.True(t, !d.Allowed && !d.Fallback, "nor to deny by a limit that was lowered")
	d, err = lim.AllowN(ctx, "new", 10)
	require.NoError(t, err)
	require.True(t, d.Allowed && d.Fallback)
	d, err = lim.Allow(ctx, "new")
	require.NoError(t, err)
	require.True(t, !d.Allowed && d.Fallback, "counted in this process")
	for range 20 { // however many those are, the server still decides about the others
		d, err = lim.Allow(ctx, "newer")
		require.NoError(t, err)
		require.True(t, d.Fallback)
	}
	d, err = lim.Allow(ctx, "k")
	require.NoError(t, err)
	require.True(t, !d.Allowed && !d.Fallback)
}

// Behind Sentinels the limits go on in this process until the replica has taken over, and then with what that had heard of.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	f := testenv.RedisFailover(t)
	rdb, ctx := f.Client(), t.Context()
	all := tenAnHour(t, rdb)
	unbounded, err := ratelimit.New(limits(t, rdb), "api-local", []ratelimit.Limit{{Rate: 10, Per: time.Hour}}, &ratelimit.Options{Failure: ratelimit.FailClosed, Timeout: -1})
	require.NoError(t, err)
	take := func(key string, n int64) ratelimit.Decision {
		d, err := unbounded.AllowN(ctx, key, n)
		require.NoError(t, err)
		return d
	}
	require.EqualValues(t, 4, take("heard", 6).States[0].Remaining)
	master := f.Master.Client().Conn()
	require.NoError(t, master.Set(ctx, "heard", "", time.Minute).Err())
	heard, err := master.Wait(ctx, 1, 0).Result() // 0: as long as it takes
	require.NoError(t, errors.Join(err, master.Close()))
	require.EqualValues(t, 1, heard)
	f.Replica.Pause()
	require.NoError(t, f.Master.Client().ClientKillByFilter(ctx, "TYPE", "replica").Err()) // what is on its way would still arrive
	require.EqualValues(t, 1, take("heard", 3).States[0].Remaining)
	require.EqualValues(t, 1, take("lost", 9).States[0].Remaining)

	f.Master.Kill()
	away(t, all)
	f.Replica.Resume()
	for _, lim := range all {
		until(t, lim, "k", false)
	}
	require.EqualValues(t, 0, take("heard", 4).States[0].Remaining, "what was not replicated may be taken again, and no more")
	require.False(t, take("heard", 1).Allowed)
	require.EqualValues(t, 0, take("lost", 10).States[0].Remaining)
}

// A master of a Cluster that hangs takes with it the keys that are there and no others.
func TestClusterMasterIsFrozen(t *testing.T) {
	t.Parallel()
	cluster := testenv.RedisCluster(t, 3)
	for _, n := range cluster.Nodes {
		require.NoError(t, n.Client().ConfigSet(t.Context(), "cluster-require-full-coverage", "no").Err())
	}
	rdb := cluster.Client()
	store := &counting{Store: limits(t, rdb)}
	lim, err := ratelimit.New(store, "api", []ratelimit.Limit{{Rate: 1, Per: time.Hour}}, &ratelimit.Options{Timeout: 2 * time.Second})
	require.NoError(t, err)
	keys := map[bool][]string{} // by whether they will hang
	for i := range 60 {
		key := fmt.Sprint(i)
		d, err := lim.Allow(t.Context(), key)
		require.NoError(t, err)
		require.False(t, d.Fallback)
		node, err := rdb.MasterForKey(t.Context(), "limits:{"+store.group+"}:api")
		require.NoError(t, err)
		hangs := node.Options().Addr == cluster.Nodes[0].Addr
		keys[hangs] = append(keys[hangs], key)
	}
	cluster.Nodes[0].Pause()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var all sync.WaitGroup
		for _, key := range keys[true] {
			all.Go(func() {
				d, err := lim.Allow(t.Context(), key)
				if err != nil || !d.Fallback {
					t.Errorf("a key of the master that hangs: %+v, %v", d, err)
				}
			})
		}
		all.Wait()
	}()
	calls := 0
	for extra := 0; extra < 10; calls++ { // some of them after the others have failed
		d, err := lim.Allow(t.Context(), keys[false][calls%len(keys[false])])
		require.NoError(t, err)
		require.True(t, !d.Allowed && !d.Fallback, "call %d: %+v", calls, d)
		select {
		case <-done:
			extra++
		case <-time.After(time.Millisecond):
		}
	}
	t.Logf("%d calls for keys that hang, %d for others", len(keys[true]), calls)
}

// What is flushed is given back; that the scripts are flushed is not noticed.
func TestRedisIsFlushed(t *testing.T) {
	t.Parallel()
	_, rdb := server(t)
	ctx := t.Context()
	lim, err := ratelimit.New(limits(t, rdb), "api", []ratelimit.Limit{{Rate: 10, Per: time.Hour}}, &ratelimit.Options{Failure: ratelimit.FailClosed, Timeout: -1})
	require.NoError(t, err)
	remaining := func(n int64) int64 {
		d, err := lim.AllowN(ctx, "k", n)
		require.NoError(t, err)
		return d.States[0].Remaining
	}
	require.EqualValues(t, 7, remaining(3))
	require.NoError(t, rdb.ScriptFlush(ctx).Err())
	require.EqualValues(t, 6, remaining(1))
	require.NoError(t, rdb.FlushAll(ctx).Err())
	require.EqualValues(t, 9, remaining(1))
}

// Two processes that share a server share its limits: here two clients with a store of their own each.
func TestProcessesShareALimit(t *testing.T) {
	t.Parallel()
	base := testenv.Redis(t)
	allowed := 0
	var lims []*ratelimit.Limiter
	for range 2 {
		lim, err := ratelimit.New(limits(t, client(t, base)), "api", []ratelimit.Limit{{Rate: 10, Per: time.Hour}}, &ratelimit.Options{Failure: ratelimit.FailClosed, Timeout: -1})
		require.NoError(t, err)
		lims = append(lims, lim)
	}
	for i := range 40 {
		d, err := lims[i%2].Allow(t.Context(), "k")
		require.NoError(t, err)
		if d.Allowed {
			allowed++
		}
	}
	require.Equal(t, 10, allowed)
}
