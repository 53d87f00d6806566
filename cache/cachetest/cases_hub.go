package cachetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

// hub makes a hub that is patient: a machine that is slow now and then must not pass for a
// store that fails, around which the hub would load.
func (p *probe) hub() *cache.Hub { return p.hubOn(p.store, cache.Options{}) }

func (p *probe) hubOn(store cache.Store, o cache.Options) *cache.Hub {
	o.StoreTimeout, o.Lease = 20*time.Second, 20*time.Second
	h, err := cache.New(store, &o)
	p.noError(err)
	return h
}

// value is a source of data that counts how often it is asked.
type value struct {
	v     atomic.Int64
	loads atomic.Int64
}

func (s *value) load(context.Context, string) (int64, error) {
	s.loads.Add(1)
	return s.v.Load(), nil
}

func (p *probe) fetch(c *cache.Cache[string, int64], key string, src *value) int64 {
	v, err := c.Fetch(p.ctx, key, src.load)
	p.noError(err)
	return v
}

// counting counts how often the store is read: what does not count came from memory.
type counting struct {
	cache.Store
	reads atomic.Int64
}

func (c *counting) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	c.reads.Add(1)
	return c.Store.Acquire(ctx, claims)
}

var hubCases = []testCase{
	{"a stampede over two processes loads once", "a popular key that ends must not take the database down", func(p *probe) {
		const callers = 100
		release := make(chan struct{})
		free := sync.OnceFunc(func() { close(release) })
		defer free()
		var loads, arrived atomic.Int64
		var wg sync.WaitGroup
		errs := make(chan error, 2*callers)
		for range 2 {
			c := cache.Define[string, string](p.hub(), "c", &cache.Policy{TTL: time.Minute})
			for range callers {
				wg.Go(func() {
					arrived.Add(1)
					v, err := c.Fetch(p.ctx, "k", func(context.Context, string) (string, error) {
						loads.Add(1)
						<-release
						return "v", nil
					})
					if err == nil && v != "v" {
						err = errors.New("got " + v)
					}
					errs <- err
				})
			}
		}
		p.eventually("all callers and the load", func() bool { return arrived.Load() == 2*callers && loads.Load() > 0 })
		free()
		wg.Wait()
		close(errs)
		for err := range errs {
			p.noError(err)
		}
		p.check(loads.Load() == 1, "%d loads", loads.Load())
	}},
	{"an invalidation during a load, by another process", "the loader read the old data and stores it after everybody was told", func(p *probe) {
		a := cache.Define[string, int64](p.hub(), "c", &cache.Policy{TTL: time.Minute})
		b := cache.Define[string, int64](p.hub(), "c", &cache.Policy{TTL: time.Minute})
		var src value
		src.v.Store(1)
		v, err := a.Fetch(p.ctx, "k", func(ctx context.Context, k string) (int64, error) {
			old, _ := src.load(ctx, k)
			src.v.Store(2)
			return old, b.Invalidate(ctx, k)
		})
		p.noError(err)
		p.check(v == 1, "the loading caller got %d", v)
		p.check(p.fetch(b, "k", &src) == 2 && p.fetch(a, "k", &src) == 2, "the old value was stored")
	}},
	{"tags over two processes", "the same race, for tags", func(p *probe) {
		byTag := func(string) []string { return []string{"org:7"} }
		ha, hb := p.hub(), p.hub()
		a := cache.Define[string, int64](ha, "c", &cache.Policy{TTL: time.Minute}).TagBy(byTag)
		b := cache.Define[string, int64](hb, "c", &cache.Policy{TTL: time.Minute}).TagBy(byTag)
		var src value
		src.v.Store(1)
		_, err := a.Fetch(p.ctx, "k", func(ctx context.Context, k string) (int64, error) {
			old, _ := src.load(ctx, k)
			src.v.Store(2)
			return old, hb.InvalidateTags(ctx, "org:7")
		})
		p.noError(err)
		p.check(p.fetch(b, "k", &src) == 2 && p.fetch(a, "k", &src) == 2, "the old value is served")
		src.v.Store(3)
		p.noError(ha.InvalidateTags(p.ctx, "org:8"))
		p.check(p.fetch(b, "k", &src) == 2, "another tag removed it")
		p.noError(ha.Invalidate(p.ctx, cache.Everything()))
		p.check(p.fetch(b, "k", &src) == 3, "Everything left it")
	}},
	{"memory follows other processes", "the local level must not hide an invalidation", func(p *probe) {
		store := &counting{Store: p.store}
		ha, hb := p.hubOn(store, cache.Options{}), p.hub()
		policy := &cache.Policy{TTL: time.Hour}
		byTag := func(string) []string { return []string{"tag"} }
		a := cache.Define[string, int64](ha, "c", policy).TagBy(byTag)
		b := cache.Define[string, int64](hb, "c", policy).TagBy(byTag)
		ctx, stop := context.WithCancel(p.ctx)
		defer stop()
		ended := make(chan error, 1)
		go func() { ended <- ha.Run(ctx) }()
		var src value
		for i := range int64(6) {
			p.eventually("memory to be in use", func() bool {
				before := store.reads.Load()
				p.fetch(a, "k", &src)
				return store.reads.Load() == before
			})
			src.v.Store(i)
			if i%2 == 0 {
				p.noError(b.Invalidate(p.ctx, "k"))
			} else {
				p.noError(hb.InvalidateTags(p.ctx, "tag"))
			}
			p.eventually("the other process to see it", func() bool { return p.fetch(a, "k", &src) == i })
		}
		stop()
		p.noError(<-ended)
	}},
	{"a whole cache in one step", "after a bug fix all its values are wrong, whatever their keys", func(p *probe) {
		type tenantKey struct{}
		policy := &cache.Policy{TTL: time.Minute}
		type process struct {
			hub                  *cache.Hub
			users, teams, shared *cache.Cache[string, int64]
		}
		start := func() process {
			h := p.hubOn(p.store, cache.Options{Tenant: func(ctx context.Context) (string, bool) {
				id, ok := ctx.Value(tenantKey{}).(string)
				return id, ok
			}})
			return process{
				h, cache.Define[string, int64](h, "users", policy), cache.Define[string, int64](h, "teams", policy),
				cache.Define[string, int64](h.Shared(), "plans", policy),
			}
		}
		a, b := start(), start()
		t1, t2 := context.WithValue(p.ctx, tenantKey{}, "1"), context.WithValue(p.ctx, tenantKey{}, "2")
		var src value
		var now []int64 // of users and teams of both tenants and of the plans
		read := func() []int64 {
			now = now[:0]
			for _, c := range []*cache.Cache[string, int64]{b.users, b.teams} {
				for _, ctx := range []context.Context{t1, t2} {
					v, err := c.Fetch(ctx, "k", src.load)
					p.noError(err)
					now = append(now, v)
				}
			}
			v, err := b.shared.Fetch(p.ctx, "k", src.load)
			p.noError(err)
			return append(now, v)
		}
		read()
		for i, c := range []struct {
			invalidate func() error
			want       []int64
		}{
			{func() error { return a.hub.Invalidate(t1, a.users.All()) }, []int64{1, 0, 0, 0, 0}},
			{func() error { return a.hub.Invalidate(t2, a.teams.Key("k"), a.users.Key("k")) }, []int64{1, 2, 0, 2, 0}},
			{func() error { return a.hub.Shared().Invalidate(p.ctx, a.shared.Key("k")) }, []int64{1, 2, 0, 2, 3}},
			{func() error { return a.hub.Invalidate(t1, a.shared.All(), a.teams.All()) }, []int64{1, 2, 4, 2, 4}},
			{func() error { return a.hub.Invalidate(t2, cache.Everything()) }, []int64{1, 5, 4, 5, 4}},
			{func() error { return a.hub.Shared().Invalidate(p.ctx, cache.Everything()) }, []int64{6, 6, 6, 6, 6}},
		} {
			src.v.Store(int64(i + 1))
			p.noError(c.invalidate())
			got := read()
			for j := range got {
				p.check(got[j] == c.want[j], "step %d: got %v, want %v", i+1, got, c.want)
			}
		}
		p.check(errors.Is(a.hub.Invalidate(p.ctx, a.users.All()), cache.ErrNoTenant), "All of no tenant")
		p.check(a.hub.Invalidate(t1, cache.Target{}) != nil, "the zero Target")
	}},
	{"a stale value is refreshed once, in the background", "nobody should wait for a value that is only a little old", func(p *probe) {
		policy := &cache.Policy{TTL: 20 * time.Millisecond, Stale: time.Hour}
		a := cache.Define[string, int64](p.hub(), "c", policy)
		b := cache.Define[string, int64](p.hub(), "c", policy)
		started, release := make(chan struct{}, 10), make(chan struct{})
		free := sync.OnceFunc(func() { close(release) })
		defer free()
		refresh := func(context.Context, string) (int64, error) {
			started <- struct{}{}
			<-release
			return 2, nil
		}
		var src value
		src.v.Store(1)
		p.check(p.fetch(a, "k", &src) == 1, "not loaded")
		p.eventually("a refresh to start", func() bool {
			v, err := a.Fetch(p.ctx, "k", refresh)
			p.noError(err)
			p.check(v == 1, "got %d, not the stale value", v)
			return len(started) == 1
		})
		for range 10 {
			v, err := b.Fetch(p.ctx, "k", refresh)
			p.noError(err)
			p.check(v == 1, "got %d, not the stale value", v)
		}
		p.check(len(started) == 1, "%d refreshes at once", len(started))
		free()
		src.v.Store(2)
		p.eventually("the refreshed value", func() bool { return p.fetch(b, "k", &src) == 2 })
	}},
	{"absence is kept too", "a key that does not exist is asked for as often as others", func(p *probe) {
		a := cache.Define[string, int64](p.hub(), "c", &cache.Policy{TTL: time.Minute})
		b := cache.Define[string, int64](p.hub(), "c", &cache.Policy{TTL: time.Minute})
		_, err := a.Fetch(p.ctx, "k", func(context.Context, string) (int64, error) { return 0, cache.ErrNotFound })
		p.check(errors.Is(err, cache.ErrNotFound), "got %v", err)
		var src value
		_, err = b.Fetch(p.ctx, "k", src.load)
		p.check(errors.Is(err, cache.ErrNotFound) && src.loads.Load() == 0, "loaded again: %v", err)
		p.noError(a.Invalidate(p.ctx, "k"))
		p.check(p.fetch(b, "k", &src) == 0 && src.loads.Load() == 1, "not loaded after the invalidation")
	}},
	{"a tenant sees only its own", "one tenant's data in another's page is the worst bug there is", func(p *probe) {
		type tenantKey struct{}
		h := p.hubOn(p.store, cache.Options{Tenant: func(ctx context.Context) (string, bool) {
			id, ok := ctx.Value(tenantKey{}).(string)
			return id, ok
		}})
		c := cache.Define[string, string](h, "c", &cache.Policy{TTL: time.Minute}).TagBy(func(string) []string { return []string{"g"} })
		fetch := func(tenant, key, load string) string {
			v, err := c.Fetch(context.WithValue(p.ctx, tenantKey{}, tenant), key, func(context.Context, string) (string, error) { return load, nil })
			p.noError(err)
			return v
		}
		ids := []string{"a", "b", "a:b", "a%3Ab"}
		for _, id := range ids {
			p.check(fetch(id, "b:k", id) == id && fetch(id, "k", id) == id, "%q got another's value", id)
		}
		p.noError(h.InvalidateTags(context.WithValue(p.ctx, tenantKey{}, "a"), "g"))
		p.check(fetch("a", "k", "a2") == "a2", "the tag did not remove the tenant's own")
		p.check(fetch("b", "k", "x") == "b" && fetch("a:b", "k", "x") == "a:b", "it removed another's")
		p.noError(h.Invalidate(context.WithValue(p.ctx, tenantKey{}, "b"), cache.Everything()))
		p.check(fetch("b", "k", "b2") == "b2" && fetch("a", "k", "x") == "a2", "Everything of one tenant")
		_, err := c.Fetch(context.WithValue(p.ctx, tenantKey{}, ""), "k", nil)
		p.check(errors.Is(err, cache.ErrNoTenant), "an empty id: %v", err)
	}},
}
