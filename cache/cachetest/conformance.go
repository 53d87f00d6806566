package cachetest

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

// Features says how the suite has to treat a store. The zero value is a store on a real
// server with full support.
type Features struct {
	// Virtual runs each case in a testing/synctest bubble, for stores without I/O.
	Virtual bool
}

// Run checks that stores obey the contract of [cache.Store], alone and below several hubs.
// open returns an empty store that shares nothing with earlier ones; it is called once per
// case.
func Run(t *testing.T, open func(t *testing.T) cache.Store, f Features) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			body := func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				c.run(&probe{ctx: ctx, store: open(t), fail: func(format string, args ...any) {
					t.Helper()
					t.Fatalf("%s\nwhy it matters: %s", fmt.Sprintf(format, args...), c.why)
				}})
			}
			if f.Virtual {
				synctest.Test(t, body)
				return
			}
			body(t)
		})
	}
}

// testCase is one rule of the contract and what goes wrong without it.
type testCase struct {
	name, why string
	run       func(p *probe)
}

func cases() []testCase {
	var all []testCase
	all = append(all, leaseCases...)
	all = append(all, besideCases...)
	all = append(all, tagCases...)
	all = append(all, ownCases...)
	all = append(all, withCases...)
	all = append(all, unitCases...)
	all = append(all, walkCases...)
	all = append(all, watchCases...)
	all = append(all, pauseCases...)
	all = append(all, holdCases...)
	all = append(all, putCases...)
	all = append(all, peekCases...)
	all = append(all, commitCases...)
	all = append(all, toolCases...)
	return append(all, hubCases...)
}

// probe is what a case works with; fail ends the case and does not return.
type probe struct {
	ctx    context.Context
	store  cache.Store
	fail   func(format string, args ...any)
	tokens int
}

const lease = 2 * time.Second // long, compared with any case that does not wait for its end

func (p *probe) token() string {
	p.tokens++
	return fmt.Sprintf("token%011d", p.tokens)
}

func (p *probe) check(ok bool, format string, args ...any) {
	if !ok {
		p.fail(format, args...)
	}
}

func (p *probe) noError(err error) {
	if err != nil {
		p.fail("unexpected error: %v", err)
	}
}

func (p *probe) claim(c cache.Claim) cache.Entry {
	if c.Token == "" {
		c.Token = p.token()
	}
	if c.TTL == 0 {
		c.TTL = lease
	}
	entries, err := p.store.Acquire(p.ctx, []cache.Claim{c})
	p.noError(err)
	p.check(len(entries) == 1, "Acquire returned %d entries for 1 claim", len(entries))
	return entries[0]
}

// lease takes the lease of a missing entry and returns its token and Seq.
func (p *probe) lease(key string, tags ...string) (string, int64) {
	token := p.token()
	e := p.claim(cache.Claim{Key: key, Tags: tags, Token: token})
	p.check(e.Granted && e.State == cache.Leased, "no lease for a missing entry: %+v", e)
	return token, e.Seq
}

func (p *probe) fill(f cache.Fill) bool {
	if f.TTL == 0 {
		f.TTL = time.Minute
	}
	done, err := p.store.Fill(p.ctx, []cache.Fill{f})
	p.noError(err)
	p.check(len(done) == 1, "Fill returned %d results for 1 fill", len(done))
	return done[0]
}

// put stores a value the regular way.
func (p *probe) put(key, body string, tags ...string) {
	token, seq := p.lease(key, tags...)
	p.check(p.fill(cache.Fill{Key: key, Tags: tags, Token: token, Seq: seq, Body: []byte(body)}),
		"Fill refused the holder of the lease of %q", key)
}

// read claims key and expects a value.
func (p *probe) read(key string, tags ...string) cache.Entry {
	e := p.claim(cache.Claim{Key: key, Tags: tags})
	p.check(e.State == cache.Filled && !e.Granted, "%q should have a value: %+v", key, e)
	return e
}

func (p *probe) missing(key string) {
	e := p.claim(cache.Claim{Key: key, TTL: time.Millisecond})
	p.check(e.State == cache.Leased && e.Granted, "%q should be missing: %+v", key, e)
}

// eventually waits for what only the passing of time brings.
func (p *probe) eventually(what string, ok func() bool) {
	for !ok() {
		select {
		case <-p.ctx.Done():
			p.fail("waited in vain for: %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
