package cache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// A status says "miss" exactly where the value is in the store afterwards: HTTP caches tell
// their clients so.
func TestGetOrLoadSaysWhetherItStored(t *testing.T) {
	refuse := func(op string) func(p *process) error {
		return func(p *process) error {
			p.store.Intercept(func(o string) error {
				if o == op {
					return errors.New("refused")
				}
				return nil
			})
			return nil
		}
	}
	for name, c := range map[string]struct {
		during func(p *process) error
		status string
	}{
		"nothing happens": {func(*process) error { return nil }, cache.StatusMiss},
		"invalidated by a tag": {func(p *process) error {
			return p.InvalidateTags(context.Background(), "a")
		}, cache.StatusUnstored},
		"all invalidated": {func(p *process) error {
			return p.Invalidate(context.Background(), cache.Everything())
		}, cache.StatusUnstored},
		"the store refuses the value": {refuse("fill"), cache.StatusUnstored},
		"the store goes away":         {func(p *process) error { p.store.Down(true); return nil }, cache.StatusUnstored},
		"an invalidation is due": {func(p *process) error {
			_ = refuse("invalidate")(p)
			if p.InvalidateTags(context.Background(), "a") == nil {
				return errors.New("it was not refused")
			}
			return nil
		}, cache.StatusUnstored},
	} {
		for level, opts := range map[string]*cache.Options{"with memory": {Logger: quiet}, "without": {Logger: quiet, LocalBytes: -1}} {
			t.Run(name+", "+level, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := start(t, cachetest.New(t), opts).run(t)
					get := func(load func(context.Context) ([]byte, error)) string {
						_, _, status, err := p.GetOrLoad(t.Context(), "k", time.Minute, 0, []string{"a"}, load)
						require.NoError(t, err)
						return status
					}
					require.Equal(t, c.status, get(func(context.Context) ([]byte, error) { return nil, c.during(p) }))
					p.store.Down(false)
					p.store.Intercept(nil)
					<-time.After(5 * time.Second) // the breaker and the retries are through
					want := cache.StatusMiss
					if c.status == cache.StatusMiss {
						want = cache.StatusHit
					}
					require.Equal(t, want, get(func(context.Context) ([]byte, error) { return nil, nil }), "what the status said of the store")
				})
			})
		}
	}
}

// Whoever shares a load that was not stored is served, and told that it was another's.
func TestGetOrLoadSharesWhatWasNotStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		began, release := make(chan struct{}), make(chan struct{})
		statuses := make([]string, 3)
		var wg sync.WaitGroup
		for i := range statuses {
			wg.Go(func() {
				_, _, status, err := p.GetOrLoad(t.Context(), "k", time.Minute, 0, []string{"a"}, func(context.Context) ([]byte, error) {
					if i == 0 {
						close(began)
						<-release
						return nil, p.InvalidateTags(context.Background(), "a")
					}
					<-time.After(time.Second) // by then all are there
					return nil, nil
				})
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
				}
				statuses[i] = status
			})
			if i == 0 {
				<-began
			}
		}
		<-time.After(time.Second)
		close(release)
		wg.Wait()
		require.Equal(t, cache.StatusUnstored, statuses[0])
		require.ElementsMatch(t, []string{cache.StatusMiss, cache.StatusCollapsed}, statuses[1:], "the old load began before they came")
	})
}
