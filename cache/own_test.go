package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// tagging is a load whose values carry tags.
func (s *source) tagging(tags ...string) func(context.Context, string, cache.Loaded[int64]) (cache.Loaded[int64], error) {
	return func(ctx context.Context, k string, _ cache.Loaded[int64]) (cache.Loaded[int64], error) {
		v, err := s.load(ctx, k)
		return cache.Loaded[int64]{Value: v, Tags: tags}, err
	}
}

// with may run on any goroutine, so a failure does not end the test.
func with(t *testing.T, c *cache.Cache[string, int64], s *source, tags ...string) int64 {
	t.Helper()
	v, err := c.FetchWith(t.Context(), "k", s.tagging(tags...))
	if err != nil {
		t.Error(err)
	}
	return v
}

// A hit costs what it did, unless the value has tags of its own.
func TestOnlyValuesWithTagsTakeASecondLook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil)
		c := numbers(p, minute).TagBy(func(string) []string { return []string{"known"} })
		var src source
		reads := func(want int64, tags ...string) {
			t.Helper()
			before := p.count("acquire")
			with(t, c, &src, tags...)
			require.Equal(t, want, p.count("acquire")-before)
		}
		reads(missed)
		reads(1)
		require.NoError(t, c.Invalidate(t.Context(), "k"))
		reads(missed, "known", "known")
		reads(1) // all of them are those of its readers
		require.NoError(t, c.Invalidate(t.Context(), "k"))
		reads(missed, "known", "own")
		reads(2)
		require.NoError(t, p.InvalidateTags(t.Context(), "own"))
		reads(3, "own") // a look, the comparison and the lease
		require.EqualValues(t, 4, src.loads.Load())
	})
}

func TestTooManyTags(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, minute)
		var src source
		many := make([]string, 65)
		for i := range many {
			many[i] = fmt.Sprint(i)
		}
		for i, tags := range [][]string{many, {"fine", strings.Repeat("x", 257)}} {
			with(t, c, &src, tags...)
			with(t, c, &src, tags...)
			require.EqualValues(t, 2*i+2, src.loads.Load(), "it was kept, and cannot be dropped by some tags")
			require.ErrorIs(t, p.seen.reported()[2*i], cache.ErrTags)
			require.NotContains(t, p.seen.reported()[2*i].Error(), "xx", "tags are data of users")
		}
		src.loads.Store(0)
		most := many[:64]
		most[0] = strings.Repeat("x", 256)
		with(t, c, &src, most...)
		with(t, c, &src, most...)
		require.EqualValues(t, 1, src.loads.Load())
		require.NoError(t, p.InvalidateTags(t.Context(), most[0]))
		with(t, c, &src, most...)
		require.EqualValues(t, 2, src.loads.Load())
	})
}

// reusing is a value whose encoding, which follows the load, does what its field says.
type reusing struct {
	then func() error
}

func (r reusing) MarshalJSON() ([]byte, error) { return []byte("{}"), r.then() }

func TestALoadMayReuseTheSliceOfItsTags(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil)
		c := cache.Define[string, reusing](p.Hub, "reusing", &cache.Policy{TTL: time.Minute, NoLocal: true})
		loads := 0
		fetch := func() {
			t.Helper()
			_, err := c.FetchWith(t.Context(), "k", func(context.Context, string, cache.Loaded[reusing]) (cache.Loaded[reusing], error) {
				loads++
				tags := []string{"a"}
				return cache.Loaded[reusing]{Value: reusing{func() error { tags[0] = "b"; return nil }}, Tags: tags}, nil
			})
			require.NoError(t, err)
		}
		for tag, want := range map[string]int{"a": 1, "b": 0} {
			fetch()
			before := loads
			require.NoError(t, p.InvalidateTags(t.Context(), tag))
			fetch()
			require.Equal(t, want, loads-before, tag)
		}
	})
}

// A source whose new values cannot be kept is spared as one that fails, while an old one is there.
func TestAValueThatIsRefusedBesideAnOldOne(t *testing.T) {
	unwritable := reusing{func() error { return errBoom }}
	writable := reusing{func() error { return nil }}
	for name, refused := range map[string]cache.Loaded[reusing]{
		"for its tags":        {Value: writable, Tags: []string{strings.Repeat("x", 257)}},
		"for it has no bytes": {Value: unwritable},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := start(t, cachetest.New(t), nil).run(t)
				c := cache.Define[string, reusing](p.Hub, "reusing", &cache.Policy{TTL: time.Minute, Stale: time.Hour, Jitter: -1})
				loads, answer := 0, cache.Loaded[reusing]{Value: writable}
				fetch := func() {
					t.Helper()
					_, err := c.FetchWith(t.Context(), "k", func(context.Context, string, cache.Loaded[reusing]) (cache.Loaded[reusing], error) {
						loads++
						return answer, nil
					})
					require.NoError(t, err)
					synctest.Wait()
				}
				fetch()
				<-time.After(2 * time.Minute)
				loads, answer = 0, refused
				for range 100 { // for 10 s
					fetch()
					<-time.After(100 * time.Millisecond)
				}
				require.Equal(t, 4, loads, "one, and one after each pause of 3 s")
				<-time.After(3 * time.Second)
				loads, answer = 0, cache.Loaded[reusing]{Value: writable}
				fetch()
				fetch()
				require.Equal(t, 1, loads, "kept again")
			})
		})
	}
}

