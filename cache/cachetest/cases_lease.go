package cachetest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

var leaseCases = []testCase{
	{"one claim of many gets the lease", "two holders are two loads of the same key", func(p *probe) {
		first := p.token()
		e := p.claim(cache.Claim{Key: "k", Token: first})
		p.check(e.Granted && e.State == cache.Leased, "no lease for a missing entry: %+v", e)
		e = p.claim(cache.Claim{Key: "k"})
		p.check(!e.Granted && e.State == cache.Leased, "a second lease: %+v", e)
		e = p.claim(cache.Claim{Key: "k", Token: first})
		p.check(e.Granted, "clients repeat calls whose answer was lost; the holder must recognize its lease: %+v", e)
	}},
	{"a filled value is read back", "the store keeps any bytes and says how long", func(p *probe) {
		body := []byte("\x00\xff\r\n{}:" + string(bytes.Repeat([]byte{'x'}, 100_000)))
		token, seq := p.lease("bin\x00:{key}\xff")
		p.check(p.fill(cache.Fill{Key: "bin\x00:{key}\xff", Token: token, Seq: seq, Body: body, TTL: time.Minute}), "fill refused")
		e := p.read("bin\x00:{key}\xff")
		p.check(e.Valid && bytes.Equal(e.Body, body), "another value came back: %d bytes, valid %v", len(e.Body), e.Valid)
		p.check(e.Left > 30*time.Second && e.Left <= time.Minute, "Left is %v of 1m", e.Left)
		p.put("empty", "")
		e = p.read("empty")
		p.check(e.Valid && len(e.Body) == 0, "an empty value came back as %q", e.Body)
	}},
	{"fill needs the lease", "a load that nobody waits for any more must not overwrite", func(p *probe) {
		p.lease("k")
		p.check(!p.fill(cache.Fill{Key: "k", Token: p.token(), Body: []byte("x")}), "a stranger filled a leased entry")
		p.check(!p.fill(cache.Fill{Key: "other", Token: p.token(), Body: []byte("x")}), "filled without any lease")
		p.missing("other")
		p.put("full", "1")
		p.check(!p.fill(cache.Fill{Key: "full", Token: p.token(), Body: []byte("2")}), "a stranger overwrote a value")
		p.check(string(p.read("full").Body) == "1", "the refused value was stored")
	}},
	{"fill may be repeated", "the answer of the first can be lost", func(p *probe) {
		token, seq := p.lease("k")
		f := cache.Fill{Key: "k", Token: token, Seq: seq, Body: []byte("x")}
		p.check(p.fill(f), "the holder was refused")
		p.check(p.fill(f), "the repetition of a fill was refused")
	}},
	{"invalidation voids the lease", "a load that began before would store what it read before", func(p *probe) {
		token, seq := p.lease("k")
		p.noError(p.store.Invalidate(p.ctx, []string{"k"}, nil))
		p.check(!p.fill(cache.Fill{Key: "k", Token: token, Seq: seq, Body: []byte("old")}), "a voided lease filled")
		p.missing("k")
	}},
	{"an old token stays void", "the load of before the invalidation ends while a new one runs (ABA)", func(p *probe) {
		old, seq := p.lease("k")
		p.noError(p.store.Invalidate(p.ctx, []string{"k"}, nil))
		fresh, seq2 := p.lease("k")
		p.check(!p.fill(cache.Fill{Key: "k", Token: old, Seq: seq, Body: []byte("old")}), "the old token filled")
		p.check(p.fill(cache.Fill{Key: "k", Token: fresh, Seq: seq2, Body: []byte("new")}), "the new token was refused")
		p.check(!p.fill(cache.Fill{Key: "k", Token: old, Seq: seq, Body: []byte("old")}), "the old token overwrote")
		p.check(string(p.read("k").Body) == "new", "the old value is served")
	}},
	{"invalidation removes the value", "that is what it is for", func(p *probe) {
		p.put("a", "1")
		p.put("b", "2")
		p.put("c", "3")
		p.noError(p.store.Invalidate(p.ctx, []string{"a", "b", "unknown"}, nil))
		p.missing("a")
		p.missing("b")
		p.check(string(p.read("c").Body) == "3", "another key went too")
	}},
	{"a lease runs out", "a process that died while loading must not block the others for ever", func(p *probe) {
		token := p.token()
		p.check(p.claim(cache.Claim{Key: "k", Token: token, TTL: 20 * time.Millisecond}).Granted, "no lease")
		p.eventually("the lease to run out", func() bool { return p.claim(cache.Claim{Key: "k"}).Granted })
		p.check(!p.fill(cache.Fill{Key: "k", Token: token, Body: []byte("late")}), "a lease that ran out filled")
	}},
	{"a renewed lease lives on", "loads may be slower than the lease is long", func(p *probe) {
		token, _ := p.lease("k")
		p.noError(p.store.Renew(p.ctx, []cache.Lease{{Key: "k", Token: token}}, time.Minute))
		e := p.claim(cache.Claim{Key: "k"})
		p.check(!e.Granted && e.Left > 30*time.Second, "the lease was not extended to a minute: %+v", e)
		p.check(p.fill(cache.Fill{Key: "k", Token: token, Seq: e.Seq, Body: []byte("x")}), "a renewed lease was refused")
	}},
	{"renew does not revive", "a lease that was voided or belongs to another must stay so", func(p *probe) {
		token, _ := p.lease("k")
		p.noError(p.store.Invalidate(p.ctx, []string{"k"}, nil))
		p.noError(p.store.Renew(p.ctx, []cache.Lease{{Key: "k", Token: token}}, time.Minute))
		p.lease("k")
		p.noError(p.store.Renew(p.ctx, []cache.Lease{{Key: "k", Token: token}}, time.Hour))
		p.check(p.claim(cache.Claim{Key: "k"}).Left <= lease, "a stranger extended the lease")
		p.put("v", "1")
		p.noError(p.store.Renew(p.ctx, []cache.Lease{{Key: "v", Token: token}}, time.Hour))
		p.check(p.read("v").Left <= time.Minute, "a renewal extended a value")
	}},
	{"an abandoned lease is free", "after a failed load the next caller should try at once", func(p *probe) {
		token, _ := p.lease("k")
		p.noError(p.store.Abandon(p.ctx, []cache.Lease{{Key: "k", Token: p.token()}}))
		p.check(!p.claim(cache.Claim{Key: "k"}).Granted, "a stranger abandoned the lease")
		p.noError(p.store.Abandon(p.ctx, []cache.Lease{{Key: "k", Token: token}}))
		p.missing("k")
		p.put("v", "1")
		p.noError(p.store.Abandon(p.ctx, []cache.Lease{{Key: "v", Token: token}}))
		p.check(string(p.read("v").Body) == "1", "abandoning took a value away")
	}},
	{"values end", "TTL is a promise", func(p *probe) {
		token, seq := p.lease("k")
		p.check(p.fill(cache.Fill{Key: "k", Token: token, Seq: seq, Body: []byte("x"), TTL: 20 * time.Millisecond}), "refused")
		p.eventually("the value to end", func() bool { return p.claim(cache.Claim{Key: "k", TTL: time.Second}).Granted })
	}},
	{"batches keep their order", "results are matched by position", func(p *probe) {
		const n = 300
		var claims []cache.Claim
		for i := range n {
			key := fmt.Sprintf("k%d", i)
			if i%2 == 1 {
				p.put(key, key)
			}
			claims = append(claims, cache.Claim{Key: key, Tags: []string{"t"}, Token: p.token(), TTL: lease})
		}
		entries, err := p.store.Acquire(p.ctx, claims)
		p.noError(err)
		var fills []cache.Fill
		for i, e := range entries {
			p.check(e.Granted == (i%2 == 0), "entry %d: granted is %v", i, e.Granted)
			p.check(e.Granted || string(e.Body) == claims[i].Key, "entry %d is %q", i, e.Body)
			fills = append(fills, cache.Fill{Key: claims[i].Key, Token: claims[i].Token, Seq: e.Seq, Body: []byte("new"), TTL: time.Minute})
		}
		done, err := p.store.Fill(p.ctx, fills)
		p.noError(err)
		for i := range done {
			p.check(done[i] == (i%2 == 0), "fill %d: %v", i, done[i])
		}
		none, err := p.store.Acquire(p.ctx, nil)
		p.check(err == nil && len(none) == 0, "an empty batch is no error: %v", err)
		p.noError(p.store.Invalidate(p.ctx, nil, nil))
	}},
}

