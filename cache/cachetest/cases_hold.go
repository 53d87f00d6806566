package cachetest

import (
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

func (p *probe) hold(h cache.Hold) cache.Hold {
	if h.Token == "" {
		h.Token = p.token()
	}
	if h.TTL == 0 {
		h.TTL = time.Minute
	}
	p.noError(p.store.Hold(p.ctx, h))
	return h
}

// held checks that nobody can read or fill what a writer holds, in any mode.
func (p *probe) held(key string, tags ...string) {
	for _, m := range []cache.Mode{cache.ClaimMissing, cache.ClaimBeside, cache.ClaimReplace, cache.ClaimAwait, cache.ClaimNothing} {
		e := p.claim(cache.Claim{Key: key, Tags: tags, Mode: m})
		p.check(e.State == cache.Held && !e.Granted && !e.Valid, "mode %d reads or leases what is held: %+v", m, e)
	}
}

var holdCases = []testCase{
	{"what is held is neither read nor filled", "a strict writer promises that nothing older than its commit is read, also between the commit and the release", func(p *probe) {
		p.put("k", "old", "x")
		p.put("tagged", "old", "x", "y")
		h := p.hold(cache.Hold{Keys: []string{"k", "new"}, Tags: []string{"y"}})
		p.held("k", "x")
		p.held("new")
		p.held("tagged", "x", "y")
		p.put("free", "1", "x")
		p.check(p.read("free", "x").Valid, "what is not held cannot be used")
		p.noError(p.store.Release(p.ctx, h))
		for _, k := range []string{"k", "new"} {
			p.missing(k)
		}
		p.check(!p.read("tagged", "x", "y").Valid, "a value from before the hold is valid after it")
		p.put("other", "1", "y")
		p.check(p.read("other", "y").Valid, "the tag cannot be used after the release")
	}},
	{"a hold voids loads in progress", "they read before the change and end after it", func(p *probe) {
		token, seq := p.lease("k")
		tagged, tseq := p.lease("tagged", "y")
		p.put("v", "old")
		beside := p.token()
		p.claim(cache.Claim{Key: "v", Token: beside, Mode: cache.ClaimBeside})
		h := p.hold(cache.Hold{Keys: []string{"k", "v"}, Tags: []string{"y"}})
		fills := func(when string) {
			for _, f := range []cache.Fill{
				{Key: "k", Token: token, Seq: seq, Body: []byte("old")}, {Key: "v", Token: beside, Body: []byte("old")},
				{Key: "tagged", Tags: []string{"y"}, Token: tagged, Seq: tseq, Body: []byte("old")},
			} {
				p.check(!p.fill(f), "%s the fill of %s says that it is up to date", when, f.Key)
			}
		}
		fills("under the hold")
		p.noError(p.store.Release(p.ctx, h))
		fills("after the release")
		p.missing("k")
		p.missing("v")
		p.check(!p.claim(cache.Claim{Key: "tagged", Tags: []string{"y"}}).Valid, "the old value is served")
	}},
	{"several writers hold the same", "the first to finish must not open the door for the others", func(p *probe) {
		p.put("tagged", "old", "y")
		a := p.hold(cache.Hold{Keys: []string{"k"}, Tags: []string{"y"}})
		b := p.hold(cache.Hold{Keys: []string{"k"}, Tags: []string{"y"}})
		p.noError(p.store.Release(p.ctx, a))
		p.held("k")
		p.held("tagged", "y")
		p.noError(p.store.Release(p.ctx, a))
		p.held("k")
		p.noError(p.store.Release(p.ctx, b))
		p.missing("k")
		p.check(!p.read("tagged", "y").Valid, "the old value is served")
	}},
	{"invalidation leaves holds", "somebody else's invalidation must not end the promise of a writer", func(p *probe) {
		h := p.hold(cache.Hold{Keys: []string{"k"}, Tags: []string{"y"}})
		p.noError(p.store.Invalidate(p.ctx, []string{"k"}, []string{"y"}))
		p.held("k")
		p.held("tagged", "y")
		p.noError(p.store.Release(p.ctx, h))
		p.missing("k")
	}},
	{"a hold ends by itself", "a writer that died must not switch the cache off, nor leave what it may have changed", func(p *probe) {
		p.put("tagged", "old", "y")
		long := p.hold(cache.Hold{Keys: []string{"both"}, Tags: []string{"both"}})
		p.hold(cache.Hold{Keys: []string{"k", "both"}, Tags: []string{"y", "both"}, TTL: 20 * time.Millisecond})
		p.eventually("the hold to end", func() bool {
			return p.claim(cache.Claim{Key: "k", TTL: time.Millisecond}).State == cache.Leased
		})
		p.eventually("the hold of the tag to end", func() bool {
			return p.claim(cache.Claim{Key: "tagged", Tags: []string{"y"}}).State == cache.Filled
		})
		p.check(!p.read("tagged", "y").Valid, "the old value is valid again")
		p.held("both")
		p.held("tagged", "both")
		p.noError(p.store.Release(p.ctx, long))
		p.missing("both")
	}},
	{"a hold can be extended", "a commit may take longer than was thought", func(p *probe) {
		h := p.hold(cache.Hold{Keys: []string{"k"}, Tags: []string{"y"}, TTL: 30 * time.Millisecond})
		p.hold(cache.Hold{Token: h.Token, Keys: h.Keys, Tags: h.Tags})
		begin := time.Now()
		p.eventually("60 ms to pass", func() bool { return time.Since(begin) > 60*time.Millisecond })
		p.held("k")
		p.held("tagged", "y")
	}},
	{"a late release invalidates", "between the end of the hold and the commit somebody may have cached the old value", func(p *probe) {
		h := p.hold(cache.Hold{Keys: []string{"k"}, Tags: []string{"y"}, TTL: time.Millisecond})
		p.eventually("the hold to end", func() bool {
			return p.claim(cache.Claim{Key: "k", Tags: []string{"y"}, TTL: time.Millisecond}).State == cache.Leased
		})
		p.eventually("the lease to end", func() bool {
			token := p.token()
			e := p.claim(cache.Claim{Key: "k", Tags: []string{"y"}, Token: token})
			return e.Granted && p.fill(cache.Fill{Key: "k", Tags: []string{"y"}, Token: token, Seq: e.Seq, Body: []byte("old")})
		})
		p.put("tagged", "old", "y")
		p.noError(p.store.Release(p.ctx, h))
		p.missing("k")
		p.check(!p.read("tagged", "y").Valid, "the old value is served")
	}},
	{"watchers hear of holds and releases", "memory of other processes follows these", func(p *probe) {
		w := p.watch("a")
		h := p.hold(cache.Hold{Keys: []string{"k"}, Tags: []string{"y"}})
		p.settle(w, "a", 1)
		p.check(w.index(cache.Event{Kind: cache.EventInvalidated, Name: "k"}) > 0, "no event for the hold of a key")
		p.check(w.index(cache.Event{Kind: cache.EventStamped, Name: "y"}) > 0, "no event for the hold of a tag")
		before := w.count()
		p.noError(p.store.Release(p.ctx, h))
		p.settle(w, "a", 2)
		p.check(w.count() == before+3, "release: %d events, not two and the beat", w.count()-before)
		p.finish(w)
	}},
}
