package rediscache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
	"github.com/ashlar-go/ashlar/cache/rediscache"
)

// attackBound is the MaxStaleness of all processes of an attack.
const attackBound = time.Second

// order is what the attacking test tells one of its processes.
type order struct {
	Process, Processes int
	Ground             string // path
	Redis              []string
	Cluster            bool
	Sentinel           string // name of the master, of which Redis are the sentinels
	Naive              bool   // fill without a lease
	Unheld             bool   // hold without holding
	Short              bool   // read without a second look at the tags that loads named
	Late               bool   // take values for as new as the moment they are stored
	Stampede           string // take part in one instead
}

// verdict is what a process reports.
type verdict struct {
	Reads, Loads, Refused int64
	Late                  time.Duration // the worst of the reads from memory, after another's invalidation
	Stuck                 int64         // keys that are old at rest
	Err                   string        // of a Fetch, which must not fail
}

func (v *verdict) add(w verdict) {
	v.Reads += w.Reads
	v.Loads += w.Loads
	v.Refused += w.Refused
	v.Late = max(v.Late, w.Late)
	v.Stuck += w.Stuck
	if v.Err == "" {
		v.Err = w.Err
	}
}

const orderVariable = "ASHLAR_CACHE_ATTACK"

// TestMain lets the test binary be a process of an attack as well.
func TestMain(m *testing.M) {
	text := os.Getenv(orderVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	if err := obey(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func obey(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	if o.Stampede != "" {
		return o.join()
	}
	g, err := mapGround(o.Ground)
	if err != nil {
		return err
	}
	a, err := newAttacker(o, g)
	if err != nil {
		return err
	}
	v, err := a.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(v)
}

// client is the client that all processes of an attack use.
func (o *order) client() redis.UniversalClient {
	const once, wait = 1, time.Second
	switch {
	case o.Cluster:
		return redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: o.Redis, ContextTimeoutEnabled: true, DialTimeout: wait, DialerRetries: once, MinRetryBackoff: 10 * time.Millisecond,
		})
	case o.Sentinel != "":
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: o.Sentinel, SentinelAddrs: o.Redis,
			ContextTimeoutEnabled: true, DialTimeout: wait, DialerRetries: once, MaxRetries: once,
		})
	}
	return redis.NewClient(&redis.Options{
		Addr: o.Redis[0], ContextTimeoutEnabled: true, DialTimeout: wait, DialerRetries: once, MaxRetries: once,
	})
}

// naive stores a loaded value whether or not its lease is still there, as most caches do.
type naive struct{ cache.Store }

func (s naive) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	for _, f := range fills {
		if _, err := s.Acquire(ctx, []cache.Claim{{Key: f.Key, Tags: f.Tags, Token: f.Token, TTL: time.Second}}); err != nil {
			return nil, err
		}
	}
	return s.Store.Fill(ctx, fills)
}

// unheld invalidates before the commit instead of holding, as caches without holds do.
type unheld struct{ cache.Store }

func (s unheld) Hold(ctx context.Context, h cache.Hold) error {
	return s.Invalidate(ctx, h.Keys, h.Tags)
}

// short takes every value for valid whatever the tags that its load named.
type short struct{ cache.Store }

func (s short) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	entries, err := s.Store.Acquire(ctx, claims)
	for i := range entries {
		if claims[i].Mode == cache.ClaimCompare {
			entries[i].State, entries[i].Valid = cache.Filled, true
		}
	}
	return entries, err
}

// late compares tags with the time at which a value was stored, not with that before its load.
type late struct{ cache.Store }

func (s late) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	fills = slices.Clone(fills)
	for i := range fills {
		fills[i].Seq = time.Now().UnixMicro()
	}
	return s.Store.Fill(ctx, fills)
}

// attacker is one process: writers change a version and invalidate, readers know what was
// acknowledged before they began, and loads read first and are slow after. The last two rows
// are written under a hold. Readers of an odd row do not know its tags, which its loads name, one
// of them new with each version; it is stale all the time, and refreshed in the background.
type attacker struct {
	order
	ground        *ground
	hub           *cache.Hub
	remote, local *cache.Cache[int, int64]
	own           [attackKeys]atomic.Int64 // last version that this process has invalidated

	mu      sync.Mutex
	verdict verdict
}

const firstHeld = attackKeys - 2

func newAttacker(o order, g *ground) (*attacker, error) {
	store, err := rediscache.New(o.client(), &rediscache.Options{Prefix: "attack"})
	if err != nil {
		return nil, err
	}
	if o.Naive {
		store = naive{store}
	}
	if o.Unheld {
		store = unheld{store}
	}
	if o.Short {
		store = short{store}
	}
	if o.Late {
		store = late{store}
	}
	hub, err := cache.New(store, &cache.Options{MaxStaleness: attackBound, Hooks: cachetest.Hooks{}, Logger: quiet})
	if err != nil {
		return nil, err
	}
	tag := func(k int) []string {
		if named(k) {
			return nil
		}
		return []string{fmt.Sprint("row:", k)}
	}
	return &attacker{
		order: o, ground: g, hub: hub,
		remote: cache.Define[int, int64](hub, "remote", &cache.Policy{TTL: time.Hour, Stale: time.Hour, NoLocal: true}).TagBy(tag),
		local:  cache.Define[int, int64](hub, "local", &cache.Policy{TTL: time.Hour, Stale: time.Hour}).TagBy(tag),
	}, nil
}

