package cachetest

import (
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

// versioned stores a value with a version the regular way.
func (p *probe) versioned(key, body string, version int64, tags ...string) {
	token, seq := p.lease(key, tags...)
	p.check(p.fill(cache.Fill{Key: key, Tags: tags, Token: token, Seq: seq, Body: []byte(body), Version: version}), "refused")
}

// own stores a caller's own value.
func (p *probe) own(key, body string, version int64, tags ...string) bool {
	return p.fill(cache.Fill{Key: key, Tags: tags, Body: []byte(body), Version: version})
}

func (p *probe) reads(key, body string, version int64, tags ...string) {
	e := p.read(key, tags...)
	p.check(e.Valid && string(e.Body) == body && e.Version == version, "%q is %q of version %d: %+v", key, e.Body, e.Version, e)
}

var putCases = []testCase{
	{"the newer of two own values wins", "writers finish in another order than they commit", func(p *probe) {
		p.versioned("k", "1", 1)
		p.check(p.own("k", "3", 3) && p.own("k", "3", 3), "a newer value, or its repetition, was refused")
		p.reads("k", "3", 3)
		p.check(!p.own("k", "2", 2), "an older value was stored")
		p.reads("k", "3", 3)
		const last = 1<<63 - 1
		p.check(p.own("k", "last", last) && !p.own("k", "x", last-1), "versions of 19 digits")
		p.reads("k", "last", last)
	}},
	{"an own value brings nothing back", "who writes late does not know what was invalidated meanwhile", func(p *probe) {
		p.versioned("k", "1", 1)
		p.noError(p.store.Invalidate(p.ctx, []string{"k"}, nil))
		p.check(!p.own("k", "2", 2), "stored where nothing was")
		p.missing("k")
		p.versioned("tagged", "1", 1, "x")
		p.noError(p.store.Invalidate(p.ctx, nil, []string{"x"}))
		p.check(!p.own("tagged", "2", 2, "x"), "said to be valid in spite of its tag")
		p.check(!p.read("tagged", "x").Valid, "served in spite of its tag")
	}},
	{"an own value ends loads in progress", "they may have read what was there before", func(p *probe) {
		token, seq := p.lease("k")
		p.check(!p.own("k", "2", 2), "stored in place of a lease")
		p.check(!p.fill(cache.Fill{Key: "k", Token: token, Seq: seq, Body: []byte("1"), Version: 1}), "the older load was stored")
		p.missing("k")
		p.versioned("v", "1", 1)
		refresh := p.token()
		p.claim(cache.Claim{Key: "v", Token: refresh, Mode: cache.ClaimBeside})
		p.check(p.own("v", "2", 2), "refused beside a refresh")
		p.check(!p.fill(cache.Fill{Key: "v", Token: refresh, Body: []byte("1"), Version: 1}), "the older refresh was stored")
		p.reads("v", "2", 2)
	}},
	{"over a value of unknown version", "nobody can say which of the two is newer, so it must be loaded", func(p *probe) {
		p.put("k", "?")
		p.check(!p.own("k", "2", 2), "stored")
		p.missing("k")
	}},
	{"a load does not go back", "it may have read from a replica that lags", func(p *probe) {
		p.versioned("k", "5", 5)
		token := p.token()
		e := p.claim(cache.Claim{Key: "k", Token: token, Mode: cache.ClaimBeside})
		p.check(!p.fill(cache.Fill{Key: "k", Token: token, Seq: e.Seq, Body: []byte("4"), Version: 4}), "an older load was stored")
		p.reads("k", "5", 5)
		token = p.token()
		e = p.claim(cache.Claim{Key: "k", Token: token, Mode: cache.ClaimBeside})
		p.check(e.Granted, "the refused load kept its lease: %+v", e)
		p.check(p.fill(cache.Fill{Key: "k", Token: token, Seq: e.Seq, Body: []byte("6"), Version: 6}), "a newer load was refused")
		p.reads("k", "6", 6)
	}},
	{"an own value respects holds", "another writer's promise", func(p *probe) {
		p.versioned("k", "1", 1)
		h := p.hold(cache.Hold{Keys: []string{"k"}})
		p.check(!p.own("k", "2", 2), "stored in place of a hold")
		p.held("k")
		p.noError(p.store.Release(p.ctx, h))
		p.versioned("tagged", "1", 1, "x")
		p.hold(cache.Hold{Tags: []string{"x"}})
		p.check(!p.own("tagged", "2", 2, "x"), "said to be valid while its tag is held")
	}},
	{"watchers hear of own values", "memory of other processes has the older one", func(p *probe) {
		p.versioned("k", "1", 1)
		w := p.watch("a")
		p.check(p.own("k", "2", 2), "refused")
		p.settle(w, "a", 1)
		p.check(w.index(cache.Event{Kind: cache.EventInvalidated, Name: "k"}) > 0, "no event")
		p.own("gone", "2", 2)
		p.settle(w, "a", 2)
		p.check(w.index(cache.Event{Kind: cache.EventInvalidated, Name: "gone"}) > 0, "no event where the store had lost the value")
		p.finish(w)
	}},
	{"an own value has its TTL", "TTL is a promise", func(p *probe) {
		p.versioned("k", "1", 1)
		p.check(p.fill(cache.Fill{Key: "k", Body: []byte("2"), Version: 2, TTL: 20 * time.Millisecond}), "refused")
		p.eventually("the value to end", func() bool { return p.claim(cache.Claim{Key: "k", TTL: time.Second}).Granted })
	}},
}

var peekCases = []testCase{
	{"reading takes no lease", "who only looks must not make others wait", func(p *probe) {
		e := p.claim(cache.Claim{Key: "k", Tags: []string{"x"}, Mode: cache.ClaimNothing})
		p.check(e.State == cache.Missing && !e.Granted, "%+v", e)
		p.put("k", "1", "x")
		e = p.claim(cache.Claim{Key: "k", Tags: []string{"x"}, Mode: cache.ClaimNothing})
		p.check(e.State == cache.Filled && e.Valid && string(e.Body) == "1" && e.Left > 30*time.Second, "%+v", e)
		p.lease("leased")
		e = p.claim(cache.Claim{Key: "leased", Mode: cache.ClaimNothing})
		p.check(e.State == cache.Leased && !e.Granted, "%+v", e)
	}},
	{"reading is as strict as claiming", "most hits are reads without a lease; what is old for a claim is old for them", func(p *probe) {
		look := func(key string, tags ...string) cache.Entry {
			return p.claim(cache.Claim{Key: key, Tags: tags, Mode: cache.ClaimNothing})
		}
		for _, tags := range [][]string{{"a"}, {"a", "b"}, {"c", "a", "d", "e", "f", "g", "h", "i", "j"}, nil} {
			p.put("k", "1", tags...)
			for range 2 {
				e, claimed := look("k", tags...), p.read("k", tags...)
				p.check(e.Valid && string(e.Body) == "1" && e.ID == claimed.ID, "%+v, as a claim %+v", e, claimed)
			}
			if tags == nil {
				break
			}
			p.noError(p.store.Invalidate(p.ctx, nil, []string{"a"}))
			e, claimed := look("k", tags...), p.read("k", tags...)
			p.check(!e.Valid && !claimed.Valid && e.ID == claimed.ID, "tag invalidated: %+v, as a claim %+v", e, claimed)
			h := cache.Hold{Token: p.token(), Tags: []string{"a"}, TTL: lease}
			p.noError(p.store.Hold(p.ctx, h))
			p.check(look("k", tags...).State == cache.Held, "tag held")
			p.noError(p.store.Release(p.ctx, h))
			e = look("k", tags...)
			p.check(e.State == cache.Filled && !e.Valid, "tag released: %+v", e)
			p.noError(p.store.Invalidate(p.ctx, []string{"k"}, nil))
			p.check(look("k", tags...).State == cache.Missing, "invalidated")
		}
		h := cache.Hold{Token: p.token(), Keys: []string{"k"}, TTL: lease}
		p.noError(p.store.Hold(p.ctx, h))
		p.check(look("k").State == cache.Held, "held")
		p.noError(p.store.Release(p.ctx, h))
		p.check(look("k").State == cache.Missing, "released")
		token, seq := p.lease("short")
		p.check(p.fill(cache.Fill{Key: "short", Token: token, Seq: seq, Body: []byte("1"), TTL: 50 * time.Millisecond}), "refused")
		p.eventually("the end of a value", func() bool { return look("short").State == cache.Missing })
	}},
}

var pauseCases = []testCase{
	{"after a failed attempt there is a pause", "a source that fails must not be asked once per request, and all should know that", func(p *probe) {
		p.put("k", "old")
		token := p.token()
		p.claim(cache.Claim{Key: "k", Token: token, Mode: cache.ClaimBeside})
		e := p.claim(cache.Claim{Key: "k", Mode: cache.ClaimBeside})
		p.check(!e.Granted && !e.Paused, "an attempt in progress is no pause: %+v", e)
		p.noError(p.store.Abandon(p.ctx, []cache.Lease{{Key: "k", Token: token, Pause: time.Minute}}))
		e = p.claim(cache.Claim{Key: "k", Mode: cache.ClaimBeside})
		p.check(!e.Granted && e.Paused && e.Valid && string(e.Body) == "old", "no pause: %+v", e)
		p.check(!p.fill(cache.Fill{Key: "k", Token: token, Body: []byte("x")}), "an abandoned lease filled")

		p.put("brief", "old")
		p.claim(cache.Claim{Key: "brief", Token: token, Mode: cache.ClaimBeside})
		p.noError(p.store.Abandon(p.ctx, []cache.Lease{{Key: "brief", Token: token, Pause: 50 * time.Millisecond}}))
		token = p.token()
		p.eventually("the pause to end", func() bool {
			e = p.claim(cache.Claim{Key: "brief", Token: token, Mode: cache.ClaimBeside})
			return e.Granted
		})
		p.check(!e.Paused, "granted, yet paused: %+v", e)
		p.check(p.fill(cache.Fill{Key: "brief", Token: token, Seq: e.Seq, Body: []byte("new")}), "refused")
		p.check(string(p.read("brief").Body) == "new", "not stored")
	}},
	{"who awaits a lease beside a value is told of its end", "callers of a value that may not be served without a try wait for the one who tries", func(p *probe) {
		w := p.watch("a")
		for i, end := range []func(cache.Lease){
			func(l cache.Lease) {
				p.check(p.fill(cache.Fill{Key: l.Key, Token: l.Token, Body: []byte("x")}), "refused")
			},
			func(l cache.Lease) { p.noError(p.store.Abandon(p.ctx, []cache.Lease{l})) },
			func(l cache.Lease) {
				l.Pause = time.Minute
				p.noError(p.store.Abandon(p.ctx, []cache.Lease{l}))
			},
		} {
			key, token := "k"+string(rune('0'+i)), p.token()
			p.put(key, "old")
			p.claim(cache.Claim{Key: key, Token: token, Mode: cache.ClaimBeside})
			e := p.claim(cache.Claim{Key: key, Mode: cache.ClaimAwait})
			p.check(!e.Granted && e.State == cache.Filled, "%+v", e)
			end(cache.Lease{Key: key, Token: token})
			p.settle(w, "a", int64(i+1))
			p.check(w.index(cache.Event{Kind: cache.EventFilled, Name: key}) >= 0, "end %d: no EventFilled", i)
		}
		p.finish(w)
	}},
}
