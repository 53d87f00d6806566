package httpxtest

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

type tenantKey struct{}

func withTenant(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, tenantKey{}, id)
}

func tenantFrom(ctx context.Context) (string, bool) {
	id, ok := ctx.Value(tenantKey{}).(string)
	return id, ok
}

// bubble runs each case in virtual time. t.Run is not allowed inside a bubble, so each case gets its own.
func bubble(t *testing.T, open func() Shared, f Features) {
	for _, c := range cases {
		if c.tenants && f.WithTenant == nil {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(newScene(t, t.Context(), open(), f)) })
		})
	}
}

func TestFakeConforms(t *testing.T) {
	bubble(t, func() Shared { return &Cache{} }, Features{})
}

func TestFakeWithTenantsConforms(t *testing.T) {
	bubble(t, func() Shared { return &Cache{Tenant: tenantFrom} }, Features{WithTenant: withTenant})
}

func TestFakeConformsInRealTime(t *testing.T) {
	RunCache(t, func(*testing.T) Shared { return &Cache{Tenant: tenantFrom} }, Features{WithTenant: withTenant, Unit: 20 * time.Millisecond})
}

// broken is the fake with one fault.
type broken struct {
	*Cache
	get        func(b *broken, ctx context.Context, key string, fresh, stale time.Duration, tags []string, load func(context.Context) ([]byte, error)) ([]byte, time.Time, string, error)
	invalidate func(ctx context.Context, tags ...string) error
}

func (b *broken) GetOrLoad(ctx context.Context, key string, fresh, stale time.Duration, tags []string, load func(context.Context) ([]byte, error)) ([]byte, time.Time, string, error) {
	if b.get != nil {
		return b.get(b, ctx, key, fresh, stale, tags, load)
	}
	return b.Cache.GetOrLoad(ctx, key, fresh, stale, tags, load)
}

func (b *broken) InvalidateTags(ctx context.Context, tags ...string) error {
	if b.invalidate != nil {
		return b.invalidate(ctx, tags...)
	}
	return b.Cache.InvalidateTags(ctx, tags...)
}

type loader = func(context.Context) ([]byte, error)

