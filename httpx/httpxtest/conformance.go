package httpxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ashlar-go/ashlar/httpx"
)

// Shared is a cache under test: both seams, as *cache.Hub has them.
type Shared interface {
	httpx.Cache
	httpx.Invalidator
}

// Features says how a cache under test differs. The zero value means a cache without tenants that uses this process's clock.
type Features struct {
	// WithTenant puts a tenant into a context. Set it for a cache that is scoped by tenant; the suite then checks the scoping too. Nil means
	// that the cache is not scoped.
	WithTenant func(context.Context, string) context.Context

	// Unit is the length of one step of time. Zero means 1 s, which costs nothing in a synctest bubble; use less with a real clock. No
	// case depends on a step taking no longer than that.
	Unit time.Duration

	// Tick lets time pass. Nil means time.Sleep.
	Tick func(time.Duration)
}

// RunCache checks everything that httpx.Read and httpx.Write rely on. open returns an empty cache.
func RunCache(t *testing.T, open func(t *testing.T) Shared, f Features) {
	t.Helper()
	for _, c := range cases {
		if c.tenants && f.WithTenant == nil {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, t.Context(), open(t), f)
			t.Log(c.why)
			c.run(s)
		})
	}
}

// failer is the part of testing.T that cases use, so that the suite's own test can watch them fail.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

type scene struct {
	t     failer
	ctx   context.Context
	cache Shared
	f     Features
	unit  time.Duration

	fresh, stale time.Duration // of what get stores
}

func newScene(t failer, ctx context.Context, cache Shared, f Features) *scene {
	s := &scene{t: t, ctx: ctx, cache: cache, f: f, unit: f.Unit}
	if s.unit == 0 {
		s.unit = time.Second
	}
	s.fresh = never * s.unit
	if s.f.Tick == nil {
		s.f.Tick = time.Sleep
	}
	if f.WithTenant != nil {
		s.ctx = f.WithTenant(ctx, "suite")
	}
	return s
}

// never is a number of units after which no case looks any more, however slow the machine.
const never = 10_000

func (s *scene) tick(units int) { s.f.Tick(time.Duration(units) * s.unit) }

func (s *scene) get(ctx context.Context, key string, load func(context.Context) ([]byte, error), tags ...string) (string, time.Time, string, error) {
	val, stored, status, err := s.cache.GetOrLoad(ctx, key, s.fresh, s.stale, tags, load)
	return string(val), stored, status, err
}

// want fails the case unless the answer is the wanted one.
func (s *scene) want(value, status string, load func(context.Context) ([]byte, error), tags ...string) time.Time {
	s.t.Helper()
	val, stored, got, err := s.get(s.ctx, "k", load, tags...)
	if err != nil || val != value || got != status {
		s.t.Fatalf("got %q, status %q, error %v; want %q, status %q", val, got, err, value, status)
	}
	return stored
}

func value(v string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(v), nil }
}

var errLoad = errors.New("httpxtest: planned failure of a load")

