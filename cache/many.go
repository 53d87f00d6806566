package cache

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// FetchMany returns the values of keys as Fetch would, with one load for all that are missing:
// one round trip to the store if none is, two if some are, and one more for entries that a tag
// has invalidated, or that have tags of their own (Loaded.Tags). Keys that load leaves out of
// its map do not exist; they are not in the result either, and their absence is kept as that of
// Fetch. Of keys that others are loading it waits for the values, after it loaded its own; load
// may so be called again, for one key at a time, if the others fail. On an error the map has the
// values that needed no load. Policy.SoftTimeout does not apply. To warm a cache call it and
// drop the map.
func (c *Cache[K, V]) FetchMany(ctx context.Context, keys []K, load func(ctx context.Context, missing []K) (map[K]V, error)) (map[K]V, error) {
	tenant, err := c.hub.tenantOf(ctx)
	if err != nil {
		return nil, err
	}
	values := make(map[K]V, len(keys))
	seen := make(map[K]bool, len(keys))
	var wanted []K
	var specs []*spec
	for _, k := range keys {
		if seen[k] {
			continue
		}
		seen[k] = true
		id := localKey[K]{tenant, k}
		if it := c.inMemory(ctx, &id); it != nil && !c.hub.dirty.any() {
			if !it.notFound {
				values[k] = it.value
			}
			continue
		}
		sp, err := c.spec(id)
		if err != nil {
			return nil, err
		}
		wanted, specs = append(wanted, k), append(specs, &sp)
	}
	if len(wanted) == 0 {
		return values, nil
	}
	results, err := detach(ctx, c.space, func(ctx context.Context) []result[V] {
		b := batch[V]{space: c.space, specs: specs, results: make([]result[V], len(specs)), load: func(ctx context.Context, which []int) (func(int) (V, bool), error) {
			missing := make([]K, len(which))
			for n, i := range which {
				missing[n] = wanted[i]
			}
			m, err := load(ctx, missing)
			return func(i int) (V, bool) { v, ok := m[wanted[i]]; return v, ok }, err
		}}
		b.run(ctx)
		return b.results
	})
	for i, r := range results {
		switch v, failed := r.get(); {
		case failed == nil:
			values[wanted[i]] = v
		case err == nil && !isNotFound(failed):
			err = failed
		}
	}
	return values, err
}

// batch is a FetchMany in progress; results has the order of specs.
type batch[V any] struct {
	*space[V]
	specs   []*spec
	results []result[V]
	load    func(ctx context.Context, which []int) (values func(i int) (V, bool), err error)

	granted []int
	grants  []grant
	alone   []int // without the store
	later   []int // each by itself, once the own ones are loaded
}

func (b *batch[V]) run(ctx context.Context) {
	var ask []int
	up := b.breaker.allow()
	for i, sp := range b.specs {
		switch {
		case !up, b.pending.blocks(sp.key, sp.tags), b.dirty.any() && b.private(ctx, sp):
			b.alone = append(b.alone, i)
		default:
			ask = append(ask, i)
		}
	}
	outdated, seen := b.claimAll(ctx, ask, ClaimMissing, nil)
	more, _ := b.claimAll(ctx, outdated, ClaimReplace, seen)
	b.later = append(b.later, more...)
	b.loadGranted(ctx)
	b.loadAlone(ctx)
	b.fetchLater(ctx)
}

// claimAll reads entries in one round trip, and returns those that are there and of no use.
func (b *batch[V]) claimAll(ctx context.Context, which []int, mode Mode, seen []string) (outdated []int, ids []string) {
	if len(which) == 0 {
		return nil, nil
	}
	claims, marks := make([]Claim, len(which)), make([]mark, len(which))
	for n, i := range which {
		marks[n] = b.mark(b.specs[i])
		claims[n] = b.claimOf(b.specs[i], mode)
		if seen != nil {
			claims[n].Seen = seen[n]
		}
	}
	proof := b.coherence.ticks.Add(1)
	entries, err := b.store.Acquire(b.storeContext(ctx), claims)
	b.outcome(ctx, "acquire", err)
	if err != nil {
		b.alone = append(b.alone, which...)
		return nil, nil
	}
	reads := b.readAll(ctx, which, entries, marks)
	for n, i := range which {
		sp, e, f := b.specs[i], &entries[n], &reads[n]
		switch {
		case f.served(sp):
			var due bool
			if b.results[i], due = b.serve(ctx, sp, f, proof); due {
				b.refresh(ctx, sp, b.one(i))
			}
		case e.Granted:
			b.granted = append(b.granted, i)
			b.grants = append(b.grants, grant{entry: *e, lease: Lease{Key: sp.key, Token: claims[n].Token}, mark: marks[n]})
		case e.State == Filled && !f.ok:
			outdated, ids = append(outdated, i), append(ids, e.ID)
		case e.State == Held, e.State == Missing:
			b.alone = append(b.alone, i)
		default:
			b.later = append(b.later, i)
		}
	}
	return outdated, ids
}

