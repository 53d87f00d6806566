package cachetest

import (
	"context"

	"github.com/ashlar-go/ashlar/cache"
)

// unitCases are commitCases for tags that loads name. In all of them here is the process that
// writes and there one that reads.
var unitCases = []testCase{
	{"with a hold of a load's tag nobody reads what is older than the commit", "a right that was taken away must not be used once more", func(p *probe) {
		w := p.writing()
		o := &origin{tags: byKey}
		read := func() int64 { return p.fetchWith(w.there, "k", o) }
		hold := func(ctx context.Context) error { return w.hub.Hold(ctx, cache.Tag("key:k")) }
		w.beforeCommit = func() {
			p.check(read() == 0 && read() == 0, "before the commit")
			p.check(p.peek(w.there, "k") == none, "Peek finds what is held")
		}
		read()
		strict := int64(none)
		p.noError(Hooks{}.Do(p.ctx, hold, func() { w.beforeCommit(); o.v.Store(1); strict = read() }))
		p.check(strict == 1, "read %d after the commit", strict)
		loads := o.loads.Load()
		p.check(read() == 1 && p.fetchWith(w.here, "k", o) == 1, "after the release")
		p.check(o.loads.Load() == loads+1, "after the release it is cached again: %d loads", o.loads.Load()-loads)
	}},
	{"a unit reads its own changes of what carries a load's tag", "uncommitted data in the cache is what never was", func(p *probe) {
		w := p.writing()
		o := &origin{tags: byKey}
		uncommitted := &origin{tags: byKey}
		uncommitted.v.Store(7)
		p.fetchWith(w.here, "k", o)
		p.fetchWith(w.here, "far", o)
		p.noError(Hooks{}.Do(p.ctx, func(ctx context.Context) error {
			p.noError(w.hub.OnCommit(ctx, cache.Tag("letter:k"), cache.Tag("letter:n")))
			for _, key := range []string{"k", "k", "new", "new"} {
				v, err := w.here.FetchWith(ctx, key, uncommitted.load)
				p.noError(err)
				p.check(v == 7, "the unit does not see its own change of %s, but %d", key, v)
				p.check(p.peek(w.there, key) != 7 && p.peek(w.here, key) != 7, "others see %s before the commit", key)
			}
			p.check(p.fetchWith(w.here, "k", o) == 0 && p.fetchWith(w.there, "k", o) == 0, "others see it before the commit")
			loads := uncommitted.loads.Load()
			v, err := w.here.FetchWith(ctx, "far", uncommitted.load)
			p.noError(err)
			p.check(v == 0 && uncommitted.loads.Load() == loads, "what the unit has not changed is not read from the cache")
			return nil
		}, func() { o.v.Store(7) }))
		p.check(p.fetchWith(w.here, "k", o) == 7 && p.fetchWith(w.there, "k", o) == 7, "not invalidated")
	}},
}
