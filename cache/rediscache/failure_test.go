package rediscache_test

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// counted is a store that counts how often it is read, to see when memory answers.
type counted struct {
	cache.Store
	reads atomic.Int64
}

func (c *counted) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	c.reads.Add(1)
	return c.Store.Acquire(ctx, claims)
}

// process is a hub with its Run, and one cache on it.
type process struct {
	*cache.Hub
	store *counted
	cache *cache.Cache[string, int64]
}

func client(t *testing.T, addr string) redis.UniversalClient {
	rdb := (&order{Redis: []string{addr}}).client()
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func newProcess(t *testing.T, addr string, opts *cache.Options) *process {
	return newProcessOn(t, client(t, addr), opts)
}

func newProcessOn(t *testing.T, rdb redis.UniversalClient, opts *cache.Options) *process {
	p := &process{store: &counted{Store: open(t, rdb)}}
	opts.Logger = quiet
	if opts.StoreTimeout == 0 {
		opts.StoreTimeout = 20 * time.Second // a slow machine must not pass for a store that fails
	}
	h, err := cache.New(p.store, opts)
	require.NoError(t, err)
	p.Hub = h
	p.cache = cache.Define[string, int64](h, "c", &cache.Policy{TTL: time.Hour}).TagBy(func(string) []string { return []string{"tag"} })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	return p
}

type source struct{ version, loads atomic.Int64 }

func (s *source) load(context.Context, string) (int64, error) {
	s.loads.Add(1)
	return s.version.Load(), nil
}

func (p *process) get(t *testing.T, s *source) int64 {
	t.Helper()
	v, err := p.cache.Fetch(context.Background(), "k", s.load)
	require.NoError(t, err)
	return v
}

// fromMemory reports whether a fetch is answered without the store and without loading.
func (p *process) fromMemory(t *testing.T, s *source) bool {
	reads, loads := p.store.reads.Load(), s.loads.Load()
	p.get(t, s)
	return p.store.reads.Load() == reads && s.loads.Load() == loads
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, time.Minute, 5*time.Millisecond, what)
}

// MaxStaleness is a minute here: it is the cut itself that switches memory off.
func TestCutSwitchesMemoryOff(t *testing.T) {
	t.Parallel()
	srv := testenv.RedisServer(t)
	proxy := testenv.Proxy(t, srv.Addr)
	a := newProcess(t, srv.Addr, &cache.Options{MaxStaleness: time.Minute})
	b := newProcess(t, proxy.Addr, &cache.Options{MaxStaleness: time.Minute})
	var src source
	eventually(t, "memory on", func() bool { return b.fromMemory(t, &src) })

	proxy.Cut()
	src.version.Store(1)
	require.NoError(t, a.cache.Invalidate(t.Context(), "k"))
	eventually(t, "memory off", func() bool { return b.get(t, &src) == 1 })
	src.version.Store(2)
	require.EqualValues(t, 2, b.get(t, &src), "without contact every fetch loads")
	require.NoError(t, a.InvalidateTags(t.Context(), "tag"))
	proxy.Restore()
	eventually(t, "memory on again", func() bool { return b.fromMemory(t, &src) })
	require.EqualValues(t, 2, b.get(t, &src))
	require.NoError(t, a.cache.Invalidate(t.Context(), "k"))
	src.version.Store(3)
	require.NoError(t, a.cache.Invalidate(t.Context(), "k"))
	eventually(t, "messages arrive again", func() bool { return b.get(t, &src) == 3 })
}

func TestKilledServer(t *testing.T) {
	t.Parallel()
	srv := testenv.RedisServer(t)
	a := newProcess(t, srv.Addr, &cache.Options{})
	b := newProcess(t, srv.Addr, &cache.Options{})
	var src source
	eventually(t, "memory on", func() bool { return a.fromMemory(t, &src) && b.fromMemory(t, &src) })

	srv.Kill()
	src.version.Store(1)
	require.Error(t, a.cache.Invalidate(t.Context(), "k"), "nobody confirmed it")
	require.EqualValues(t, 1, a.get(t, &src), "the process that invalidated obeys all the same")
	eventually(t, "the other's memory is off", func() bool { return b.get(t, &src) == 1 })

	srv.Restart() // with the old value, which survived
	for range 50 {
		require.EqualValues(t, 1, a.get(t, &src), "the old value came back")
	}
	eventually(t, "the retry reaches the other process", func() bool { return b.get(t, &src) == 1 && b.fromMemory(t, &src) })
	eventually(t, "memory on again", func() bool { return a.fromMemory(t, &src) })
	require.EqualValues(t, 1, a.get(t, &src))
}

func TestFrozenServer(t *testing.T) {
	t.Parallel()
	srv := testenv.RedisServer(t)
	const bound = 500 * time.Millisecond
	p := newProcess(t, srv.Addr, &cache.Options{MaxStaleness: bound, StoreTimeout: 200 * time.Millisecond})
	var src source
	eventually(t, "memory on", func() bool { return p.fromMemory(t, &src) })
	srv.Pause()
	frozen := time.Now()
	src.version.Store(1) // by somebody whose invalidation we cannot hear of
	var last time.Time   // when the last read from memory began
	eventually(t, "memory off", func() bool {
		begin := time.Now()
		if p.get(t, &src) == 1 {
			return true
		}
		last = begin
		return false
	})
	require.LessOrEqual(t, last.Sub(frozen), bound)
	require.EqualValues(t, 1, p.get(t, &src))
	srv.Resume()
	require.Eventually(t, func() bool { return p.cache.Invalidate(context.Background(), "k") == nil }, time.Minute, 10*time.Millisecond)
	eventually(t, "memory on again", func() bool { return p.fromMemory(t, &src) })
	require.EqualValues(t, 1, p.get(t, &src))
}