// A value that the source confirms keeps its tags, and its next load is shown them.
func TestNotModifiedKeepsTags(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil).run(t)
		c := numbers(p, &cache.Policy{TTL: time.Minute, StaleIfError: time.Hour, Jitter: -1})
		var shown []string
		answer := cache.Loaded[int64]{Value: 1, Tags: []string{"a", "b"}}
		var err error
		load := func(_ context.Context, _ string, prev cache.Loaded[int64]) (cache.Loaded[int64], error) {
			shown = prev.Tags
			return answer, err
		}
		fetch := func() {
			t.Helper()
			v, err := c.FetchWith(t.Context(), "k", load)
			require.NoError(t, err)
			require.EqualValues(t, 1, v)
		}
		next := func(tags ...string) {
			t.Helper()
			<-time.After(2 * time.Minute)
			answer, err = cache.Loaded[int64]{Tags: tags}, cache.ErrNotModified
			fetch()
		}
		fetch()
		next()
		next()
		require.Equal(t, []string{"a", "b"}, shown)
		next("c")
		next()
		require.Equal(t, []string{"c"}, shown, "the source may name others")
		require.NoError(t, p.InvalidateTags(t.Context(), "a"))
		_, ok, err := c.Peek(t.Context(), "k")
		require.NoError(t, err)
		require.True(t, ok)
		require.NoError(t, p.InvalidateTags(t.Context(), "c"))
		_, ok, err = c.Peek(t.Context(), "k")
		require.NoError(t, err)
		require.False(t, ok)
	})
}

// An invalidation that the store did not confirm binds this process for tags of loads as well:
// it serves nothing that carries them, from nowhere, and stores nothing.
func TestPendingInvalidationOfALoadsTag(t *testing.T) {
	for name, policy := range map[string]*cache.Policy{"memory": minute, "store": {TTL: time.Minute, Jitter: -1, NoLocal: true}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				base := cachetest.New(t)
				p := start(t, base.Node(), nil).run(t)
				c, there := numbers(p, policy), numbers(start(t, base.Node(), nil), policy)
				var failing atomic.Bool
				failing.Store(true)
				p.store.Intercept(func(op string) error {
					if failing.Load() && op == "invalidate" {
						return errBoom
					}
					return nil
				})
				var src source
				with(t, c, &src, "a")
				with(t, c, &src, "a")
				src.version.Store(1)
				require.ErrorIs(t, p.InvalidateTags(t.Context(), "a"), errBoom)
				for range 3 {
					require.EqualValues(t, 1, with(t, c, &src, "a"))
				}
				require.EqualValues(t, 4, src.loads.Load(), "nothing is kept until it is confirmed")
				_, ok, err := c.Peek(t.Context(), "k")
				require.NoError(t, err)
				require.False(t, ok)
				many, err := c.FetchMany(t.Context(), []string{"k"}, func(context.Context, []string) (map[string]int64, error) {
					return map[string]int64{"k": 1}, nil
				})
				require.NoError(t, err)
				require.EqualValues(t, 1, many["k"])
				require.EqualValues(t, 0, with(t, there, &src, "a"), "the store does not know yet")

				failing.Store(false)
				<-time.After(2 * time.Second)
				loads := src.loads.Load()
				for range 3 {
					require.EqualValues(t, 1, with(t, c, &src, "a"))
				}
				require.EqualValues(t, loads+1, src.loads.Load(), "kept again")
				require.EqualValues(t, 1, with(t, there, &src, "a"))
			})
		})
	}
}

// The tags that loads name are of the tenant, like all others.
func TestTagsOfLoadsAreOfTheTenant(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type tenantKey struct{}
		p := start(t, cachetest.New(t), &cache.Options{Tenant: func(ctx context.Context) (string, bool) {
			id, ok := ctx.Value(tenantKey{}).(string)
			return id, ok
		}}).run(t)
		c := numbers(p, minute)
		shared := cache.Define[string, int64](p.Shared(), "shared", minute)
		one, two := context.WithValue(t.Context(), tenantKey{}, "1"), context.WithValue(t.Context(), tenantKey{}, "2")
		var src source
		read := func() (values [3]int64) {
			t.Helper()
			for i, f := range []func() (int64, error){
				func() (int64, error) { return c.FetchWith(one, "k", src.tagging("a")) },
				func() (int64, error) { return c.FetchWith(two, "k", src.tagging("a")) },
				func() (int64, error) { return shared.FetchWith(one, "k", src.tagging("a")) },
			} {
				v, err := f()
				require.NoError(t, err)
				values[i] = v
			}
			return values
		}
		read()
		src.version.Store(1)
		require.NoError(t, p.InvalidateTags(one, "a"))
		require.Equal(t, [3]int64{1, 0, 0}, read())
		src.version.Store(2)
		require.NoError(t, p.InvalidateTags(two, "a"))
		require.Equal(t, [3]int64{1, 2, 0}, read())
		src.version.Store(3)
		require.NoError(t, p.Shared().InvalidateTags(one, "a"))
		require.Equal(t, [3]int64{1, 2, 3}, read())
	})
}

