package cachetest

import (
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

// withTools makes a case of a store that has tools; the others need none.
func withTools(run func(p *probe, t cache.Tools)) func(p *probe) {
	return func(p *probe) {
		if t, ok := p.store.(cache.Tools); ok {
			run(p, t)
		}
	}
}

func (p *probe) lock(t cache.Tools, owner string, ttl time.Duration) int64 {
	fence, err := t.Lock(p.ctx, "k", owner, ttl)
	p.noError(err)
	return fence
}

var toolCases = []testCase{
	{"a window is not extended", "a limit that moves with each attempt locks people out for good", withTools(func(p *probe, t cache.Tools) {
		const window = 2 * time.Second
		began := time.Now()
		for want := int64(1); time.Since(began) < window/2; want++ {
			total, left, err := t.Add(p.ctx, "k", 1, window)
			p.noError(err)
			p.check(total == want && left > 0 && left <= window, "%d, %v left; want %d", total, left, want)
			<-time.After(window / 20)
		}
		p.eventually("the end of the window", func() bool {
			total, _, err := t.Add(p.ctx, "k", 0, window)
			p.noError(err)
			return total == 0
		})
	})},
	{"nobody's addition is lost", "counters are for many at a time", withTools(func(p *probe, t cache.Tools) {
		var wg sync.WaitGroup
		errs := make(chan error, 200)
		for range 20 {
			wg.Go(func() {
				for range 10 {
					_, _, err := t.Add(p.ctx, "k", 2, time.Minute)
					errs <- err
				}
			})
		}
		wg.Wait()
		for range 200 {
			p.noError(<-errs)
		}
		total, _, err := t.Add(p.ctx, "k", 0, time.Minute)
		p.noError(err)
		p.check(total == 400, "200 additions of 2 made %d", total)
	})},
	{"a lock has one owner", "else it is none", withTools(func(p *probe, t cache.Tools) {
		a, b := p.token(), p.token()
		first := p.lock(t, a, time.Minute)
		p.check(first > 0 && p.lock(t, b, time.Minute) == 0, "two have the lock")
		p.check(p.lock(t, a, time.Minute) == first, "an extension has another fence")
		p.noError(t.Unlock(p.ctx, "k", b))
		p.check(p.lock(t, b, time.Minute) == 0, "given back by somebody who did not have it")
		p.noError(t.Unlock(p.ctx, "k", a))
		p.check(p.lock(t, b, time.Minute) > first, "the next owner's fence is not higher")
	})},
	{"fences grow", "the resource refuses late owners by them", withTools(func(p *probe, t cache.Tools) {
		last := int64(0)
		for range 50 {
			owner := p.token()
			fence := p.lock(t, owner, time.Minute)
			p.check(fence > last, "%d after %d", fence, last)
			last = fence
			p.noError(t.Unlock(p.ctx, "k", owner))
		}
	})},
	{"a lock ends by itself", "its owner may have died", withTools(func(p *probe, t cache.Tools) {
		a, b := p.token(), p.token()
		first := p.lock(t, a, 100*time.Millisecond)
		var second int64
		p.eventually("the lock of an owner who is gone", func() bool { second = p.lock(t, b, time.Minute); return second != 0 })
		p.check(second > first, "the fence of the next owner is %d after %d", second, first)
		p.check(p.lock(t, a, time.Minute) == 0, "the late owner extended what is another's")
	})},
	{"values live for their time", "a value that stays or goes early is wrong", withTools(func(p *probe, t cache.Tools) {
		_, ok, err := t.Get(p.ctx, "k")
		p.noError(err)
		p.check(!ok, "a value that nobody set")
		for _, v := range []string{"1", "", "2"} {
			p.noError(t.Set(p.ctx, "k", []byte(v), time.Minute))
			got, ok, err := t.Get(p.ctx, "k")
			p.noError(err)
			p.check(ok && string(got) == v, "got %q for %q", got, v)
		}
		p.noError(t.Set(p.ctx, "k", []byte("3"), 50*time.Millisecond))
		p.eventually("the end of a value", func() bool { _, ok, err := t.Get(p.ctx, "k"); p.noError(err); return !ok })
	})},
	{"tools and cache share no keys", "an invalidation must not open a lock", withTools(func(p *probe, t cache.Tools) {
		owner := p.token()
		_, _, err := t.Add(p.ctx, "k", 7, time.Minute)
		p.noError(err)
		p.noError(t.Set(p.ctx, "k", []byte("v"), time.Minute))
		fence := p.lock(t, owner, time.Minute)
		p.put("k", "cached")
		p.noError(p.store.Invalidate(p.ctx, []string{"k"}, []string{"k", "*"}))
		total, _, err := t.Add(p.ctx, "k", 0, time.Minute)
		p.noError(err)
		got, ok, err := t.Get(p.ctx, "k")
		p.noError(err)
		p.check(total == 7 && ok && string(got) == "v" && p.lock(t, owner, time.Minute) == fence, "%d, %q, %v", total, got, ok)
	})},
}
