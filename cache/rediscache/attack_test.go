package rediscache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// attack runs several processes' hubs over one server: writers change a version and
// invalidate, readers know which version was acknowledged before they began, and loads read
// first and are slow after.
type attack struct {
	keys  []row
	nodes []*attackNode

	stale    atomic.Int64 // reads older than an acknowledged invalidation that they must see
	own      atomic.Int64 // the same, of the process that invalidated
	reads    atomic.Int64
	loads    atomic.Int64
	writes   atomic.Int64
	refused  atomic.Int64 // invalidations that were not acknowledged
	lateness atomic.Int64 // ns, the worst of a read from another process's memory
}

// row is the data behind one key.
type row struct {
	mu      sync.Mutex
	version atomic.Int64
	acked   atomic.Int64 // version whose invalidation was acknowledged
	ackedAt sync.Map     // version → time.Time
}

type attackNode struct {
	hub           *cache.Hub
	strict, local *cache.Cache[int, int64]
	acked         []atomic.Int64
}

const attackBound = time.Second

func newAttack(t *testing.T, stores ...cache.Store) *attack {
	a := &attack{keys: make([]row, 8)}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { stop(); wg.Wait() })
	for _, s := range stores {
		h, err := cache.New(s, &cache.Options{MaxStaleness: attackBound, Logger: quiet})
		require.NoError(t, err)
		tag := func(k int) []string { return []string{fmt.Sprint("row:", k)} }
		n := &attackNode{
			hub:    h,
			strict: cache.Define[int, int64](h, "strict", &cache.Policy{TTL: time.Hour, NoLocal: true}).TagBy(tag),
			local:  cache.Define[int, int64](h, "local", &cache.Policy{TTL: time.Hour}).TagBy(tag),
			acked:  make([]atomic.Int64, len(a.keys)),
		}
		a.nodes = append(a.nodes, n)
		wg.Go(func() {
			if err := h.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	return a
}

func (a *attack) load(_ context.Context, k int) (int64, error) {
	a.loads.Add(1)
	v := a.keys[k].version.Load()
	<-time.After(rand.N(4 * time.Millisecond))
	return v, nil
}

func (a *attack) write(ctx context.Context) {
	k, n := rand.N(len(a.keys)), a.nodes[rand.N(len(a.nodes))]
	r := &a.keys[k]
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.version.Add(1)
	for byTag := rand.N(2) == 0; ; byTag = !byTag {
		var err error
		if byTag {
			err = n.hub.InvalidateTags(ctx, fmt.Sprint("row:", k))
		} else if err = n.strict.Invalidate(ctx, k); err == nil {
			err = n.local.Invalidate(ctx, k)
		}
		if err == nil {
			break
		}
		a.refused.Add(1)
		if ctx.Err() != nil {
			return
		}
	}
	r.ackedAt.Store(v, time.Now())
	n.acked[k].Store(v)
	r.acked.Store(v)
	a.writes.Add(1)
}

func (a *attack) read(ctx context.Context, strict bool) error {
	k, n := rand.N(len(a.keys)), a.nodes[rand.N(len(a.nodes))]
	r := &a.keys[k]
	own, all, begin := n.acked[k].Load(), r.acked.Load(), time.Now()
	c := n.local
	if strict {
		c = n.strict
	}
	v, err := c.Fetch(ctx, k, a.load)
	if err != nil {
		return err
	}
	a.reads.Add(1)
	switch {
	case v < own:
		a.own.Add(1)
	case v < all && strict:
		a.stale.Add(1)
	case v < all:
		if at, ok := r.ackedAt.Load(v + 1); ok {
			late := int64(begin.Sub(at.(time.Time)))
			for old := a.lateness.Load(); late > old && !a.lateness.CompareAndSwap(old, late); old = a.lateness.Load() {
			}
		}
	}
	return nil
}

// run attacks until the time is over or enough says so.
func (a *attack) run(t *testing.T, d time.Duration, enough func() bool) {
	ctx := context.Background()
	end := time.Now().Add(d)
	over := func() bool { return time.Now().After(end) || enough != nil && enough() }
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !over() {
				a.write(ctx)
				<-time.After(rand.N(4 * time.Millisecond))
			}
		})
	}
	for i := range 24 {
		wg.Go(func() {
			for !over() {
				if err := a.read(ctx, i%2 == 0); err != nil {
					t.Errorf("Fetch must not fail: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d reads, %d writes, %d loads, %d invalidations refused; stale in the store %d, in the own process %d; other memory at most %v late",
		a.reads.Load(), a.writes.Load(), a.loads.Load(), a.refused.Load(), a.stale.Load(), a.own.Load(), time.Duration(a.lateness.Load()))
}

// atRest checks that no old value is stuck once all is quiet.
func (a *attack) atRest(t *testing.T) {
	for _, n := range a.nodes {
		for k := range a.keys {
			require.Eventually(t, func() bool {
				s, err1 := n.strict.Fetch(t.Context(), k, a.load)
				l, err2 := n.local.Fetch(t.Context(), k, a.load)
				want := a.keys[k].version.Load()
				return err1 == nil && err2 == nil && s == want && l == want
			}, 10*time.Second, 10*time.Millisecond, "an old value is stuck")
		}
	}
}

func client(t *testing.T, addr string) *redis.Client {
	rdb := redis.NewClient(&redis.Options{
		Addr: addr, ContextTimeoutEnabled: true, DialTimeout: time.Second, DialerRetries: 1, MaxRetries: 1,
	})
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func seconds(short, full int) time.Duration {
	return time.Duration(testenv.Rounds(short, full)) * time.Second
}

func TestAttack(t *testing.T) {
	t.Parallel()
	srv := testenv.RedisServer(t)
	a := newAttack(t, open(t, client(t, srv.Addr)), open(t, client(t, srv.Addr)), open(t, client(t, srv.Addr)))
	a.run(t, seconds(2, 60), nil)
	require.Zero(t, a.stale.Load())
	require.Zero(t, a.own.Load())
	require.LessOrEqual(t, time.Duration(a.lateness.Load()), attackBound)
	require.Greater(t, a.writes.Load(), int64(100))
	a.atRest(t)
}

// Connections of one process are reset all the time, and the subscribers of all are killed.
func TestAttackWithResets(t *testing.T) {
	t.Parallel()
	srv := testenv.RedisServer(t)
	proxy := testenv.Proxy(t, srv.Addr)
	a := newAttack(t, open(t, client(t, srv.Addr)), open(t, client(t, proxy.Addr)), open(t, client(t, srv.Addr)))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	rdb := srv.Client()
	wg.Go(func() {
		tick := time.NewTicker(150 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				proxy.Reset()
				if err := rdb.ClientKillByFilter(context.Background(), "TYPE", "pubsub").Err(); err != nil {
					t.Errorf("CLIENT KILL: %v", err)
				}
			}
		}
	})
	a.run(t, seconds(3, 60), nil)
	close(stop)
	wg.Wait()
	require.Zero(t, a.stale.Load())
	require.Zero(t, a.own.Load())
	require.LessOrEqual(t, time.Duration(a.lateness.Load()), attackBound)
	a.atRest(t)
}

// naive stores a loaded value whether or not its lease is still there, as most caches do.
type naive struct{ cache.Store }

func (s naive) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	for _, f := range fills {
		if _, err := s.Acquire(ctx, []cache.Claim{{Key: f.Key, Token: f.Token, TTL: time.Second}}); err != nil {
			return nil, err
		}
	}
	return s.Store.Fill(ctx, fills)
}

func TestAttackFindsAPlantedFault(t *testing.T) {
	t.Parallel()
	srv := testenv.RedisServer(t)
	a := newAttack(t, naive{open(t, client(t, srv.Addr))}, naive{open(t, client(t, srv.Addr))})
	a.run(t, 30*time.Second, func() bool { return a.stale.Load() > 0 })
	require.Positive(t, a.stale.Load(), "an attack that the naive algorithm survives proves nothing")
}