// The second look can fail where the first did not.
func TestTheSecondLookFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, cachetest.New(t), nil)
		c := numbers(p, minute)
		var src source
		with(t, c, &src, "a")
		reads := 0
		p.store.Intercept(func(op string) error {
			if op != "acquire" {
				return nil
			}
			if reads++; reads%2 == 0 {
				return errBoom
			}
			return nil
		})
		src.version.Store(1)
		require.EqualValues(t, 1, with(t, c, &src, "a"), "what may be invalid was served")
		p.store.Intercept(nil)
		require.EqualValues(t, 0, with(t, c, &src, "a"), "nobody has invalidated it")
	})
}

// A unit's load may read what is not committed; those who wait for it are not in the unit.
func TestALoadInAUnitIsForNobodyElse(t *testing.T) {
	for name, c := range map[string]struct {
		read   int64 // of the store, at which the unit waits until the other has joined; 0 for the load
		fail   bool  // and which fails
		filled bool  // and before which another process fills the entry
	}{
		"joined while it loads":                 {},
		"joined before it loads":                {read: 2},
		"joined before it loads without store":  {read: 1, fail: true},
		"joined, and found what it has changed": {read: 2, filled: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				base := cachetest.New(t)
				p := start(t, base.Node(), &cache.Options{Hooks: cachetest.Hooks{}})
				here, there := numbers(p, minute), numbers(start(t, base.Node(), nil), minute)
				var src source
				began, release, other := make(chan struct{}), make(chan struct{}), make(chan int64, 1)
				pause := sync.OnceFunc(func() { close(began); <-release })
				var reads atomic.Int64
				p.store.Intercept(func(op string) error {
					if op == "acquire" && reads.Add(1) == c.read {
						pause()
						if c.fail {
							return errBoom
						}
					}
					return nil
				})
				go func() {
					<-began
					go func() { other <- with(t, here, &src, "a") }() // joins
					synctest.Wait()
					if c.filled {
						with(t, there, &src, "a")
					}
					close(release)
				}()
				rollback := errors.New("rollback")
				require.ErrorIs(t, cachetest.Hooks{}.Do(t.Context(), func(ctx context.Context) error {
					require.NoError(t, p.OnCommit(ctx, cache.Tag("a")))
					v, err := here.FetchWith(ctx, "k", func(context.Context, string, cache.Loaded[int64]) (cache.Loaded[int64], error) {
						if c.read == 0 {
							pause()
						}
						return cache.Loaded[int64]{Value: 7, Tags: []string{"a"}}, nil
					})
					require.NoError(t, err)
					require.EqualValues(t, 7, v)
					return rollback
				}, nil), rollback)
				require.EqualValues(t, 0, <-other, "the other got what was rolled back")
				require.EqualValues(t, 0, with(t, here, &src, "a"))
				require.EqualValues(t, 0, with(t, there, &src, "a"))
			})
		})
	}
}

// An answer of the second look that comes late finds memory moved on.
func TestMemoryAndASecondLookFromBeforeAnInvalidation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base := cachetest.New(t)
		node := base.Node()
		store := &delaying{node, make(chan struct{}, 1), make(chan struct{}), make(chan struct{})}
		h, err := cache.New(store, nil)
		require.NoError(t, err)
		p := (&process{Hub: h, store: node}).run(t)
		c, there := numbers(p, minute), numbers(start(t, base.Node(), nil), minute)
		var src source
		with(t, there, &src, "a")
		node.DropEvents(true) // memory must not depend on its own messages
		first := make(chan int64, 1)
		seen := 0
		node.Intercept(func(op string) error {
			if op == "acquire" {
				if seen++; seen == 2 {
					store.reads <- struct{}{}
				}
			}
			return nil
		})
		go func() { first <- with(t, c, &src, "a") }()
		<-store.read
		src.version.Store(1)
		require.NoError(t, p.InvalidateTags(t.Context(), "a"))
		close(store.release)
		require.EqualValues(t, 0, <-first, "it began before")
		require.EqualValues(t, 1, with(t, c, &src, "a"), "from memory")
	})
}
