package cachetest

import "github.com/ashlar-go/ashlar/cache"

// compare takes a second look at the value of key, whose reader knows tags, with own tags.
func (p *probe) compare(key string, tags []string, own ...string) cache.Entry {
	e := p.claim(cache.Claim{Tags: own, Mode: cache.ClaimCompare, Seen: p.read(key, tags...).ID})
	p.check(!e.Granted && (e.State == cache.Filled || e.State == cache.Held && !e.Valid), "a comparison is %+v", e)
	return e
}

// named stores a value whose load named further tags.
func (p *probe) named(key string, tags, own []string) {
	token, seq := p.lease(key, tags...)
	p.check(p.fill(cache.Fill{Key: key, Tags: append(append([]string{}, tags...), own...), Token: token, Seq: seq, Body: []byte("1")}),
		"Fill says that a tag was invalidated")
}

var ownCases = []testCase{
	{"a tag that came up while loading", "only the load knows what the value is about; the claim could not name it", func(p *probe) {
		static := []string{"all"}
		p.named("k", static, []string{"x", "y"})
		p.named("l", static, []string{"y"})
		for range 2 {
			p.check(p.compare("k", static, "x", "y").Valid && p.compare("l", static, "y").Valid, "invalid from the start")
		}
		p.noError(p.store.Invalidate(p.ctx, nil, []string{"x"}))
		p.check(!p.compare("k", static, "x", "y").Valid, "valid in spite of its own tag")
		p.check(!p.compare("k", static, "y", "x").Valid, "valid in spite of its own tag, in another order")
		p.check(p.compare("l", static, "y").Valid, "a value without the tag became invalid")
		p.check(p.read("k", "all").Valid, "what the reader knows was not invalidated")
		p.check(p.claim(cache.Claim{Key: "m", Tags: []string{"all"}, Mode: cache.ClaimNothing}).State == cache.Missing,
			"a comparison left something behind")
	}},
	{"a comparison of what is not there", "a name of an entry that is none must not pass for a valid one", func(p *probe) {
		p.put("v", "1", "x")
		p.lease("l", "x")
		for _, seen := range []string{"", "rubbish", p.claim(cache.Claim{Key: "l", Tags: []string{"x"}}).ID} {
			e := p.claim(cache.Claim{Tags: []string{"x"}, Mode: cache.ClaimCompare, Seen: seen})
			p.check(!e.Valid, "%q is valid: %+v", seen, e)
		}
	}},
	{"a seq is as new as its claim", "else every value is older than the stamps of its own tags, which move more often than those that all know", func(p *probe) {
		p.put("before", "1", "all")
		p.noError(p.store.Invalidate(p.ctx, nil, []string{"x"}))
		p.noError(p.store.Invalidate(p.ctx, nil, []string{"y", "x"}))
		p.named("k", []string{"all"}, []string{"x", "y"})
		p.check(p.compare("k", []string{"all"}, "x", "y").Valid, "invalid for what was invalidated before its load")
		p.check(!p.compare("before", []string{"all"}, "x").Valid, "valid for what was invalidated after its load")
	}},
	{"an own tag invalidated during the load", "the load may have read what was there before, known or not", func(p *probe) {
		p.named("other", []string{"all"}, []string{"known"})
		for _, tag := range []string{"known", "new"} {
			token, seq := p.lease("k"+tag, "all")
			p.noError(p.store.Invalidate(p.ctx, nil, []string{tag}))
			p.check(!p.fill(cache.Fill{Key: "k" + tag, Tags: []string{"all", tag}, Token: token, Seq: seq, Body: []byte("old")}),
				"Fill says that %s was not invalidated", tag)
			p.check(!p.compare("k"+tag, []string{"all"}, tag).Valid, "the old value is valid for %s", tag)
		}
	}},
	{"what is new is not invalid", "each value with a tag of its own would have to be loaded twice", func(p *probe) {
		first, seq := p.lease("k", "all")
		second, seq2 := p.lease("l", "all")
		fill := func(key, token string, seq int64, own string) bool {
			return p.fill(cache.Fill{Key: key, Tags: []string{"all", own}, Token: token, Seq: seq, Body: []byte("1")})
		}
		p.check(fill("k", first, seq, "new"), "the first value of a tag is invalid")
		p.check(fill("l", second, seq2, "newer"), "a tag that came up made another's value invalid")
		p.check(p.compare("k", []string{"all"}, "new").Valid && p.compare("l", []string{"all"}, "newer").Valid, "later invalid")
	}},
	{"an own tag is held", "a strict writer promises the same for what only loads name", func(p *probe) {
		p.named("k", []string{"all"}, []string{"x"})
		token, seq := p.lease("loading", "all")
		h := p.hold(cache.Hold{Tags: []string{"x"}})
		late, lseq := p.lease("late", "all")
		p.check(p.compare("k", []string{"all"}, "y", "x").State == cache.Held, "not held")
		fills := func(when string) {
			for key, f := range map[string]cache.Fill{"loading": {Token: token, Seq: seq}, "late": {Token: late, Seq: lseq}} {
				f.Key, f.Tags, f.Body = key, []string{"all", "x"}, []byte("old")
				p.check(!p.fill(f), "%s the fill of %s says that it is up to date", when, key)
			}
		}
		fills("under the hold")
		p.check(p.compare("late", []string{"all"}, "x").State == cache.Held, "not held after a fill")
		p.noError(p.store.Release(p.ctx, h))
		fills("after the release")
		for _, key := range []string{"k", "loading", "late"} {
			e := p.compare(key, []string{"all"}, "x")
			p.check(e.State == cache.Filled && !e.Valid, "after the release %s is %+v", key, e)
		}
	}},
	{"comparisons come in batches", "many keys of one request cost one round trip", func(p *probe) {
		p.named("k", []string{"all"}, []string{"x"})
		p.named("l", []string{"all"}, []string{"y"})
		p.noError(p.store.Invalidate(p.ctx, nil, []string{"y"}))
		k, l := p.read("k", "all").ID, p.read("l", "all").ID
		entries, err := p.store.Acquire(p.ctx, []cache.Claim{
			{Mode: cache.ClaimCompare, Seen: k, Tags: []string{"x"}}, {Mode: cache.ClaimCompare, Seen: l, Tags: []string{"y"}},
			{Mode: cache.ClaimNothing, Key: "k", Tags: []string{"all"}}, {Mode: cache.ClaimCompare, Seen: k, Tags: []string{"x", "y"}},
		})
		p.noError(err)
		for i, want := range []bool{true, false, true, false} {
			p.check(entries[i].Valid == want, "claim %d: %+v", i, entries[i])
		}
	}},
}
