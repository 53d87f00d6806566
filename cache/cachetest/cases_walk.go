package cachetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

// walk compares a cache of two processes with a model of it, in one step after the other: data
// whose values name ever other tags, and what must and what may be cached of it.
type walk struct {
	*probe
	rnd    *rand.Rand
	hubs   [2]*cache.Hub
	caches [2]*cache.Cache[string, int64]
	data   map[string]datum
	cached map[string]datum // what must be found without a load
	loads  int              // in this step
	during func()           // of a load, once it has read
	shown  bool             // a load was shown a value, all of which are invalid
}

// datum is what the source has.
type datum struct {
	value int64
	tags  []string
}

const walkKeys, walkTags = 6, 5

func (w *walk) key() string { return fmt.Sprint("k", w.rnd.IntN(walkKeys)) }
func (w *walk) tag() string { return fmt.Sprint("t", w.rnd.IntN(walkTags)) }

// change writes a new value of key, with other tags, and invalidates the old one as some writer
// does: by its key, by one of its tags, by the tag that its readers know or with all others.
func (w *walk) change(key string) {
	d := datum{value: w.data[key].value + 1}
	for range w.rnd.IntN(4) {
		d.tags = append(d.tags, w.tag())
	}
	if w.rnd.IntN(8) == 0 {
		d.tags = append(d.tags, fmt.Sprint("new", w.rnd.Uint64()))
	}
	old, i := w.data[key], w.rnd.IntN(2)
	w.data[key] = d
	target, gone := w.caches[i].Key(key), []string{key}
	switch n := w.rnd.IntN(10); {
	case n < 5 && len(old.tags) > 0:
		tag := old.tags[w.rnd.IntN(len(old.tags))]
		target, gone = cache.Tag(tag), w.naming(tag)
	case n == 5:
		target = cache.Tag("reader:" + key)
	case n == 6:
		target, gone = w.caches[i].All(), nil
		for k := range w.cached {
			gone = append(gone, k)
		}
	}
	w.noError(w.hubs[i].Invalidate(w.ctx, target))
	for _, k := range gone {
		delete(w.cached, k)
	}
}

// naming are the keys whose cached values have the tag.
func (w *walk) naming(tag string) (keys []string) {
	for k, c := range w.cached {
		if slices.Contains(c.tags, tag) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (w *walk) load(_ context.Context, key string, prev cache.Loaded[int64]) (cache.Loaded[int64], error) {
	w.loads++
	d := w.data[key]
	if w.during != nil {
		w.during()
	}
	w.shown = w.shown || prev.Validator != ""
	return cache.Loaded[int64]{Value: d.value, Validator: fmt.Sprint(d.value), Tags: d.tags}, nil
}

// read gets a key, or some, and checks that each value is the current one, and that what is
// cached is not loaded.
func (w *walk) read() {
	key, i := w.key(), w.rnd.IntN(2)
	before := w.data[key].value
	had, certain := w.cached[key]
	switch w.rnd.IntN(10) {
	case 0:
		v, ok, err := w.caches[i].Peek(w.ctx, key)
		w.noError(err)
		w.check(!ok || v == before, "Peek of %s: %d, want %d", key, v, before)
		w.check(ok == certain, "Peek of %s finds something: %v", key, ok)
		return
	case 1:
		w.many(i)
		return
	case 2: // somebody invalidates while the value is loaded
		w.during = func() { w.change(key) }
	}
	w.loads = 0
	v, err := w.caches[i].FetchWith(w.ctx, key, w.load)
	w.during = nil
	w.noError(err)
	w.check(v == before, "%s is %d, want %d", key, v, before)
	w.check(!w.shown, "an invalidated value was shown to the load of %s", key)
	if certain {
		w.check(w.loads == 0 && v == had.value, "%s was loaded, though it is there", key)
		return
	}
	w.check(w.loads == 1, "%s was not loaded, though it is nowhere", key)
	if now := w.data[key]; now.value == before {
		w.cached[key] = now
	}
}

func (w *walk) many(i int) {
	keys := []string{"k0", "k1", "k2", "k3"}
	var loaded []string
	values, err := w.caches[i].FetchMany(w.ctx, keys, func(_ context.Context, missing []string) (map[string]int64, error) {
		loaded = append(loaded, missing...)
		return nil, errRolledBack // so that nothing is stored without its tags
	})
	w.check(err == nil || errors.Is(err, errRolledBack), "%v", err)
	for _, k := range loaded {
		_, certain := w.cached[k]
		w.check(!certain, "FetchMany loads %s, which is there", k)
	}
	for k, v := range values {
		w.check(v == w.data[k].value, "FetchMany: %s is %d, want %d", k, v, w.data[k].value)
	}
}

var walkCases = []testCase{
	{"a random walk", "cases are written for what one thinks of", func(p *probe) {
		for seed := range uint64(4) {
			w := &walk{probe: p, rnd: rand.New(rand.NewPCG(seed, 0)), data: map[string]datum{}, cached: map[string]datum{}}
			for i := range w.hubs {
				w.hubs[i] = p.hub()
				w.caches[i] = cache.Define[string, int64](w.hubs[i], fmt.Sprint("walk", seed), &cache.Policy{TTL: time.Hour, Jitter: -1}).
					TagBy(func(key string) []string { return []string{"reader:" + key} })
			}
			for range 250 {
				if w.rnd.IntN(4) == 0 {
					w.change(w.key())
				} else {
					w.read()
				}
			}
		}
	}},
}