// A master that was made a replica has data that nobody keeps up to date any more, and would go
// on to serve it.
func TestDemotedMaster(t *testing.T) {
	t.Parallel()
	srv := testenv.RedisServer(t)
	remote := newProcess(t, srv.Addr, &cache.Options{LocalBytes: -1})
	local := newProcess(t, srv.Addr, &cache.Options{})
	var src source
	eventually(t, "memory on", func() bool { return local.fromMemory(t, &src) })
	loads := src.loads.Load()
	for range 10 {
		remote.get(t, &src)
	}
	require.Equal(t, loads, src.loads.Load(), "it is cached")

	require.NoError(t, srv.Client().SlaveOf(t.Context(), "127.0.0.1", "1").Err()) // of nobody
	demoted := time.Now()
	src.version.Store(1) // and invalidated at whoever is the master now
	eventually(t, "the store is not used", func() bool { return remote.get(t, &src) == 1 })
	eventually(t, "memory is off", func() bool { return local.get(t, &src) == 1 })
	t.Logf("the last old value was served at most %v after the demotion", time.Since(demoted).Round(time.Millisecond))
	for range 50 {
		require.EqualValues(t, 1, remote.get(t, &src))
		require.EqualValues(t, 1, local.get(t, &src))
	}
	require.Error(t, remote.cache.Invalidate(t.Context(), "k"))
}

// A full server refuses values, and even SET NX GET of what is there, but must not refuse
// reads, nor invalidations and holds.
func TestFullServer(t *testing.T) {
	t.Parallel()
	srv := testenv.RedisServer(t, "--maxmemory-policy", "noeviction")
	p := newProcess(t, srv.Addr, &cache.Options{LocalBytes: -1})
	var src source
	p.get(t, &src)
	rdb := srv.Client()
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory", "1").Err())
	require.ErrorContains(t, rdb.SetArgs(t.Context(), t.Name()+":e:{c::k}", "x", redis.SetArgs{Mode: "NX", Get: true}).Err(), "OOM")
	loads := src.loads.Load()
	for range 10 {
		p.get(t, &src)
	}
	require.Equal(t, loads, src.loads.Load(), "what it has is not read")
	h := cache.Hold{Token: "0123456789abcdef", Keys: []string{"x"}, Tags: []string{"y"}, TTL: time.Minute}
	require.NoError(t, p.store.Hold(t.Context(), h))
	require.NoError(t, p.store.Release(t.Context(), h))
	src.version.Store(1)
	require.NoError(t, p.InvalidateTags(t.Context(), "tag"))
	require.NoError(t, p.cache.Invalidate(t.Context(), "other"))
	require.EqualValues(t, 1, p.get(t, &src))
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory", "0").Err())
	eventually(t, "cached again", func() bool {
		loads := src.loads.Load()
		return p.get(t, &src) == 1 && src.loads.Load() == loads
	})
}

// Whoever removes keys or scripts behind our back costs loads, never correctness.
func TestThingsVanish(t *testing.T) {
	t.Parallel()
	srv := testenv.RedisServer(t)
	rdb := srv.Client()
	p := newProcess(t, srv.Addr, &cache.Options{LocalBytes: -1})
	var src source
	for i, vanish := range []func() error{
		func() error { return rdb.ScriptFlush(context.Background()).Err() },
		func() error { return rdb.FlushAll(context.Background()).Err() },
		func() error { return rdb.Del(context.Background(), t.Name()+":{stamps}").Err() },
		func() error {
			return rdb.Del(context.Background(), t.Name()+":{stamps}:*", t.Name()+":{stamps}:g::tag").Err()
		},
		func() error { return rdb.Set(context.Background(), t.Name()+":{stamps}:g::tag", "rubbish", 0).Err() },
	} {
		v, err := p.cache.Fetch(t.Context(), "k", func(ctx context.Context, k string) (int64, error) {
			old, _ := src.load(ctx, k)
			src.version.Add(1)
			if err := vanish(); err != nil {
				return 0, err
			}
			if i%2 == 0 {
				return old, p.InvalidateTags(ctx, "tag")
			}
			return old, p.cache.Invalidate(ctx, k)
		})
		require.NoError(t, err)
		require.EqualValues(t, i, v)
		require.EqualValues(t, i+1, p.get(t, &src), "case %d", i)
		require.NoError(t, vanish())
		p.get(t, &src)
		loads := src.loads.Load()
		require.EqualValues(t, i+1, p.get(t, &src))
		require.Equal(t, loads, src.loads.Load(), "case %d: not cached again", i)
		require.NoError(t, p.cache.Invalidate(t.Context(), "k"))
	}
}
