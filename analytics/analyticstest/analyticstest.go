package analyticstest

import (
	"context"
	"testing"
	"time"

	"github.com/ashlar-go/ashlar/analytics"
)

// New returns an Analytics over a new in-memory store, closed when the test ends. nil opts means the defaults; without
// opts.Dir nothing touches the disk.
func New(t testing.TB, opts *analytics.Options) (*analytics.Analytics, *Store) {
	t.Helper()
	store := NewStore()
	a, err := analytics.New(store, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a, store
}

// Tracked delivers what was tracked so far and returns the properties of all stored events of one kind, of all tenants,
// in order of arrival. It fails the test when the store is down for longer than ten seconds, which pass at once in
// a synctest bubble.
func Tracked[T any](t testing.TB, a *analytics.Analytics, s *Store, e analytics.Event[T]) []T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	var out []T
	for _, r := range s.Records() {
		if r.Name != e.Name() {
			continue
		}
		v, err := e.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}