var cases = []struct {
	name, why string
	tenants   bool
	run       func(*scene)
}{
	{"HitAfterMiss", "a stored value is served without a load, byte for byte", false, func(s *scene) {
		raw := string([]byte{0, 1, 0xff, '\n', '"'}) + string(bytes.Repeat([]byte("x"), 10_000))
		before := time.Now()
		s.want(raw, "miss", value(raw))
		s.tick(1)
		if stored := s.want(raw, "hit", value("second")); stored.Before(before.Add(-s.unit)) || time.Since(stored) < s.unit-time.Millisecond {
			s.t.Fatalf("stored is %v, but the value was loaded at about %v", stored, before)
		}
	}},
	{"KeysAreApart", "one key's value never answers another", false, func(s *scene) {
		s.want("a", "miss", value("a"), "t")
		if val, _, status, err := s.get(s.ctx, "other", value("b"), "t"); val != "b" || status != "miss" || err != nil {
			s.t.Fatalf("another key got %q, status %q, error %v", val, status, err)
		}
	}},
	{"EmptyValue", "an empty value is a value", false, func(s *scene) {
		s.want("", "miss", value(""))
		s.want("", "hit", value("second"))
	}},
	{"ErrorsAreNotStored", "a failed load is returned as it is and forgotten", false, func(s *scene) {
		_, _, _, err := s.get(s.ctx, "k", func(context.Context) ([]byte, error) { return nil, fmt.Errorf("wrapped: %w", errLoad) })
		if !errors.Is(err, errLoad) {
			s.t.Fatalf("the load's error came back as %v", err)
		}
		s.want("a", "miss", value("a"))
	}},
	{"StaleWhileReloading", "after fresh the old value is served at once and replaced behind it", false, func(s *scene) {
		s.fresh, s.stale = s.unit, never*s.unit
		s.want("old", "miss", value("old"))
		s.tick(2)
		reloaded := make(chan struct{})
		s.want("old", "stale", func(context.Context) ([]byte, error) { defer close(reloaded); return []byte("new"), nil })
		s.await(reloaded, "the stale value was not reloaded")
		s.eventually("new")
	}},
	{"TooOld", "after fresh and stale the caller waits for a new value", false, func(s *scene) {
		s.fresh, s.stale = s.unit, s.unit
		s.want("old", "miss", value("old"))
		s.tick(3)
		s.want("new", "miss", value("new"))
	}},
	{"OneLoadForAll", "concurrent callers of a key share one load", false, oneLoad},
	{"CallerLeaves", "a caller that goes away does not take the load with it", false, callerLeaves},
	{"ValuesOfContext", "the load's context keeps the caller's values", false, func(s *scene) {
		type key struct{}
		_, _, _, err := s.get(context.WithValue(s.ctx, key{}, "v"), "k", func(ctx context.Context) ([]byte, error) {
			if ctx.Value(key{}) != "v" {
				return nil, errors.New("the value is missing")
			}
			return nil, nil
		})
		if err != nil {
			s.t.Fatalf("%v", err)
		}
	}},
	{"InvalidateStale", "a dropped tag drops a stale value too", false, func(s *scene) {
		s.fresh, s.stale = s.unit, never*s.unit
		s.want("old", "miss", value("old"), "t")
		s.tick(2)
		s.invalidate(s.ctx, "t")
		s.want("new", "miss", value("new"), "t")
	}},
	{"InvalidateTag", "a dropped tag drops its values and only those", false, func(s *scene) {
		s.want("old", "miss", value("old"), "a", "b")
		if _, _, _, err := s.get(s.ctx, "other", value("kept"), "c"); err != nil {
			s.t.Fatalf("%v", err)
		}
		s.invalidate(s.ctx, "b", "unused")
		s.want("new", "miss", value("new"), "a", "b")
		if val, _, status, _ := s.get(s.ctx, "other", value("lost"), "c"); val != "kept" || status != "hit" {
			s.t.Fatalf("a value without the tag was dropped too: %q, status %q", val, status)
		}
	}},
	{"InvalidateDuringLoad", "a load that began before the invalidation must not be served after it", false, invalidateDuringLoad},
	{"TenantsAreApart", "the same key and tag of two tenants have nothing in common", true, func(s *scene) {
		other := s.f.WithTenant(s.ctx, "another")
		s.want("ours", "miss", value("ours"), "t")
		if val, _, status, err := s.get(other, "k", value("theirs"), "t"); val != "theirs" || status != "miss" || err != nil {
			s.t.Fatalf("another tenant got %q, status %q, error %v", val, status, err)
		}
		s.invalidate(other, "t")
		s.want("ours", "hit", value("lost"), "t")
	}},
	{"NoTenant", "without a tenant there is an error and no load", true, func(s *scene) {
		loaded := false
		_, _, _, err := s.get(context.WithoutCancel(context.Background()), "k", func(context.Context) ([]byte, error) { loaded = true; return nil, nil })
		if err == nil || loaded {
			s.t.Fatalf("error %v, loaded %v", err, loaded)
		}
		if s.cache.InvalidateTags(context.Background(), "t") == nil {
			s.t.Fatalf("InvalidateTags worked without a tenant")
		}
	}},
}

