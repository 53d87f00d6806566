package cachetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

// watched collects the events of a Watch.
type watched struct {
	mu     sync.Mutex
	events []cache.Event
	ended  chan error
	stop   context.CancelFunc
}

func (p *probe) watch(node string) *watched {
	ctx, cancel := context.WithCancel(p.ctx)
	w := &watched{ended: make(chan error, 1), stop: cancel}
	go func() {
		w.ended <- p.store.Watch(ctx, node, func(e cache.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		})
	}()
	p.eventually("EventReady", func() bool { return w.index(cache.Event{Kind: cache.EventReady}) >= 0 })
	return w
}

// index returns the position of the first e, or -1.
func (w *watched) index(e cache.Event) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.events {
		if w.events[i] == e {
			return i
		}
	}
	return -1
}

func (w *watched) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.events)
}

// settle sends a beat and waits for it, so that everything before it has arrived.
func (p *probe) settle(w *watched, node string, n int64) {
	p.noError(p.store.Beat(p.ctx, node, n))
	p.eventually("the beat to come back", func() bool { return w.index(cache.Event{Kind: cache.EventBeat, N: n}) >= 0 })
}

func (p *probe) finish(ws ...*watched) {
	for _, w := range ws {
		w.stop()
		p.noError(<-w.ended)
	}
}

var watchCases = []testCase{
	{"watchers hear of invalidations, in order", "memory of other processes follows these; a beat proves that all before it arrived", func(p *probe) {
		a, b := p.watch("a"), p.watch("b")
		odd := "odd\x00 {key}:\n\xff" + strings.Repeat("k", 300)
		p.noError(p.store.Invalidate(p.ctx, []string{odd, "k2"}, []string{"tag\x00 1"}))
		p.settle(a, "a", 7)
		p.settle(b, "b", 9)
		for _, w := range []*watched{a, b} {
			for _, e := range []cache.Event{
				{Kind: cache.EventInvalidated, Name: odd},
				{Kind: cache.EventInvalidated, Name: "k2"},
				{Kind: cache.EventStamped, Name: "tag\x00 1"},
			} {
				p.check(w.index(e) > 0, "no event %+v before the beat: %+v", e, w.events)
			}
		}
		p.check(a.index(cache.Event{Kind: cache.EventBeat, N: 9}) < 0, "the beat of another node arrived")
		p.check(a.index(cache.Event{Kind: cache.EventReady}) == 0, "EventReady is not the first")
		p.finish(a, b)
	}},
	{"a beat overtakes nothing", "memory is trusted on its word", func(p *probe) {
		w := p.watch("a")
		for i := int64(1); i <= 100; i++ {
			key := strings.Repeat("x", int(i))
			p.noError(p.store.Invalidate(p.ctx, []string{key}, nil))
			p.noError(p.store.Beat(p.ctx, "a", i))
		}
		p.settle(w, "a", 101)
		for i := int64(1); i <= 100; i++ {
			inv := w.index(cache.Event{Kind: cache.EventInvalidated, Name: strings.Repeat("x", int(i))})
			beat := w.index(cache.Event{Kind: cache.EventBeat, N: i})
			p.check(inv >= 0 && inv < beat, "invalidation %d at %d, its beat at %d", i, inv, beat)
		}
		p.finish(w)
	}},
	{"who awaits a lease is told of its end", "waiting callers get the value when it is there, not at the next poll", func(p *probe) {
		w := p.watch("a")
		for i, end := range []func(cache.Lease){
			func(l cache.Lease) {
				p.check(p.fill(cache.Fill{Key: l.Key, Token: l.Token, Body: []byte("x")}), "refused")
			},
			func(l cache.Lease) { p.noError(p.store.Abandon(p.ctx, []cache.Lease{l})) },
		} {
			quiet, loud := "quiet"+string(rune('0'+i)), "loud"+string(rune('0'+i))
			tq, _ := p.lease(quiet)
			tl, _ := p.lease(loud)
			e := p.claim(cache.Claim{Key: loud, Mode: cache.ClaimAwait})
			p.check(!e.Granted && e.State == cache.Leased, "await took the lease of another: %+v", e)
			end(cache.Lease{Key: quiet, Token: tq})
			end(cache.Lease{Key: loud, Token: tl})
			p.settle(w, "a", int64(i+1))
			p.check(w.index(cache.Event{Kind: cache.EventFilled, Name: loud}) >= 0, "no EventFilled for what is awaited")
			p.check(w.index(cache.Event{Kind: cache.EventFilled, Name: quiet}) < 0, "EventFilled for what nobody awaits")
		}
		p.finish(w)
	}},
	{"watch ends with its context", "a program must be able to stop", func(p *probe) {
		p.finish(p.watch("a"))
		ctx, cancel := context.WithCancel(p.ctx)
		cancel()
		err := p.store.Watch(ctx, "b", func(cache.Event) {})
		p.check(err == nil || errors.Is(err, context.Canceled), "Watch with an ended context: %v", err)
	}},
	{"a late watcher is told nothing old", "events belong to those who watch", func(p *probe) {
		p.noError(p.store.Invalidate(p.ctx, []string{"before"}, nil))
		w := p.watch("a")
		p.settle(w, "a", int64(time.Second))
		p.check(w.index(cache.Event{Kind: cache.EventInvalidated, Name: "before"}) < 0, "an event from before EventReady")
		p.finish(w)
	}},
}
