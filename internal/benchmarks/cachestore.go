package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	rediscache "github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/cache"
	ours "github.com/ashlar-go/ashlar/cache/rediscache"
)

// benchCacheL2 compares what goes to Redis: hits with go-redis/cache and with a raw GET and the
// codec that the cache uses, then a stampede and a batch.
func benchCacheL2(ctx context.Context, l *lab, hub *cache.Hub, rdb *redis.Client, ann user) error {
	load := func(context.Context, int64) (user, error) { return ann, nil }
	shared := cache.Define[int64, user](hub, "shared", &cache.Policy{TTL: time.Hour, NoLocal: true})
	oursShared := func(ctx context.Context, _ int) error {
		_, err := shared.Fetch(ctx, 1, load)
		return err
	}
	remote := rediscache.New(&rediscache.Options{Redis: rdb})
	if err := l.ratio(ctx, "cache.l2_latency_vs_goredis_cache", timed(5000, oursShared), timed(5000, func(ctx context.Context, _ int) error {
		var u user
		return remote.Get(ctx, "peer", &u)
	})); err != nil {
		return err
	}

	text, err := json.Marshal(ann)
	if err != nil {
		return err
	}
	key := func(id int64) string { return "raw:" + strconv.FormatInt(id, 10) } // as a program has to make one
	if err := rdb.Set(ctx, key(1), text, time.Hour).Err(); err != nil {
		return err
	}
	raw := func(ctx context.Context, _ int) error {
		b, err := rdb.Get(ctx, key(ann.ID)).Bytes()
		if err != nil {
			return err
		}
		var u user
		return json.Unmarshal(b, &u)
	}
	if err := l.paired(ctx, "cache.l2_latency_vs_get_same_codec", oursShared, raw); err != nil {
		return err
	}
	if err := l.reading(ctx, "cache.l2_extra_allocs", "allocs", extraAllocs(5000, oursShared, raw)); err != nil {
		return err
	}
	asBytes := cache.Define[int64, []byte](hub, "bytes", &cache.Policy{TTL: time.Hour, NoLocal: true})
	if err := l.reading(ctx, "cache.l2_bytes_extra_allocs", "allocs", extraAllocs(5000, func(ctx context.Context, _ int) error {
		_, err := asBytes.Fetch(ctx, 1, func(context.Context, int64) ([]byte, error) { return text, nil })
		return err
	}, func(ctx context.Context, _ int) error { return rdb.Get(ctx, key(ann.ID)).Err() })); err != nil {
		return err
	}
	if err := l.reading(ctx, "cache.stampede_loads", "loads", stampede(rdb)); err != nil {
		return err
	}
	return l.reading(ctx, "cache.fetchmany100_round_trips", "trips", roundTrips(l.redis.Addr))
}

// stampede counts the loads of one cold key that 3000 callers on each of 3 nodes want at once.
func stampede(rdb *redis.Client) measure {
	round := 0
	return func(ctx context.Context) (float64, error) {
		round++
		const nodes, callers = 3, 3000
		var loads, failed atomic.Int64
		var wg, runs, came sync.WaitGroup
		came.Add(nodes * callers)
		run, stop := context.WithCancel(ctx)
		defer runs.Wait()
		defer stop()
		for range nodes {
			store, err := ours.New(rdb, nil)
			if err != nil {
				return 0, err
			}
			hub, err := cache.New(store, nil)
			if err != nil {
				return 0, err
			}
			runs.Go(func() { _ = hub.Run(run) }) // it ends with run
			c := cache.Define[int, string](hub, "stampede", &cache.Policy{TTL: time.Hour})
			for range callers {
				wg.Go(func() {
					came.Done()
					if _, err := c.Fetch(ctx, round, func(context.Context, int) (string, error) {
						loads.Add(1)
						came.Wait() // a load takes until the last caller has come
						return "v", nil
					}); err != nil {
						failed.Add(1)
					}
				})
			}
		}
		wg.Wait()
		if n := failed.Load(); n > 0 {
			return 0, fmt.Errorf("%d callers failed", n)
		}
		return float64(loads.Load()), nil
	}
}

// roundTrips counts, at a proxy, how often a cold FetchMany of 100 keys waits for Redis.
func roundTrips(addr string) measure {
	round := 0
	return func(ctx context.Context) (float64, error) {
		round++
		p, err := newProxy(addr)
		if err != nil {
			return 0, err
		}
		defer p.close()
		rdb := redis.NewClient(&redis.Options{Addr: p.addr(), PoolSize: 1, DisableIdentity: true})
		defer rdb.Close()
		store, err := ours.New(rdb, nil)
		if err != nil {
			return 0, err
		}
		hub, err := cache.New(store, nil)
		if err != nil {
			return 0, err
		}
		c := cache.Define[int, string](hub, fmt.Sprint("many", round), &cache.Policy{TTL: time.Hour})
		keys := make([]int, 100)
		load := func(_ context.Context, missing []int) (map[int]string, error) {
			m := make(map[int]string, len(missing))
			for _, k := range missing {
				m[k] = "v"
			}
			return m, nil
		}
		for i := range keys {
			keys[i] = 1000 + i
		}
		if _, err := c.FetchMany(ctx, keys, load); err != nil { // scripts and stamps get known
			return 0, err
		}
		for i := range keys {
			keys[i] = i
		}
		before := p.turns.Load()
		found, err := c.FetchMany(ctx, keys, load)
		if err == nil && len(found) != len(keys) {
			err = fmt.Errorf("%d values of %d", len(found), len(keys))
		}
		return float64(p.turns.Load() - before), err
	}
}

// proxy counts how often the direction of a connection turns from answers to requests.
type proxy struct {
	listener net.Listener
	target   string
	turns    atomic.Int64
	work     sync.WaitGroup
}

func newProxy(target string) (*proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: ln, target: target}
	p.work.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.serve(in) })
		}
	})
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) close() { _ = p.listener.Close() } // its connections end with the client's

func (p *proxy) serve(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer out.Close()
	var answered atomic.Bool
	answered.Store(true)
	p.work.Go(func() {
		defer in.Close()
		_, _ = io.Copy(writerFunc(func(b []byte) (int, error) {
			answered.Store(true)
			return in.Write(b)
		}), out)
	})
	_, _ = io.Copy(writerFunc(func(b []byte) (int, error) {
		if answered.Swap(false) {
			p.turns.Add(1)
		}
		return out.Write(b)
	}), in)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