// named reports whether the tags of row k are named by its loads.
func named(k int) bool { return k%2 == 1 }

// tagsOf are these tags.
func tagsOf(k int, version int64) []string {
	return []string{fmt.Sprint("of ", k), fmt.Sprint("of ", k, " in ", version)}
}

func (a *attacker) fetch(ctx context.Context, c *cache.Cache[int, int64], k int) (int64, error) {
	if !named(k) {
		return c.Fetch(ctx, k, a.load)
	}
	return c.FetchWith(ctx, k, func(ctx context.Context, k int, _ cache.Loaded[int64]) (cache.Loaded[int64], error) {
		v, err := a.load(ctx, k)
		return cache.Loaded[int64]{Value: v, Tags: tagsOf(k, v), TTL: 20 * time.Millisecond}, err
	})
}

func (a *attacker) run() (verdict, error) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.hub.Run(ctx) }()
	a.ground.ready.Add(1)
	parent := os.Getppid()
	over := func() bool { return a.ground.over.Load() > 0 || os.Getppid() != parent }
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !over() {
				a.write(ctx, over)
				<-time.After(rand.N(4 * time.Millisecond))
			}
		})
	}
	for i := range 8 {
		wg.Go(func() {
			for !over() {
				a.read(ctx, i%2 == 0)
			}
		})
	}
	wg.Wait()
	a.ground.finished.Add(1)
	for a.ground.finished.Load() < int64(a.Processes) && os.Getppid() == parent {
		<-time.After(time.Millisecond)
	}
	a.rest(ctx)
	stop()
	return a.verdict, <-ended
}

func (a *attacker) load(_ context.Context, k int) (int64, error) {
	v := a.ground.rows[k].version.Load()
	a.note(func(d *verdict) { d.Loads++ })
	<-time.After(rand.N(4 * time.Millisecond))
	return v, nil
}

func (a *attacker) note(change func(*verdict)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.verdict)
}

// write commits a change and invalidates until that is acknowledged.
func (a *attacker) write(ctx context.Context, over func() bool) {
	k := rand.N(attackKeys)
	r := &a.ground.rows[k]
	r.write(a.Process, func(version int64) {
		chosen := a.target(k, version-1)
		commit := func() { r.commit(version) }
		if k >= firstHeld {
			err := cachetest.Hooks{}.Do(ctx, func(ctx context.Context) error { return a.hub.Hold(ctx, chosen...) }, commit)
			if err != nil { // rolled back
				a.note(func(d *verdict) { d.Refused++ })
				return
			}
			a.own[k].Store(version)
			r.acknowledge(version)
			a.ground.writes.Add(1)
			return
		}
		commit()
		for a.hub.Invalidate(ctx, chosen...) != nil {
			a.note(func(d *verdict) { d.Refused++ })
			if over() {
				return // the hub goes on trying
			}
		}
		a.own[k].Store(version)
		r.acknowledge(version)
		a.ground.writes.Add(1)
	})
}

// target is one of the ways to invalidate row k, which had the version old.
func (a *attacker) target(k int, old int64) []cache.Target {
	if rand.N(40) == 0 {
		return []cache.Target{a.remote.All(), a.local.All()}
	}
	if rand.N(2) == 0 {
		return []cache.Target{a.remote.Key(k), a.local.Key(k)}
	}
	if !named(k) {
		return []cache.Target{cache.Tag(fmt.Sprint("row:", k))}
	}
	tags := tagsOf(k, old)
	return []cache.Target{cache.Tag(tags[rand.N(len(tags))])}
}

func (a *attacker) read(ctx context.Context, remote bool) {
	k := rand.N(attackKeys)
	r := &a.ground.rows[k]
	own, acked, committed, begin := a.own[k].Load(), r.acked.Load(), r.version.Load(), time.Now()
	c := a.local
	if remote {
		c = a.remote
	}
	v, err := a.fetch(ctx, c, k)
	a.note(func(d *verdict) {
		d.Reads++
		switch {
		case err != nil:
			if !errors.Is(err, cache.ErrLoadShed) {
				d.Err = err.Error()
			}
		case v < own:
			a.ground.own.Add(1)
		case remote && k >= firstHeld && v < committed:
			a.ground.strict.Add(1)
		case remote && v < acked:
			a.ground.stale.Add(1)
		case v < acked:
			d.Late = max(d.Late, r.lateness(v, begin))
		}
	})
}

// rest looks for old values that are stuck once nobody writes.
func (a *attacker) rest(ctx context.Context) {
	patience := time.Minute // a hold whose owner was cut off may last 10 s
	if a.Naive {
		patience = 0 // it is never
	}
	deadline := time.Now().Add(patience)
	for k := range attackKeys {
		for {
			remote, err1 := a.fetch(ctx, a.remote, k)
			local, err2 := a.fetch(ctx, a.local, k)
			want := a.ground.rows[k].version.Load()
			if err1 == nil && err2 == nil && remote == want && local == want {
				break
			}
			if time.Now().After(deadline) {
				a.note(func(d *verdict) { d.Stuck++ })
				break
			}
			<-time.After(10 * time.Millisecond)
		}
	}
}
