package cachetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

// origin is a source whose values have a validator and tags.
type origin struct {
	value
	tags        func(key string, v int64) []string
	ttl         atomic.Int64
	unmodified  atomic.Int64
	shown       atomic.Int64 // how often a load was shown a previous value
	interrupted func()       // after the value was read
}

func (o *origin) load(ctx context.Context, key string, prev cache.Loaded[int64]) (cache.Loaded[int64], error) {
	v, _ := o.value.load(ctx, key)
	if o.interrupted != nil {
		o.interrupted()
	}
	l := cache.Loaded[int64]{Value: v, Validator: fmt.Sprint(v), TTL: time.Duration(o.ttl.Load())}
	if prev.Validator != "" {
		o.shown.Add(1)
	}
	if prev.Validator == l.Validator {
		o.unmodified.Add(1)
		return cache.Loaded[int64]{TTL: l.TTL}, cache.ErrNotModified
	}
	l.Tags = o.tags(key, v)
	return l, nil
}

// byKey gives each value one tag, of its key, and one of its first letter.
func byKey(key string, _ int64) []string { return []string{"key:" + key, "letter:" + key[:1]} }

func (p *probe) fetchWith(c *cache.Cache[string, int64], key string, o *origin) int64 {
	v, err := c.FetchWith(p.ctx, key, o.load)
	p.noError(err)
	return v
}

func numbers(h *cache.Hub, policy *cache.Policy) *cache.Cache[string, int64] {
	return cache.Define[string, int64](h, "c", policy)
}

