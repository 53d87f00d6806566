package registry

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func keep(v *int) func(context.Context) (*int, time.Duration, error) {
	return func(context.Context) (*int, time.Duration, error) { return v, time.Hour, nil }
}

// TestInvalidationDuringALoad: what was loaded before an invalidation and arrives after it is not kept, and who asks in
// between does not get it.
func TestInvalidationDuringALoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLookups[int](10)
		ref := reference{"slug", "acme"}
		older, newer := 1, 2
		var wg sync.WaitGroup
		wg.Go(func() {
			v, err := l.fetch(t.Context(), ref, func(context.Context) (*int, time.Duration, error) {
				<-time.After(2 * time.Second)
				return &older, time.Hour, nil
			})
			if err != nil || v != &older {
				t.Error("who asked before gets what was true before", v, err)
			}
		})
		<-time.After(time.Second)
		l.drop(func(reference, *int) bool { return true })
		v, err := l.fetch(t.Context(), ref, func(context.Context) (*int, time.Duration, error) {
			<-time.After(3 * time.Second)
			return &newer, time.Hour, nil
		})
		require.NoError(t, err)
		require.Equal(t, &newer, v)
		wg.Wait()
		v, _, ok := l.get(ref, time.Now())
		require.True(t, ok)
		require.Equal(t, 2, *v)
		require.Empty(t, l.loading)
	})
}

func TestPanickingLoadFreesItsWaiters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLookups[int](10)
		ref := reference{"slug", "acme"}
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() { _ = recover() }()
			_, _ = l.fetch(t.Context(), ref, func(context.Context) (*int, time.Duration, error) {
				<-time.After(time.Second)
				panic("planned")
			})
		})
		synctest.Wait()
		_, err := l.fetch(t.Context(), ref, keep(nil))
		require.ErrorIs(t, err, errLoad)
		wg.Wait()
		one := 1
		v, err := l.fetch(t.Context(), ref, keep(&one))
		require.NoError(t, err)
		require.Equal(t, 1, *v)
	})
}

func TestRefusalsHaveTheirOwnRoom(t *testing.T) {
	t.Parallel()
	l := newLookups[int](4)
	one := 1
	refused := errors.New("refused")
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	for _, name := range names {
		_, err := l.fetch(t.Context(), reference{"slug", name}, keep(&one))
		require.NoError(t, err)
		_, err = l.fetch(t.Context(), reference{"domain", name}, func(context.Context) (*int, time.Duration, error) {
			return nil, time.Hour, refused
		})
		require.ErrorIs(t, err, refused)
	}
	require.Len(t, l.known, 4)
	require.Len(t, l.unknown, 4)
	_, err := l.fetch(t.Context(), reference{"slug", "k"}, func(context.Context) (*int, time.Duration, error) { return nil, 0, refused })
	require.ErrorIs(t, err, refused)
	_, _, ok := l.get(reference{"slug", "k"}, time.Now())
	require.False(t, ok, "what may not be kept is not kept")
}