// readAll is read for each entry, with one second look for all of them.
func (b *batch[V]) readAll(ctx context.Context, which []int, entries []Entry, marks []mark) []found[V] {
	reads, bodies := make([]found[V], len(which)), make([]body, len(which))
	var claims []Claim
	var asked []int // in reads
	for n, i := range which {
		e, f := &entries[n], &reads[n]
		if *f, bodies[n] = b.open(b.specs[i], e, marks[n]); len(f.own) > 0 && !b.blocked(ctx, e, f) {
			claims, asked = append(claims, f.question(e)), append(asked, n)
		}
	}
	if len(claims) > 0 {
		answers, err := b.store.Acquire(b.storeContext(ctx), claims)
		b.outcome(ctx, "acquire", err)
		for a, n := range asked {
			if err != nil {
				reads[n].refuse(&entries[n], Missing)
			} else {
				reads[n].judge(&entries[n], &answers[a])
			}
		}
	}
	for n := range reads {
		b.decode(ctx, &reads[n], &bodies[n])
	}
	return reads
}

// one is the load of a single key.
func (b *batch[V]) one(i int) loader[V] {
	return func(ctx context.Context, _ *found[V]) (l Loaded[V], err error) {
		values, err := b.load(ctx, []int{i})
		if err != nil {
			return l, err
		}
		v, ok := values(i)
		if !ok {
			return l, ErrNotFound
		}
		return Loaded[V]{Value: v}, nil
	}
}

// took puts what one load came to into the results.
func (b *batch[V]) took(which []int, values func(int) (V, bool), err error, status string) {
	for _, i := range which {
		r := result[V]{err: err, stored: time.Now(), status: status}
		if err == nil {
			var ok bool
			if r.value, ok = values(i); !ok {
				r.err = ErrNotFound
			}
		}
		b.results[i] = r
	}
}

// loadGranted loads under the batch's leases and stores what came in one round trip.
func (b *batch[V]) loadGranted(ctx context.Context) {
	if len(b.granted) == 0 {
		return
	}
	leases := make([]Lease, len(b.grants))
	for n := range b.grants {
		leases[n] = b.grants[n].lease
		b.count(ctx, misses)
	}
	since := b.now()
	var values func(int) (V, bool)
	err := b.callLeased(ctx, b.specs[b.granted[0]], leases, func(ctx context.Context) (err error) {
		values, err = b.load(ctx, b.granted)
		return err
	})
	b.took(b.granted, values, err, StatusMiss)
	var (
		fills  []Fill
		bodies []body
		filled []int // in granted
		back   []Lease
	)
	for n, i := range b.granted {
		sp, r, g := b.specs[i], &b.results[i], &b.grants[n]
		bd, data := b.pack(ctx, sp, g, Loaded[V]{Value: r.value}, r.err, b.now()-since)
		if data == nil || b.pending.blocks(sp.key, sp.tags) {
			back = append(back, g.lease)
			continue
		}
		fills = append(fills, Fill{
			Key: sp.key, Tags: sp.tags, Token: g.lease.Token, Seq: g.entry.Seq,
			Body: data, TTL: bd.life, Version: sp.versionOf(r.value, r.err),
		})
		bodies, filled = append(bodies, bd), append(filled, n)
	}
	for n, ok := range b.fillAll(ctx, fills) {
		if !ok {
			continue
		}
		i, g := b.granted[filled[n]], &b.grants[filled[n]]
		b.keep(b.specs[i], &b.results[i], &bodies[n], g.mark, since, len(fills[n].Body))
	}
	b.abandonAll(ctx, back)
}

func (b *batch[V]) fillAll(ctx context.Context, fills []Fill) []bool {
	if len(fills) == 0 {
		return nil
	}
	done, err := b.store.Fill(b.storeContext(ctx), fills)
	b.outcome(ctx, "fill", err)
	if err != nil {
		leases := make([]Lease, len(fills))
		for n, f := range fills {
			leases[n] = Lease{Key: f.Key, Token: f.Token}
		}
		b.abandonAll(ctx, leases)
		return nil
	}
	for _, ok := range done {
		if !ok {
			b.count(ctx, rejected)
		}
	}
	return done
}

func (b *batch[V]) abandonAll(ctx context.Context, leases []Lease) {
	if len(leases) == 0 {
		return
	}
	b.outcome(ctx, "abandon", b.store.Abandon(b.storeContext(ctx), leases))
}

func (b *batch[V]) loadAlone(ctx context.Context) {
	if len(b.alone) == 0 {
		return
	}
	for range b.alone {
		b.count(ctx, bypasses)
	}
	var values func(int) (V, bool)
	err := b.call(ctx, b.specs[b.alone[0]], func(ctx context.Context) (err error) {
		values, err = b.load(ctx, b.alone)
		return err
	})
	b.took(b.alone, values, err, StatusBypass)
}

const maxLater = 16 // keys that one batch waits for at a time

func (b *batch[V]) fetchLater(ctx context.Context) {
	var wg sync.WaitGroup
	turns := make(chan struct{}, maxLater)
	for _, i := range b.later {
		turns <- struct{}{}
		wg.Go(func() {
			b.results[i] = b.fetch(ctx, b.specs[i], func() loader[V] { return b.one(i) })
			<-turns
		})
	}
	wg.Wait()
}

// detach runs f so that the caller can leave when ctx ends, while f goes on to its end.
func detach[V, T any](ctx context.Context, s *space[V], f func(context.Context) T) (out T, err error) {
	type outcome struct {
		out T
		err error
	}
	ended := make(chan outcome, 1)
	free := context.WithoutCancel(ctx)
	s.work.start(func() {
		var o outcome
		returned := false
		defer func() {
			if !returned {
				o.err = s.broken(free, recover())
			}
			ended <- o
		}()
		o.out = f(free)
		returned = true
	})
	select {
	case o := <-ended:
		return o.out, o.err
	case <-ctx.Done():
		return out, fmt.Errorf("cache: %s: %w", s.name, ctx.Err())
	}
}
