package cache_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// hand is a unit of work that the test moves by hand.
type hand struct {
	before               []func(context.Context) error
	onCommit, onRollback []func(context.Context)
}

func (u *hand) BeforeCommit(_ context.Context, fn func(context.Context) error) bool {
	u.before = append(u.before, fn)
	return true
}

func (u *hand) OnCommit(_ context.Context, fn func(context.Context)) bool {
	u.onCommit = append(u.onCommit, fn)
	return true
}

func (u *hand) OnRollback(_ context.Context, fn func(context.Context)) bool {
	u.onRollback = append(u.onRollback, fn)
	return true
}

// prepare runs the hooks before the commit, also those that hooks register.
func (u *hand) prepare(ctx context.Context) error {
	for len(u.before) > 0 {
		hooks := u.before
		u.before = nil
		for _, hook := range hooks {
			if err := hook(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *hand) end(ctx context.Context, hooks []func(context.Context)) {
	for _, hook := range hooks {
		hook(ctx)
	}
}

// The outcome of a commit that was lost with its connection: it may have happened.
func TestACommitOfWhichNothingIsHeard(t *testing.T) {
	for name, hold := range map[string]bool{"OnCommit": false, "Hold": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				base, u := cachetest.New(t), &hand{}
				a, b := start(t, base.Node(), &cache.Options{Hooks: u}).run(t), start(t, base.Node(), nil)
				ca, cb := numbers(a, minute), numbers(b, minute)
				bind := a.OnCommit
				if hold {
					bind = a.Hold
				}
				var src source
				get(t, cb, "k", &src)
				require.NoError(t, bind(t.Context(), ca.Key("k")))
				require.NoError(t, u.prepare(t.Context()))
				src.version.Store(1)
				<-time.After(12 * time.Second) // HoldTTL and a beat
				require.EqualValues(t, 1, get(t, cb, "k", &src))
				require.EqualValues(t, 1, get(t, ca, "k", &src))
				loads := src.loads.Load()
				get(t, ca, "k", &src)
				require.Equal(t, loads, src.loads.Load(), "units read it from the cache again")
			})
		})
	}
}

// Slow hooks of others, after ours, do not use up the hold.
func TestTheHoldIsFreshAtTheCommit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base, u := cachetest.New(t), &hand{}
		a, b := start(t, base.Node(), &cache.Options{Hooks: u}), start(t, base.Node(), nil)
		ca, cb := numbers(a, minute), numbers(b, minute)
		var src source
		require.NoError(t, a.Hold(t.Context(), ca.Key("k")))
		u.BeforeCommit(t.Context(), func(context.Context) error {
			<-time.After(30 * time.Second)
			get(t, cb, "k", &src) // stored, for the first hold has ended
			return nil
		})
		require.NoError(t, u.prepare(t.Context()))
		require.EqualValues(t, 2, a.count("hold"))
		<-time.After(9 * time.Second) // of a slow commit
		src.version.Store(1)
		require.EqualValues(t, 1, get(t, cb, "k", &src))
		u.end(t.Context(), u.onCommit)
		require.Empty(t, a.seen.reported())
		require.EqualValues(t, 1, get(t, cb, "k", &src))
	})
}

func TestACommitLongerThanItsHoldIsReported(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base, u := cachetest.New(t), &hand{}
		a, b := start(t, base.Node(), &cache.Options{Hooks: u, HoldTTL: time.Second}), start(t, base.Node(), nil)
		ca, cb := numbers(a, minute), numbers(b, minute)
		var src source
		require.NoError(t, a.Hold(t.Context(), ca.Key("k")))
		require.NoError(t, u.prepare(t.Context()))
		<-time.After(2 * time.Second)
		get(t, cb, "k", &src)
		src.version.Store(1)
		u.end(t.Context(), u.onCommit)
		require.Len(t, a.seen.reported(), 1)
		require.ErrorContains(t, a.seen.reported()[0], "longer than a hold of 1s")
		require.EqualValues(t, 1, get(t, cb, "k", &src), "it ends as OnCommit does")
	})
}

// A unit whose hold fails must not commit; one without a hold may, and is told by a report.
func TestCommitsWhileTheStoreIsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base, u := cachetest.New(t), &hand{}
		a, b := start(t, base.Node(), &cache.Options{Hooks: u}).run(t), start(t, base.Node(), nil)
		ca, cb := numbers(a, minute), numbers(b, minute)
		var src source
		get(t, cb, "k", &src)
		a.store.Down(true)
		require.NoError(t, a.Hold(t.Context(), ca.Key("k")))
		require.ErrorIs(t, u.prepare(t.Context()), cachetest.ErrDown)
		u.end(t.Context(), u.onRollback)

		*u = hand{}
		require.NoError(t, a.OnCommit(t.Context(), ca.Key("k")))
		require.NoError(t, u.prepare(t.Context()))
		src.version.Store(1)
		u.end(t.Context(), u.onCommit)
		reports := a.seen.reported()
		require.ErrorIs(t, reports[len(reports)-1], cachetest.ErrDown)
		require.EqualValues(t, 1, get(t, ca, "k", &src), "the process that committed obeys all the same")
		a.store.Down(false)
		<-time.After(10 * time.Second)
		require.EqualValues(t, 1, get(t, cb, "k", &src), "the retry reached the others")
	})
}
