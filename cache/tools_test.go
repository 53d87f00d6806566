package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

func TestLocked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		p, q := start(t, base.Node(), nil), start(t, base.Node(), nil)
		var first int64
		require.NoError(t, p.Locked(t.Context(), "import", 3*time.Second, func(ctx context.Context, fence int64) error {
			first = fence
			for range 10 { // far beyond the ttl: it is renewed
				<-time.After(2 * time.Second)
				require.NoError(t, ctx.Err())
				require.ErrorIs(t, q.Locked(ctx, "import", time.Second, nil), cache.ErrLocked)
			}
			return q.Locked(ctx, "another", time.Second, func(context.Context, int64) error { return nil })
		}))
		ran := false
		require.ErrorIs(t, q.Locked(t.Context(), "import", time.Second, func(_ context.Context, fence int64) error {
			ran = true
			require.Greater(t, fence, first)
			return errBoom
		}), errBoom)
		require.True(t, ran)
		require.Panics(t, func() {
			_ = q.Locked(t.Context(), "import", time.Second, func(context.Context, int64) error { panic("ouch") })
		})
		require.NoError(t, p.Locked(t.Context(), "import", time.Second, func(context.Context, int64) error { return nil }), "given back after a panic")
	})
}

// Nobody else gets the lock before the context of its owner has ended, whatever the store does.
func TestALostLockEndsItsContextInTime(t *testing.T) {
	faults := map[string]func(p *process){
		"the store is gone": func(p *process) { p.store.Down(true) },
		"the store does not answer": func(p *process) {
			p.store.Intercept(func(string) error { <-time.After(time.Hour); return errBoom })
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				base := cachetest.New(t)
				p, q := start(t, base.Node(), &cache.Options{Logger: quiet}), start(t, base.Node(), nil)
				const ttl = 2 * time.Second
				var working, both atomic.Bool
				stolen := make(chan struct{})
				err := p.Locked(t.Context(), "k", ttl, func(ctx context.Context, fence int64) error {
					working.Store(true)
					fault(p)
					go func() {
						defer close(stolen)
						for q.Locked(t.Context(), "k", ttl, func(_ context.Context, later int64) error {
							both.Store(working.Load())
							if later <= fence {
								t.Errorf("fence %d after %d", later, fence)
							}
							return nil
						}) != nil {
							<-time.After(time.Millisecond)
						}
					}()
					<-ctx.Done()
					require.ErrorIs(t, context.Cause(ctx), cache.ErrLockLost)
					working.Store(false)
					return ctx.Err()
				})
				require.ErrorIs(t, err, cache.ErrLockLost)
				require.ErrorIs(t, err, context.Canceled)
				<-stolen
				require.False(t, both.Load(), "two worked at a time")
			})
		})
	}
}

// forgetting is a store that a failover made forget its locks.
type forgetting struct {
	*cachetest.Store
	forgot atomic.Bool
}

func (s *forgetting) Lock(ctx context.Context, key, owner string, ttl time.Duration) (int64, error) {
	if s.forgot.Load() {
		key = "new:" + key
	}
	return s.Store.Lock(ctx, key, owner, ttl)
}

func TestALockTakenByAnotherEndsTheContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for name, other := range map[string]bool{"another has it": true, "nobody has it": false} {
			store := &forgetting{Store: cachetest.New(t)}
			h, err := cache.New(store, nil)
			require.NoError(t, err)
			err = h.Locked(t.Context(), "k", 3*time.Second, func(ctx context.Context, fence int64) error {
				store.forgot.Store(true)
				if other {
					later, err := store.Lock(t.Context(), ":k", "another123456789", time.Minute)
					require.NoError(t, err)
					require.Greater(t, later, fence)
				}
				began := time.Now()
				<-ctx.Done()
				require.LessOrEqual(t, time.Since(began), time.Second, name)
				require.ErrorIs(t, context.Cause(ctx), cache.ErrLockLost)
				return nil
			})
			require.ErrorIs(t, err, cache.ErrLockLost, name)
		}
	})
}