var faults = []struct {
	name, caughtBy string
	fault          broken
}{
	{"stores nothing", "HitAfterMiss", broken{get: func(b *broken, ctx context.Context, _ string, _, _ time.Duration, _ []string, load loader) ([]byte, time.Time, string, error) {
		val, err := load(ctx)
		return val, time.Now(), "miss", err
	}}},
	{"ignores the key", "KeysAreApart", broken{get: func(b *broken, ctx context.Context, _ string, f, s time.Duration, tags []string, load loader) ([]byte, time.Time, string, error) {
		return b.Cache.GetOrLoad(ctx, "one", f, s, tags, load)
	}}},
	{"stores errors", "ErrorsAreNotStored", broken{get: func(b *broken, ctx context.Context, key string, f, s time.Duration, tags []string, load loader) ([]byte, time.Time, string, error) {
		var failed error
		val, at, status, err := b.Cache.GetOrLoad(ctx, key, f, s, tags, func(ctx context.Context) ([]byte, error) {
			val, err := load(ctx)
			failed = err
			return val, nil
		})
		if failed != nil {
			err = failed
		}
		return val, at, status, err
	}}},
	{"forgets the tags of stale values", "InvalidateStale", broken{get: func(b *broken, ctx context.Context, key string, f, s time.Duration, tags []string, load loader) ([]byte, time.Time, string, error) {
		if s > 0 {
			tags = nil
		}
		return b.Cache.GetOrLoad(ctx, key, f, s, tags, load)
	}}},
	{"never stale", "StaleWhileReloading", broken{get: func(b *broken, ctx context.Context, key string, f, _ time.Duration, tags []string, load loader) ([]byte, time.Time, string, error) {
		return b.Cache.GetOrLoad(ctx, key, f, 0, tags, load)
	}}},
	{"stale for ever", "TooOld", broken{get: func(b *broken, ctx context.Context, key string, f, _ time.Duration, tags []string, load loader) ([]byte, time.Time, string, error) {
		return b.Cache.GetOrLoad(ctx, key, f, 1000*time.Hour, tags, load)
	}}},
	{"everybody loads", "OneLoadForAll", broken{get: func(b *broken, ctx context.Context, key string, _, _ time.Duration, _ []string, load loader) ([]byte, time.Time, string, error) {
		val, err := load(ctx)
		return val, time.Now(), "hit", err
	}}},
	{"load dies with its caller", "CallerLeaves", broken{get: func(b *broken, ctx context.Context, key string, f, s time.Duration, tags []string, load loader) ([]byte, time.Time, string, error) {
		caller := ctx
		return b.Cache.GetOrLoad(ctx, key, f, s, tags, func(context.Context) ([]byte, error) { return load(caller) })
	}}},
	{"loses context values", "ValuesOfContext", broken{get: func(b *broken, ctx context.Context, key string, f, s time.Duration, tags []string, load loader) ([]byte, time.Time, string, error) {
		return b.Cache.GetOrLoad(ctx, key, f, s, tags, func(context.Context) ([]byte, error) { return load(context.Background()) })
	}}},
	{"invalidates nothing", "InvalidateTag", broken{invalidate: func(context.Context, ...string) error { return nil }}},
	{"drops only what is stored", "InvalidateDuringLoad", broken{invalidate: nil, get: func(b *broken, ctx context.Context, key string, f, s time.Duration, _ []string, load loader) ([]byte, time.Time, string, error) {
		return b.Cache.GetOrLoad(ctx, key, f, s, nil, load)
	}}},
	{"calls everything stored", "InvalidateDuringLoad", broken{get: func(b *broken, ctx context.Context, key string, f, s time.Duration, tags []string, load loader) ([]byte, time.Time, string, error) {
		val, at, status, err := b.Cache.GetOrLoad(ctx, key, f, s, tags, load)
		if status == "unstored" {
			status = "miss"
		}
		return val, at, status, err
	}}},
	{"ignores the tenant", "TenantsAreApart", broken{get: func(b *broken, ctx context.Context, key string, f, s time.Duration, tags []string, load loader) ([]byte, time.Time, string, error) {
		return b.Cache.GetOrLoad(withTenant(ctx, "all"), key, f, s, tags, load)
	}}},
	{"works without tenant", "NoTenant", broken{get: func(b *broken, ctx context.Context, key string, f, s time.Duration, tags []string, load loader) ([]byte, time.Time, string, error) {
		return b.Cache.GetOrLoad(withTenant(ctx, "all"), key, f, s, tags, load)
	}}},
	{"empty is missing", "EmptyValue", broken{get: func(b *broken, ctx context.Context, key string, f, s time.Duration, tags []string, load loader) ([]byte, time.Time, string, error) {
		val, at, status, err := b.Cache.GetOrLoad(ctx, key, f, s, tags, load)
		if err == nil && len(val) == 0 {
			val, err = load(ctx)
			status = "miss"
		}
		return val, at, status, err
	}}},
}

// TestSuiteCatches plants one fault after another; the named case must see it.
func TestSuiteCatches(t *testing.T) {
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			fault.fault.Cache = &Cache{Tenant: tenantFrom}
			for _, c := range cases {
				if c.name == fault.caughtBy {
					synctest.Test(t, func(t *testing.T) {
						if said := watch(t.Context(), c.run, &fault.fault); said == "" {
							t.Fatalf("case %s does not notice", c.name)
						}
					})
					return
				}
			}
			t.Fatalf("there is no case %s", fault.caughtBy)
		})
	}
}

// watch runs a case and returns what it failed with.
func watch(ctx context.Context, run func(*scene), cache Shared) string {
	w := &watcher{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil && v != error(w) {
				panic(v)
			}
		}()
		run(newScene(w, ctx, cache, Features{WithTenant: withTenant}))
	}()
	<-done
	return w.said
}

type watcher struct{ said string }

func (w *watcher) Helper()       {}
func (w *watcher) Error() string { return w.said }
func (w *watcher) Fatalf(format string, args ...any) {
	w.said = fmt.Sprintf(format, args...)
	panic(error(w))
}
