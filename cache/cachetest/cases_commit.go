package cachetest

import (
	"context"
	"errors"
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

var errRolledBack = errors.New("rolled back")

// writing is a process with units of work, and another that only reads.
type writing struct {
	hub          *cache.Hub
	here, there  *cache.Cache[string, int64]
	src          value
	beforeCommit func() // after all hooks, when the commit is on its way
}

func (p *probe) writing() *writing {
	policy := &cache.Policy{TTL: time.Hour}
	tags := func(string) []string { return []string{"tag"} }
	w := &writing{hub: p.hubOn(p.store, cache.Options{Hooks: Hooks{}}), beforeCommit: func() {}}
	w.here = cache.Define[string, int64](w.hub, "c", policy).TagBy(tags)
	w.there = cache.Define[string, int64](p.hub(), "c", policy).TagBy(tags)
	return w
}

// write changes the value in a unit and calls seen between its commit and its hooks.
func (w *writing) write(ctx context.Context, v int64, bind func(context.Context) error, seen func()) error {
	return Hooks{}.Do(ctx, bind, func() {
		w.beforeCommit()
		w.src.v.Store(v)
		seen()
	})
}

var commitCases = []testCase{
	{"on commit, not before and not on rollback", "what is invalidated before the commit is filled again with the old value", func(p *probe) {
		w := p.writing()
		for i, target := range []cache.Target{w.here.Key("k"), w.here.All(), cache.Tag("tag"), cache.Everything()} {
			before, after := int64(i), int64(i+1)
			bind := func(ctx context.Context) error { return w.hub.OnCommit(ctx, target) }
			w.beforeCommit = func() { p.check(p.fetch(w.there, "k", &w.src) == before, "the old value, before the commit") }
			p.noError(w.write(p.ctx, after, bind, func() {}))
			p.check(p.fetch(w.there, "k", &w.src) == after && p.fetch(w.here, "k", &w.src) == after, "target %d: not invalidated after the commit", i)
			loads := w.src.loads.Load()
			err := Hooks{}.Do(p.ctx, func(ctx context.Context) error { p.noError(bind(ctx)); return errRolledBack }, nil)
			p.check(errors.Is(err, errRolledBack), "got %v", err)
			p.check(p.fetch(w.there, "k", &w.src) == after && w.src.loads.Load() == loads, "a rollback invalidated")
		}
	}},
	{"without a unit at once", "a program, or a test of it, may have none", func(p *probe) {
		w := p.writing()
		for i, call := range []func() error{
			func() error { return w.hub.OnCommit(p.ctx, w.here.Key("k")) },
			func() error { return w.hub.Hold(p.ctx, w.here.Key("k")) },
			func() error { return p.hub().OnCommit(p.ctx, w.here.Key("k")) },
		} {
			w.src.v.Store(int64(i))
			p.noError(call())
			p.check(p.fetch(w.there, "k", &w.src) == int64(i), "call %d", i)
		}
	}},
	{"with a hold nobody reads what is older than the commit", "a right that was taken away must not be used once more", func(p *probe) {
		w := p.writing()
		for i, target := range []cache.Target{w.here.Key("k"), w.here.All(), cache.Tag("tag"), cache.Everything()} {
			before, after := int64(2*i), int64(2*i+1)
			w.src.v.Store(before)
			p.noError(w.hub.Invalidate(p.ctx, target))
			p.fetch(w.there, "k", &w.src)
			w.beforeCommit = func() { p.check(p.fetch(w.there, "k", &w.src) == before, "before the commit") }
			plain := int64(-1)
			p.noError(w.write(p.ctx, after, func(ctx context.Context) error { return w.hub.OnCommit(ctx, target) },
				func() { plain = p.fetch(w.there, "k", &w.src) }))
			p.check(plain == before, "without a hold the old value must be readable, or this case proves nothing")

			before, after = after, after+1
			p.fetch(w.there, "k", &w.src)
			strict := int64(-1)
			p.noError(w.write(p.ctx, after, func(ctx context.Context) error { return w.hub.Hold(ctx, target) },
				func() { strict = p.fetch(w.there, "k", &w.src) }))
			p.check(strict == after, "target %d: read %d after the commit of %d", i, strict, after)
			loads := w.src.loads.Load()
			p.check(p.fetch(w.there, "k", &w.src) == after && p.fetch(w.here, "k", &w.src) == after, "after the release")
			p.check(w.src.loads.Load() == loads+1, "after the release it is cached again: %d loads", w.src.loads.Load()-loads)
		}
	}},
	{"a hold ends with a rollback", "else the cache is off for its whole length", func(p *probe) {
		w := p.writing()
		p.fetch(w.there, "k", &w.src)
		err := Hooks{}.Do(p.ctx, func(ctx context.Context) error {
			p.noError(w.hub.Hold(ctx, w.here.Key("k")))
			Hooks{}.BeforeCommit(ctx, func(context.Context) error { return errRolledBack })
			return nil
		}, nil)
		p.check(errors.Is(err, errRolledBack), "got %v", err)
		p.fetch(w.there, "k", &w.src)
		loads := w.src.loads.Load()
		p.fetch(w.there, "k", &w.src)
		p.check(w.src.loads.Load() == loads, "the hold stayed")
	}},
	{"a unit reads its own changes and keeps them to itself", "uncommitted data in the cache is what never was", func(p *probe) {
		w := p.writing()
		p.check(p.fetch(w.here, "k", &w.src) == 0, "")
		p.noError(Hooks{}.Do(p.ctx, func(ctx context.Context) error {
			for _, target := range []cache.Target{w.here.Key("k"), cache.Tag("tag")} {
				p.noError(w.hub.OnCommit(ctx, target))
				v, err := w.here.Fetch(ctx, "k", func(context.Context, string) (int64, error) { return 7, nil })
				p.noError(err)
				p.check(v == 7, "the unit does not see its own change, but %d", v)
			}
			v, err := w.here.Fetch(ctx, "new", func(context.Context, string) (int64, error) { return 7, nil })
			p.noError(err)
			p.check(v == 7, "%d", v)
			p.check(p.fetch(w.here, "k", &w.src) == 0 && p.fetch(w.there, "k", &w.src) == 0, "others see it before the commit")
			p.check(p.fetch(w.here, "new", &w.src) == 0 && p.fetch(w.there, "new", &w.src) == 0, "what carries the tag was stored")
			return nil
		}, func() { w.src.v.Store(7) }))
		p.check(p.fetch(w.here, "k", &w.src) == 7 && p.fetch(w.there, "new", &w.src) == 7, "not invalidated")
		loads := w.src.loads.Load()
		p.noError(Hooks{}.Do(p.ctx, func(ctx context.Context) error {
			_, err := w.here.Fetch(ctx, "k", w.src.load)
			return err
		}, func() {}))
		p.check(w.src.loads.Load() == loads, "a unit that changed nothing does not read from the cache")
	}},
}