var withCases = []testCase{
	{"a load asks its source", "an unchanged value should not be transferred again, whichever process asks", func(p *probe) {
		policy := &cache.Policy{TTL: time.Hour, StaleIfError: time.Hour, Jitter: -1}
		a, b := numbers(p.hub(), policy), numbers(p.hub(), policy)
		o := &origin{tags: byKey}
		o.v.Store(1)
		o.ttl.Store(int64(20 * time.Millisecond))
		p.check(p.fetchWith(a, "k", o) == 1, "not loaded")
		p.eventually("the source to be asked", func() bool { return p.fetchWith(b, "k", o) == 1 && o.unmodified.Load() > 0 })
		o.v.Store(2)
		p.eventually("the new value", func() bool { return p.fetchWith(a, "k", o) == 2 })
		p.check(p.fetchWith(b, "k", o) == 2, "another value in the other process")
		o.ttl.Store(0) // the policy's, once the value of 20 ms has ended
		short := o.loads.Load()
		p.eventually("a load with the TTL of the policy", func() bool { return p.fetchWith(b, "k", o) == 2 && o.loads.Load() > short })
		loads := o.loads.Load()
		p.check(p.fetchWith(b, "k", o) == 2 && p.fetchWith(a, "k", o) == 2 && o.loads.Load() == loads, "not kept")
	}},
	{"a tag drops exactly the values that named it", "that is what it is for", func(p *probe) {
		policy := &cache.Policy{TTL: time.Hour}
		ha, hb := p.hub(), p.hub()
		a, b := numbers(ha, policy), numbers(hb, policy)
		other := cache.Define[string, int64](ha, "other", policy).TagBy(func(string) []string { return []string{"letter:x"} })
		o, plain := &origin{tags: byKey}, &value{}
		keys := []string{"x1", "x2", "y1", "y2"}
		read := func(c *cache.Cache[string, int64]) (loaded []string) {
			for _, k := range keys {
				before := o.loads.Load()
				p.fetchWith(c, k, o)
				if o.loads.Load() > before {
					loaded = append(loaded, k)
				}
			}
			return loaded
		}
		read(a)
		p.fetch(other, "k", plain)
		p.check(read(b) == nil && read(a) == nil, "not cached at first")
		for _, c := range []struct {
			tag  string
			want []string
		}{
			{"letter:x", []string{"x1", "x2"}}, {"key:y1", []string{"y1"}}, {"letter:z", nil}, {"letter:y", []string{"y1", "y2"}}, {"key:x2", []string{"x2"}},
		} {
			p.noError(hb.InvalidateTags(p.ctx, c.tag))
			got := read(a)
			p.check(slices.Equal(got, c.want), "%s dropped %v, want %v", c.tag, got, c.want)
			p.check(read(b) == nil && read(a) == nil, "%s: not cached again", c.tag)
		}
		p.fetch(other, "k", plain)
		p.check(plain.loads.Load() == 2, "the tag of TagBy is another one: %d loads", plain.loads.Load())
		p.noError(hb.InvalidateTags(p.ctx, "letter:x"))
		p.check(p.peek(a, "x1") == none && p.peek(a, "y1") == 0 && p.peek(b, "x2") == none, "Peek")
		var asked []string
		many, err := b.FetchMany(p.ctx, keys, func(_ context.Context, missing []string) (map[string]int64, error) {
			asked = missing
			return map[string]int64{"x1": 7, "x2": 7}, nil
		})
		p.noError(err)
		p.check(slices.Equal(asked, []string{"x1", "x2"}), "FetchMany loads %v", asked)
		p.check(len(many) == 4 && many["x1"] == 7 && many["y1"] == 0, "FetchMany returned %v", many)
	}},
	{"a tag that a load names, invalidated meanwhile", "the load read what was there before", func(p *probe) {
		policy := &cache.Policy{TTL: time.Hour}
		a, hb := numbers(p.hub(), policy), p.hub()
		b := numbers(hb, policy)
		o := &origin{tags: byKey}
		for i, key := range []string{"new", "known"} {
			if key == "known" {
				p.fetchWith(a, key, o)
				p.noError(hb.InvalidateTags(p.ctx, "key:known"))
			}
			next := int64(i + 1)
			o.interrupted = func() {
				o.v.Store(next)
				p.noError(hb.InvalidateTags(p.ctx, "key:"+key))
			}
			p.check(p.fetchWith(a, key, o) == next-1, "%s: the loading caller", key)
			o.interrupted = nil
			p.check(p.fetchWith(b, key, o) == next && p.fetchWith(a, key, o) == next, "%s: the old value was stored", key)
		}
	}},
	{"a tag that a refresh names, invalidated meanwhile", "the old value is served while the refresh reads, with other tags than that one", func(p *probe) {
		policy := &cache.Policy{TTL: time.Hour, Stale: time.Hour}
		a, hb := numbers(p.hub(), policy), p.hub()
		o := &origin{tags: func(_ string, v int64) []string { return []string{fmt.Sprint("v", v)} }}
		o.ttl.Store(int64(time.Millisecond))
		p.fetchWith(a, "k", o)
		o.v.Store(1)
		began, release := make(chan struct{}), make(chan struct{})
		free := sync.OnceFunc(func() { close(release) })
		defer free()
		var n atomic.Int64
		slow := func(ctx context.Context, key string, prev cache.Loaded[int64]) (cache.Loaded[int64], error) {
			l, err := o.load(ctx, key, prev)
			if n.Add(1) == 1 {
				close(began)
				<-release
			}
			l.TTL = time.Hour
			return l, err
		}
		p.eventually("a refresh", func() bool {
			_, err := a.FetchWith(p.ctx, "k", slow)
			p.noError(err)
			return n.Load() > 0
		})
		<-began
		o.v.Store(2)
		p.noError(hb.InvalidateTags(p.ctx, "v0", "v1"))
		free()
		for range 5 {
			v, err := a.FetchWith(p.ctx, "k", slow)
			p.noError(err)
			p.check(v == 2, "%d after the invalidation", v)
		}
	}},
	{"an answer that nothing is there has tags", "what is created later invalidates them", func(p *probe) {
		h := p.hub()
		c := numbers(h, &cache.Policy{TTL: time.Hour})
		loads := 0
		absent := func(context.Context, string, cache.Loaded[int64]) (cache.Loaded[int64], error) {
			loads++
			return cache.Loaded[int64]{Tags: []string{"list"}}, cache.ErrNotFound
		}
		for i := range 4 {
			_, err := c.FetchWith(p.ctx, "k", absent)
			p.check(err == cache.ErrNotFound, "%v", err)
			p.check(loads == 1+i/2, "call %d: %d loads", i, loads)
			if i == 1 {
				p.noError(h.InvalidateTags(p.ctx, "list"))
			}
		}
	}},
	{"an own value instead of one with tags", "who puts it cannot know them, so what they stand for would be lost", func(p *probe) {
		h := p.hub()
		c := numbers(h, &cache.Policy{TTL: time.Hour}).VersionBy(func(v int64) int64 { return v })
		o := &origin{tags: byKey}
		o.v.Store(1)
		p.fetchWith(c, "k", o)
		o.v.Store(2)
		p.noError(c.Put(p.ctx, "k", 2))
		p.check(p.fetchWith(c, "k", o) == 2, "the old value")
		o.v.Store(3)
		p.noError(h.InvalidateTags(p.ctx, "key:k"))
		p.check(p.fetchWith(c, "k", o) == 3, "the tag is lost")
	}},
	{"memory follows the tags of loads", "the local level must not hide an invalidation of what it was not asked for", func(p *probe) {
		store := &counting{Store: p.store}
		ha, hb := p.hubOn(store, cache.Options{}), p.hub()
		policy := &cache.Policy{TTL: time.Hour}
		a, b := numbers(ha, policy), numbers(hb, policy)
		ctx, stop := context.WithCancel(p.ctx)
		defer stop()
		ended := make(chan error, 1)
		go func() { ended <- ha.Run(ctx) }()
		o := &origin{tags: byKey}
		for i := range int64(8) {
			p.eventually("memory to be in use", func() bool {
				before := store.reads.Load()
				p.fetchWith(a, "k", o)
				return store.reads.Load() == before
			})
			o.v.Store(i)
			if i%2 == 0 { // this process's own is seen at once
				p.noError(ha.InvalidateTags(p.ctx, "letter:k"))
				p.check(p.fetchWith(a, "k", o) == i, "the process that invalidated reads the old value")
				continue
			}
			p.noError(hb.InvalidateTags(p.ctx, "key:k"))
			if i%4 == 1 {
				p.fetchWith(b, "k", o) // memory takes it from the store, not from a load
			}
			p.eventually("the other process to see it", func() bool { return p.fetchWith(a, "k", o) == i })
		}
		stop()
		p.noError(<-ended)
	}},
}

const none = -1

// peek returns none for what is not cached.
func (p *probe) peek(c *cache.Cache[string, int64], key string) int64 {
	v, ok, err := c.Peek(p.ctx, key)
	p.noError(err)
	if !ok {
		return none
	}
	return v
}
