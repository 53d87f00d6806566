package cache_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// A caller that comes after an invalidation must not join a load that began before it.
func TestJoinersGetNothingOlderThanTheirInvalidation(t *testing.T) {
	for name, invalidate := range map[string]func(context.Context, *process, *cache.Cache[string, int64]) error{
		"key": func(ctx context.Context, _ *process, c *cache.Cache[string, int64]) error {
			return c.Invalidate(ctx, "k")
		},
		"tag": func(ctx context.Context, p *process, _ *cache.Cache[string, int64]) error {
			return p.InvalidateTags(ctx, "tag")
		},
		"all": func(ctx context.Context, p *process, _ *cache.Cache[string, int64]) error {
			return p.Invalidate(ctx, cache.Everything())
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				base := cachetest.New(t)
				p, other := start(t, base.Node(), nil), start(t, base.Node(), nil)
				c := numbers(p, minute).TagBy(func(string) []string { return []string{"tag"} })
				co := numbers(other, minute)
				var src source
				read, release := make(chan struct{}), make(chan struct{})
				slow := func(ctx context.Context, k string) (int64, error) {
					v, err := src.load(ctx, k)
					read <- struct{}{}
					<-release
					return v, err
				}
				first, late := make(chan int64, 1), make(chan int64, 1)
				go func() { v, _ := c.Fetch(t.Context(), "k", slow); first <- v }()
				<-read
				src.version.Store(1)
				require.NoError(t, invalidate(t.Context(), other, co))
				go func() { v, _ := c.Fetch(t.Context(), "k", src.load); late <- v }()
				synctest.Wait()
				require.Empty(t, late, "it should wait for the flight or for its own")
				close(release)
				require.EqualValues(t, 0, <-first)
				require.EqualValues(t, 1, <-late)
				require.EqualValues(t, 1, get(t, c, "k", &src), "the old value was stored")
			})
		})
	}
}

func TestCallersShareOneLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		var loads atomic.Int64
		var wg sync.WaitGroup
		for range 3 {
			p := start(t, base.Node(), nil).run(t)
			c := numbers(p, minute)
			for range 1000 {
				wg.Go(func() {
					v, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int64, error) {
						loads.Add(1)
						<-time.After(50 * time.Millisecond)
						return 7, nil
					})
					if err != nil || v != 7 {
						t.Errorf("got %d, %v", v, err)
					}
				})
			}
		}
		begin := time.Now()
		wg.Wait()
		require.EqualValues(t, 1, loads.Load())
		require.Less(t, time.Since(begin), 60*time.Millisecond, "the others were told at once")
	})
}

func TestTheFirstCallerMayLeave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil)
		c := numbers(p, minute)
		release := make(chan struct{})
		type ctxKey struct{}
		slow := func(ctx context.Context, _ string) (int64, error) {
			<-release
			if ctx.Value(ctxKey{}) == nil {
				return 0, errors.New("the caller's values are gone")
			}
			return 7, ctx.Err()
		}
		ctx, leave := context.WithCancel(context.WithValue(t.Context(), ctxKey{}, 1))
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { _, err := c.Fetch(ctx, "k", slow); first <- err }()
		synctest.Wait()
		go func() {
			v, err := c.Fetch(t.Context(), "k", never)
			if v != 7 {
				err = errors.Join(err, errors.New("another value"))
			}
			second <- err
		}()
		synctest.Wait()
		leave()
		require.ErrorIs(t, <-first, context.Canceled)
		close(release)
		require.NoError(t, <-second)
		_, err := c.Fetch(ctx, "k2", never)
		require.ErrorIs(t, err, context.Canceled, "an ended context loads nothing")
	})
}

func TestFailingLoads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		a, b := start(t, base.Node(), nil), start(t, base.Node(), nil)
		ca, cb := numbers(a, minute), numbers(b, minute)
		boom := errors.New("boom")
		for name, load := range map[string]func(context.Context, string) (int64, error){
			"error":   func(context.Context, string) (int64, error) { return 1, boom },
			"panic":   func(context.Context, string) (int64, error) { panic("ouch") },
			"goexit":  func(context.Context, string) (int64, error) { runtime.Goexit(); return 1, nil },
			"timeout": func(ctx context.Context, _ string) (int64, error) { <-ctx.Done(); return 1, ctx.Err() },
		} {
			begin := time.Now()
			v, err := ca.Fetch(t.Context(), name, load)
			require.Zero(t, v, name)
			switch name {
			case "error":
				require.Same(t, boom, err, "errors of loads are returned as they are")
			case "timeout":
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, 10*time.Second, time.Since(begin))
			default:
				require.ErrorIs(t, err, cache.ErrLoadPanic)
			}
			var src source
			begin = time.Now()
			get(t, cb, name, &src)
			require.EqualValues(t, 1, src.loads.Load(), "%s: errors are not kept", name)
			if name == "goexit" { // the one way to leave without giving the lease back
				require.LessOrEqual(t, time.Since(begin), 3*time.Second+lastPoll)
				continue
			}
			require.Zero(t, time.Since(begin), "%s: the lease blocks others", name)
		}
		require.Len(t, a.seen.reported(), 2, "panic and goexit are reported")
	})
}

const lastPoll = 250 * time.Millisecond

func TestADeadLoaderIsReplacedAfterItsLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		a, b := start(t, base.Node(), nil), start(t, base.Node(), nil)
		ca, cb := numbers(a, minute), numbers(b, minute)
		stuck, stored := make(chan struct{}), make(chan error, 1)
		go func() {
			_, err := ca.Fetch(t.Context(), "k", func(context.Context, string) (int64, error) { <-stuck; return 1, nil })
			stored <- err
		}()
		synctest.Wait()
		a.store.Down(true) // as good as dead: it cannot renew
		src := source{}
		src.version.Store(2)
		begin := time.Now()
		require.EqualValues(t, 2, get(t, cb, "k", &src))
		require.LessOrEqual(t, time.Since(begin), 3*time.Second+lastPoll)
		a.store.Down(false)
		close(stuck) // it was only asleep, and comes back
		require.NoError(t, <-stored)
		v, err := cb.Fetch(t.Context(), "k", never)
		require.NoError(t, err)
		require.EqualValues(t, 2, v, "the late loader overwrote the newer value")
		require.EqualValues(t, 1, a.seen.metric("cache.rejected_fills"))
	})
}

func TestASlowLoadKeepsItsLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		a, b := start(t, base.Node(), nil), start(t, base.Node(), nil)
		slow := &cache.Policy{TTL: time.Minute, LoadTimeout: time.Minute}
		ca, cb := numbers(a, slow), numbers(b, slow)
		started := make(chan struct{})
		done := make(chan error, 1)
		go func() {
			_, err := ca.Fetch(t.Context(), "k", func(context.Context, string) (int64, error) {
				close(started)
				<-time.After(30 * time.Second)
				return 7, nil
			})
			done <- err
		}()
		<-started
		v, err := cb.Fetch(t.Context(), "k", never)
		require.NoError(t, err)
		require.EqualValues(t, 7, v)
		require.NoError(t, <-done)
		require.Greater(t, a.count("renew"), int64(25))
		renewed := a.count("renew")
		<-time.After(10 * time.Second)
		require.Equal(t, renewed, a.count("renew"), "renewing goes on after the load")
	})
}

func TestAWaiterLosesPatience(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		a, b := start(t, base.Node(), nil), start(t, base.Node(), nil)
		ca := numbers(a, &cache.Policy{TTL: time.Minute, LoadTimeout: time.Hour})
		cb := numbers(b, minute)
		started := make(chan struct{})
		go ca.Fetch(t.Context(), "k", func(ctx context.Context, _ string) (int64, error) {
			close(started)
			<-ctx.Done()
			return 0, ctx.Err()
		})
		<-started
		var src source
		begin := time.Now()
		get(t, cb, "k", &src)
		require.InDelta(t, 13, time.Since(begin).Seconds(), 0.5, "LoadTimeout and one lease")
		require.EqualValues(t, 1, b.seen.metric("cache.bypasses"))
		<-time.After(time.Hour)
	})
}

func TestTTL(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, p := range []*process{start(t, cachetest.New(t), nil), start(t, cachetest.New(t), nil).run(t)} {
			c := numbers(p, &cache.Policy{TTL: time.Minute, NotFoundTTL: time.Second, Jitter: -1})
			var src source
			get(t, c, "k", &src)
			<-time.After(59 * time.Second)
			get(t, c, "k", &src)
			require.EqualValues(t, 1, src.loads.Load())
			<-time.After(time.Second)
			get(t, c, "k", &src)
			require.EqualValues(t, 2, src.loads.Load())

			absent := func(context.Context, string) (int64, error) { src.loads.Add(1); return 0, cache.ErrNotFound }
			for range 3 {
				_, err := c.Fetch(t.Context(), "none", absent)
				require.ErrorIs(t, err, cache.ErrNotFound)
			}
			require.EqualValues(t, 3, src.loads.Load())
			<-time.After(time.Second)
			_, err := c.Fetch(t.Context(), "none", absent)
			require.ErrorIs(t, err, cache.ErrNotFound)
			require.EqualValues(t, 4, src.loads.Load())
		}
	})
}

func TestNotFoundCanBeLeftUncached(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := numbers(start(t, cachetest.New(t), nil), &cache.Policy{TTL: time.Minute, NotFoundTTL: -1, Jitter: -1})
		var src source
		for range 3 {
			_, err := c.Fetch(t.Context(), "none", func(context.Context, string) (int64, error) {
				src.loads.Add(1)
				return 0, cache.ErrNotFound
			})
			require.ErrorIs(t, err, cache.ErrNotFound)
		}
		require.EqualValues(t, 3, src.loads.Load())
	})
}

func TestStaleWhileRevalidate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, &cache.Policy{TTL: time.Minute, Stale: time.Hour, Jitter: -1})
		var src source
		get(t, c, "k", &src)
		src.version.Store(1)
		<-time.After(2 * time.Minute)
		boom := errors.New("boom")
		for range 3 { // a failing refresh leaves the old value, and is not repeated at once
			v, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int64, error) { src.loads.Add(1); return 0, boom })
			require.NoError(t, err)
			require.EqualValues(t, 0, v)
			synctest.Wait()
		}
		require.EqualValues(t, 2, src.loads.Load())
		require.ErrorIs(t, p.seen.reported()[0], boom)
		<-time.After(4 * time.Second)
		require.EqualValues(t, 0, get(t, c, "k", &src), "stale, while it is refreshed")
		synctest.Wait()
		require.EqualValues(t, 1, get(t, c, "k", &src), "refreshed")
		src.version.Store(2)
		<-time.After(2 * time.Minute)
		require.NoError(t, c.Invalidate(t.Context(), "k"))
		require.EqualValues(t, 2, get(t, c, "k", &src), "an invalidated value is not served as stale")
		src.version.Store(3)
		<-time.After(62 * time.Minute)
		require.EqualValues(t, 3, get(t, c, "k", &src), "older than TTL and Stale")
	})
}
