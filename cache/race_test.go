package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// delaying is a store whose answer to one read stays away until it is released.
type delaying struct {
	*cachetest.Store
	reads   chan struct{} // a token for each read that is to be delayed
	read    chan struct{} // closed when the store executed it
	release chan struct{}
}

func (s *delaying) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	entries, err := s.Store.Acquire(ctx, claims)
	select {
	case <-s.reads:
		close(s.read)
		<-s.release
	default:
	}
	return entries, err
}

// An old value, read from the store before an invalidation, arrives after it. Nobody who came
// later may get it, neither by joining that read nor from memory.
func TestAnAnswerFromBeforeAnInvalidation(t *testing.T) {
	for name, c := range map[string]struct {
		join bool // the later caller comes while the read is in progress, not after
		own  bool // the invalidation is by the same process
	}{
		"from memory":                           {false, true},
		"by joining":                            {true, true},
		"by joining, of another's invalidation": {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				base := cachetest.New(t)
				node := base.Node()
				store := &delaying{node, make(chan struct{}, 1), make(chan struct{}), make(chan struct{})}
				h, err := cache.New(store, nil)
				require.NoError(t, err)
				p := (&process{Hub: h, store: node}).run(t)
				policy := &cache.Policy{TTL: time.Hour, NoLocal: c.join}
				here, there := numbers(p, policy), numbers(start(t, base.Node(), nil), policy)
				var src source
				get(t, there, "k", &src)
				node.DropEvents(true) // memory must not depend on its own messages

				store.reads <- struct{}{}
				first, late := make(chan int64, 1), make(chan int64, 1)
				go func() { v, _ := here.Fetch(t.Context(), "k", src.load); first <- v }()
				<-store.read
				src.version.Store(1)
				by := there
				if c.own {
					by = here
				}
				require.NoError(t, by.Invalidate(t.Context(), "k"))
				if c.join {
					go func() { v, _ := here.Fetch(t.Context(), "k", src.load); late <- v }()
					synctest.Wait()
				}
				close(store.release)
				require.EqualValues(t, 0, <-first, "it began before")
				if c.join {
					require.EqualValues(t, 1, <-late)
				}
				require.EqualValues(t, 1, get(t, here, "k", &src))
			})
		})
	}
}

// Who waits for the load of another process is told of an invalidation, and loads at once.
func TestAnInvalidationEndsTheWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		a, b := start(t, base.Node(), nil), start(t, base.Node(), nil).run(t)
		ca, cb := numbers(a, minute), numbers(b, minute)
		release, value := make(chan struct{}), make(chan int64, 1)
		left := make(chan struct{})
		go func() {
			defer close(left)
			_, _ = ca.Fetch(t.Context(), "k", func(context.Context, string) (int64, error) { <-release; return 0, nil })
		}()
		synctest.Wait()
		src := source{}
		src.version.Store(1)
		go func() { v, _ := cb.Fetch(t.Context(), "k", src.load); value <- v }()
		<-time.After(5*time.Second + 10*time.Millisecond) // the intervals of looking are long now
		begin := time.Now()
		require.NoError(t, ca.Invalidate(t.Context(), "k"))
		require.EqualValues(t, 1, <-value)
		require.Zero(t, time.Since(begin))
		close(release)
		<-left
	})
}
