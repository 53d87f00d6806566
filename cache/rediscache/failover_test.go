package rediscache_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// failover kills a master while two processes work, and checks that they go on meanwhile, with
// a bounded load on the source, and are back by themselves.
func failover(t *testing.T, client func() redis.UniversalClient, kill func()) {
	opts := func() *cache.Options { return &cache.Options{StoreTimeout: 300 * time.Millisecond} }
	a, b := newProcessOn(t, client(), opts()), newProcessOn(t, client(), opts())
	const maxLoads = 4
	many := cache.Define[string, int64](b.Hub, "many", &cache.Policy{TTL: time.Hour, MaxLoads: maxLoads, NoLocal: true})
	var src source
	eventually(t, "memory on", func() bool { return a.fromMemory(t, &src) && b.fromMemory(t, &src) })

	kill()
	var running, most atomic.Int64
	load := func(context.Context, string) (int64, error) {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-time.After(time.Millisecond)
		running.Add(-1)
		return 1, nil
	}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if v, err := many.Fetch(context.Background(), fmt.Sprint(i), load); err != nil || v != 1 {
				t.Errorf("while nobody is master: %d, %v", v, err)
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, most.Load(), int64(maxLoads))

	src.version.Store(1)
	eventually(t, "an invalidation to be acknowledged", func() bool { return a.cache.Invalidate(context.Background(), "k") == nil })
	require.EqualValues(t, 1, a.get(t, &src))
	eventually(t, "the other process to see it", func() bool { return b.get(t, &src) == 1 })
	eventually(t, "memory on again", func() bool { return a.fromMemory(t, &src) && b.fromMemory(t, &src) })
	src.version.Store(2)
	require.NoError(t, a.InvalidateTags(t.Context(), "tag"))
	eventually(t, "messages arrive", func() bool { return b.get(t, &src) == 2 })
}

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	f := testenv.RedisFailover(t)
	failover(t, func() redis.UniversalClient { return f.Client() }, f.Master.Kill)
}

func TestClusterFailover(t *testing.T) {
	t.Parallel()
	c := testenv.RedisCluster(t, 3)
	failover(t, func() redis.UniversalClient {
		rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs, ContextTimeoutEnabled: true, DialTimeout: time.Second, DialerRetries: 1})
		t.Cleanup(func() { rdb.Close() })
		return rdb
	}, c.MasterOf(t.Name()+":{stamps}").Kill)
}

// A replica takes over that has not heard of an acknowledged invalidation: it is said again.
func TestFailoverToAReplicaThatLags(t *testing.T) {
	t.Parallel()
	f := testenv.RedisFailover(t)
	a := newProcessOn(t, f.Client(), &cache.Options{StoreTimeout: 300 * time.Millisecond})
	b := newProcessOn(t, f.Client(), &cache.Options{StoreTimeout: 300 * time.Millisecond, LocalBytes: -1})
	var src source
	eventually(t, "memory on", func() bool { return a.fromMemory(t, &src) })
	eventually(t, "the replica to have the value", func() bool {
		return f.Replica.Client().Exists(t.Context(), t.Name()+":e:{c::k}").Val() == 1
	})
	f.Replica.Pause()
	src.version.Store(1)
	require.NoError(t, a.cache.Invalidate(t.Context(), "k"))
	require.EqualValues(t, 1, b.get(t, &src))
	f.Master.Kill()
	f.Replica.Resume()
	require.EqualValues(t, 1, f.Replica.Client().Exists(t.Context(), t.Name()+":e:{c::k}").Val(), "the old value is still there, or this proves nothing")
	stale := 0
	eventually(t, "the new value to be served by the new master", func() bool {
		loads, v := src.loads.Load(), b.get(t, &src)
		if v == 0 {
			stale++
		}
		return v == 1 && src.loads.Load() == loads
	})
	t.Logf("%d reads of the old value between the failover and the replay", stale)
	for range 20 {
		require.EqualValues(t, 1, b.get(t, &src), "the old value came back")
	}
}
