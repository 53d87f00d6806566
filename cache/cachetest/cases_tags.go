package cachetest

import (
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

var tagCases = []testCase{
	{"a tag makes its values invalid", "one step, whatever their number", func(p *probe) {
		p.put("a", "1", "all", "x")
		p.put("b", "2", "all", "x", "y")
		p.put("c", "3", "all", "y")
		p.noError(p.store.Invalidate(p.ctx, nil, []string{"x", "x\x00 {}%"}))
		p.check(!p.read("a", "all", "x").Valid && !p.read("b", "all", "x", "y").Valid, "values with the tag are still valid")
		p.check(p.read("c", "all", "y").Valid, "a value without the tag became invalid")
	}},
	{"an invalid value can be replaced for good", "else every read would load from then on", func(p *probe) {
		p.put("k", "old", "x")
		p.noError(p.store.Invalidate(p.ctx, nil, []string{"x"}))
		token := p.token()
		e := p.claim(cache.Claim{Key: "k", Tags: []string{"x"}, Token: token, Mode: cache.ClaimReplace, Seen: p.read("k", "x").ID})
		p.check(e.Granted, "not replaced: %+v", e)
		p.check(p.fill(cache.Fill{Key: "k", Tags: []string{"x"}, Token: token, Seq: e.Seq, Body: []byte("new")}), "refused")
		e = p.read("k", "x")
		p.check(e.Valid && string(e.Body) == "new", "the replacement is not served: %+v", e)
	}},
	{"a tag invalidated during a load", "the load may have read what was there before", func(p *probe) {
		token, seq := p.lease("k", "x", "y")
		p.noError(p.store.Invalidate(p.ctx, nil, []string{"y"}))
		p.check(!p.fill(cache.Fill{Key: "k", Tags: []string{"x", "y"}, Token: token, Seq: seq, Body: []byte("old")}),
			"Fill says that nothing was invalidated")
		e := p.claim(cache.Claim{Key: "k", Tags: []string{"x", "y"}})
		p.check(!e.Valid, "the old value is served as valid: %+v", e)
	}},
	{"stamps only grow", "an invalidation must outdate every Seq given out before", func(p *probe) {
		var last int64
		for range 50 {
			p.noError(p.store.Invalidate(p.ctx, nil, []string{"x", "y"}))
			e := p.claim(cache.Claim{Key: "k", Tags: []string{"x", "y"}, TTL: time.Millisecond})
			p.check(e.Seq > last, "stamp %d after %d", e.Seq, last)
			last = e.Seq
		}
	}},
	{"a tag first seen later", "its stamp may have been lost; a value is as new as it only if nothing was invalidated since its load", func(p *probe) {
		p.put("k", "1", "x")
		p.noError(p.store.Invalidate(p.ctx, nil, []string{"other"}))
		p.check(!p.read("k", "x", "new").Valid, "valid for a tag that may have been invalidated after its load")
		p.put("l", "1", "x")
		p.check(p.read("l", "x", "newer").Valid, "invalid, though nothing was invalidated since its load")
	}},
}