var besideCases = []testCase{
	{"one lease beside a value", "a stale value is refreshed once and served meanwhile", func(p *probe) {
		p.put("k", "old")
		token := p.token()
		e := p.claim(cache.Claim{Key: "k", Token: token, Mode: cache.ClaimBeside})
		p.check(e.Granted && e.State == cache.Filled && string(e.Body) == "old", "no lease beside the value: %+v", e)
		p.check(!p.claim(cache.Claim{Key: "k", Mode: cache.ClaimBeside}).Granted, "two leases beside one value")
		p.check(p.read("k").Valid, "the value is gone")
		p.check(p.fill(cache.Fill{Key: "k", Token: token, Seq: e.Seq, Body: []byte("new")}), "the refresh was refused")
		p.check(string(p.read("k").Body) == "new", "the refresh was not stored")
		p.check(p.claim(cache.Claim{Key: "k", Mode: cache.ClaimBeside}).Granted, "no second refresh after the first")
	}},
	{"a lease beside a value runs out", "a dead refresher must not stop refreshing for ever", func(p *probe) {
		p.put("k", "old")
		p.check(p.claim(cache.Claim{Key: "k", Mode: cache.ClaimBeside, TTL: 20 * time.Millisecond}).Granted, "no lease")
		p.eventually("the lease to run out", func() bool {
			return p.claim(cache.Claim{Key: "k", Mode: cache.ClaimBeside}).Granted
		})
	}},
	{"renew and abandon beside a value", "both concern the lease and leave the value", func(p *probe) {
		p.put("k", "old")
		token := p.token()
		p.claim(cache.Claim{Key: "k", Token: token, Mode: cache.ClaimBeside, TTL: 20 * time.Millisecond})
		p.noError(p.store.Renew(p.ctx, []cache.Lease{{Key: "k", Token: token}}, time.Minute))
		begin := time.Now()
		p.eventually("30 ms to pass", func() bool { return time.Since(begin) > 30*time.Millisecond })
		p.check(!p.claim(cache.Claim{Key: "k", Mode: cache.ClaimBeside}).Granted, "the renewed lease ran out")
		p.noError(p.store.Abandon(p.ctx, []cache.Lease{{Key: "k", Token: token}}))
		p.check(p.read("k").Valid, "the value went with the lease")
		p.check(!p.fill(cache.Fill{Key: "k", Token: token, Body: []byte("x")}), "an abandoned lease filled")
		p.check(p.claim(cache.Claim{Key: "k", Mode: cache.ClaimBeside}).Granted, "the abandoned lease is not free")
	}},
	{"invalidation voids a lease beside a value", "the refresh read what is now out of date", func(p *probe) {
		p.put("k", "old")
		token := p.token()
		e := p.claim(cache.Claim{Key: "k", Token: token, Mode: cache.ClaimBeside})
		p.noError(p.store.Invalidate(p.ctx, []string{"k"}, nil))
		p.check(!p.fill(cache.Fill{Key: "k", Token: token, Seq: e.Seq, Body: []byte("old")}), "a voided refresh filled")
		p.missing("k")
	}},
	{"replace takes exactly what was seen", "of all who find a value unusable one loads, and a good value is not lost", func(p *probe) {
		p.put("k", "bad")
		seen := p.read("k").ID
		token := p.token()
		e := p.claim(cache.Claim{Key: "k", Token: token, Mode: cache.ClaimReplace, Seen: seen})
		p.check(e.Granted && e.State == cache.Leased, "what was seen was not replaced: %+v", e)
		e = p.claim(cache.Claim{Key: "k", Mode: cache.ClaimReplace, Seen: seen})
		p.check(!e.Granted && e.State == cache.Leased, "replaced twice: %+v", e)
		p.check(p.fill(cache.Fill{Key: "k", Token: token, Seq: e.Seq, Body: []byte("good")}), "refused")
		e = p.claim(cache.Claim{Key: "k", Mode: cache.ClaimReplace, Seen: seen})
		p.check(!e.Granted && string(e.Body) == "good", "the new value was replaced: %+v", e)
	}},
	{"all modes lease what is missing", "the value can go between two calls", func(p *probe) {
		for i, m := range []cache.Mode{cache.ClaimMissing, cache.ClaimBeside, cache.ClaimReplace, cache.ClaimAwait} {
			e := p.claim(cache.Claim{Key: fmt.Sprint("k", i), Mode: m, Seen: "x"})
			p.check(e.Granted && e.State == cache.Leased, "mode %d: %+v", m, e)
		}
	}},
}