func TestCountAndValues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		tenant := "acme"
		opts := &cache.Options{Tenant: func(context.Context) (string, bool) { return tenant, tenant != "" }}
		p := start(t, base.Node(), opts)
		for _, id := range []string{"acme", "acme:x", "globex"} {
			tenant = id
			for i := range 3 {
				total, left, err := p.Count(t.Context(), "x:logins", 1, time.Minute)
				require.NoError(t, err)
				require.EqualValues(t, i+1, total, "each tenant has its own")
				require.Equal(t, time.Minute, left)
			}
			_, ok, err := p.Get(t.Context(), "k")
			require.NoError(t, err)
			require.False(t, ok)
			require.NoError(t, p.Set(t.Context(), "k", []byte(id), time.Hour))
		}
		tenant = "acme"
		v, ok, err := p.Get(t.Context(), "k")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "acme", string(v))
		_, ok, err = p.Shared().Get(t.Context(), "k")
		require.NoError(t, err)
		require.False(t, ok, "data of no tenant is another's")
		<-time.After(time.Hour)
		_, ok, err = p.Get(t.Context(), "k")
		require.NoError(t, err)
		require.False(t, ok)

		tenant = ""
		calls := p.count("add") + p.count("set") + p.count("get") + p.count("lock")
		_, _, err = p.Count(t.Context(), "k", 1, time.Minute)
		require.ErrorIs(t, err, cache.ErrNoTenant)
		require.ErrorIs(t, p.Set(t.Context(), "k", nil, time.Minute), cache.ErrNoTenant)
		_, _, err = p.Get(t.Context(), "k")
		require.ErrorIs(t, err, cache.ErrNoTenant)
		require.ErrorIs(t, p.Locked(t.Context(), "k", time.Minute, nil), cache.ErrNoTenant)
		require.Equal(t, calls, p.count("add")+p.count("set")+p.count("get")+p.count("lock"), "before any I/O")

		tenant = "acme"
		for _, ttl := range []time.Duration{0, -1, time.Microsecond} {
			require.Error(t, p.Set(t.Context(), "k", nil, ttl))
			require.Error(t, p.Locked(t.Context(), "k", ttl, nil))
		}
		p.store.Down(true)
		require.True(t, errors.Is(p.Locked(t.Context(), "k", time.Minute, nil), cachetest.ErrDown))
	})
}

func TestFailuresOfToolsAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		p, q := start(t, base.Node(), &cache.Options{Logger: quiet}), start(t, base.Node(), nil)
		nothing := func(context.Context, int64) error { return nil }
		require.NoError(t, q.Locked(t.Context(), "k", time.Minute, func(context.Context, int64) error {
			require.ErrorIs(t, p.Locked(t.Context(), "k", time.Minute, nil), cache.ErrLocked)
			return nil
		}))
		require.Error(t, p.Set(t.Context(), "k", nil, 0))
		require.Zero(t, p.Stats().StoreErrors, "a lock of another's, and a misuse, are no failures of the store")

		p.store.Down(true)
		want := int64(0)
		for op, c := range map[string]struct {
			failures int64
			call     func() error
		}{
			"add":  {1, func() error { _, _, err := p.Count(t.Context(), "k", 1, time.Minute); return err }},
			"set":  {1, func() error { return p.Set(t.Context(), "k", nil, time.Minute) }},
			"get":  {1, func() error { _, _, err := p.Get(t.Context(), "k"); return err }},
			"lock": {2, func() error { return p.Locked(t.Context(), "k", time.Minute, nothing) }}, // and giving it back
		} {
			require.ErrorIs(t, c.call(), cachetest.ErrDown, op)
			want += c.failures
			require.Equal(t, want, p.Stats().StoreErrors, op)
			require.EqualValues(t, want, p.seen.metric("cache.store_errors"), op)
		}
		require.False(t, p.Stats().StoreFailing, "reads go on to ask the store")

		p.store.Down(false)
		require.ErrorIs(t, p.Locked(t.Context(), "k", 3*time.Second, func(ctx context.Context, _ int64) error {
			p.store.Down(true)
			<-ctx.Done()
			return nil
		}), cache.ErrLockLost)
		require.Greater(t, p.Stats().StoreErrors, want+1, "renewals that failed are counted")
	})
}

func ExampleHub_Locked() {
	hub, err := cache.New(cachetest.NewStore(), nil)
	if err != nil {
		panic(err)
	}
	err = hub.Locked(context.Background(), "nightly-import", 30*time.Second, func(ctx context.Context, fence int64) error {
		// Work until ctx ends; let the database refuse writes with a lower fence than it has seen.
		fmt.Println("working:", fence > 0)
		return hub.Locked(ctx, "nightly-import", time.Second, nil)
	})
	fmt.Println(err)
	// Output:
	// working: true
	// cache: somebody else has the lock
}

func ExampleHub_Count() {
	hub, err := cache.New(cachetest.NewStore(), nil)
	if err != nil {
		panic(err)
	}
	for range 3 {
		n, left, err := hub.Count(context.Background(), "password resets of ann", 1, time.Hour)
		fmt.Println(n, left > 59*time.Minute, err)
	}
	// Output:
	// 1 true <nil>
	// 2 true <nil>
	// 3 true <nil>
}