func (s *scene) invalidate(ctx context.Context, tags ...string) {
	s.t.Helper()
	if err := s.cache.InvalidateTags(ctx, tags...); err != nil {
		s.t.Fatalf("InvalidateTags: %v", err)
	}
}

// patience bounds waiting for what should happen at once.
const patience = time.Minute

func (s *scene) await(c <-chan struct{}, otherwise string) {
	s.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
		s.t.Fatalf("%s", otherwise)
	}
}

// eventually polls until want was stored: that a load ended and that its value is there are two moments. A miss means that it was lost.
func (s *scene) eventually(want string) {
	s.t.Helper()
	for range 500 {
		val, _, status, err := s.get(s.ctx, "k", value(want))
		switch {
		case err != nil || status == "miss":
			s.t.Fatalf("status %q, error %v while waiting for %q", status, err, want)
		case val == want && (status == "hit" || status == "stale"):
			return
		}
		s.f.Tick(s.unit / 100)
	}
	s.t.Fatalf("the value never became %q", want)
}

func oneLoad(s *scene) {
	const callers = 20
	release := make(chan struct{})
	var mu sync.Mutex
	loads, statuses := 0, map[string]int{}
	var all, entered sync.WaitGroup
	entered.Add(callers)
	for range callers {
		all.Go(func() {
			entered.Done()
			val, _, status, err := s.get(s.ctx, "k", func(context.Context) ([]byte, error) {
				mu.Lock()
				loads++
				mu.Unlock()
				<-release
				return []byte("v"), nil
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil || val != "v" {
				status = fmt.Sprintf("%q, %v", val, err)
			}
			statuses[status]++
		})
	}
	entered.Wait()
	s.f.Tick(s.unit / 10) // lets the callers arrive; those that come later find the value
	close(release)
	all.Wait()
	if loads != 1 || statuses["miss"] != 1 || statuses["miss"]+statuses["collapsed"]+statuses["hit"] != callers {
		s.t.Fatalf("%d loads; statuses %v", loads, statuses)
	}
}

func callerLeaves(s *scene) {
	ctx, leave := context.WithCancel(s.ctx)
	started, release, finished := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	first := make(chan struct{})
	go func() {
		defer close(first)
		_, _, _, _ = s.get(ctx, "k", func(ctx context.Context) ([]byte, error) {
			close(started)
			<-release
			finished <- ctx.Err()
			return []byte("v"), nil
		})
	}()
	s.await(started, "the load did not start")
	leave()
	s.f.Tick(s.unit / 10)
	close(release)
	if err := <-finished; err != nil {
		s.t.Fatalf("the load's context ended with the first caller: %v", err)
	}
	s.await(first, "the caller that left was never answered")
	s.eventually("v")
}

func invalidateDuringLoad(s *scene) {
	started, release, first := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var said string
	go func() {
		defer close(first)
		_, _, said, _ = s.get(s.ctx, "k", func(context.Context) ([]byte, error) {
			close(started)
			<-release
			return []byte("before"), nil
		}, "t")
	}()
	s.await(started, "the load did not start")
	s.invalidate(s.ctx, "t")
	after := make(chan string, 1)
	go func() { // asks while the old load still runs
		val, _, _, err := s.get(s.ctx, "k", value("after"), "t")
		after <- fmt.Sprintf("%q, error %v", val, err)
	}()
	s.f.Tick(s.unit / 10)
	close(release)
	s.await(first, "the first caller was never answered")
	if said == "miss" {
		s.t.Fatalf("status %q says that what was not stored is", said)
	}
	if got := <-after; got != `"after", error <nil>` {
		s.t.Fatalf("after the invalidation a caller got %s", got)
	}
	val, _, _, err := s.get(s.ctx, "k", value("after"), "t")
	if err != nil || val != "after" {
		s.t.Fatalf("the old value was stored after the invalidation: %q, %v", val, err)
	}
}
