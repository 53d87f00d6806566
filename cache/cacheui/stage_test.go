package cacheui_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
	"github.com/ashlar-go/ashlar/cache/cacheui"
)

var quiet = slog.New(slog.DiscardHandler)

// stage is a page in front of a hub to which everything happens that the page can show.
type stage struct {
	*testing.T
	hub   *cache.Hub
	store *cachetest.Store
	ui    http.Handler
	url   string
	asked atomic.Int64 // how often the page was
	loads atomic.Int64
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{T: t, store: cachetest.New(t)}
	var err error
	s.hub, err = cache.New(s.store, &cache.Options{Logger: quiet})
	require.NoError(t, err)
	s.ui, err = cacheui.New(s.hub, &cacheui.Options{Title: "web-1 in Frankfurt"})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/ops/cache/", http.StripPrefix("/ops/cache", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			s.asked.Add(1)
		}
		s.ui.ServeHTTP(w, r)
	})))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	s.url = srv.URL + "/ops/cache/"
	return s
}

// run starts Run and waits until values in memory are trusted.
func (s *stage) run() {
	s.Helper()
	ctx, stop := context.WithCancel(s.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.hub.Run(ctx) }()
	s.Cleanup(func() {
		stop()
		require.NoError(s, <-ended)
	})
	require.Eventually(s, func() bool { return s.hub.Stats().Coherent }, time.Minute, time.Millisecond)
}

// work makes every figure of the page but Around and Early other than zero.
func (s *stage) work() {
	s.Helper()
	users := cache.Define[int, string](s.hub, "users", &cache.Policy{TTL: time.Hour}).TagBy(func(int) []string { return []string{"org"} })
	prices := cache.Define[int, int](s.hub, "catalogue.prices-by-region", &cache.Policy{TTL: time.Millisecond, Stale: time.Hour, Jitter: -1, NoLocal: true})
	reports := cache.Define[int, int](s.hub, "reports", &cache.Policy{TTL: time.Hour, MaxLoads: 1, NoLocal: true})
	cache.Define[int, string](s.hub, "unused", &cache.Policy{TTL: time.Minute})
	name := func(_ context.Context, id int) (string, error) { return fmt.Sprint("user ", id), nil }
	for i := range 12_000 {
		_, err := users.Fetch(s.Context(), i%400, name)
		require.NoError(s, err)
	}
	_, err := users.Fetch(s.Context(), 1000, func(ctx context.Context, _ int) (string, error) { // overtaken by an invalidation
		return "", s.hub.InvalidateTags(ctx, "org")
	})
	require.NoError(s, err)
	price := func(context.Context, int) (int, error) { return 1, nil }
	require.Eventually(s, func() bool { // what is there gets stale
		_, err := prices.Fetch(s.Context(), 0, price)
		return err != nil || s.counted(func(c *cache.CacheStats) int64 { return c.Stale })
	}, time.Minute, time.Millisecond)
	for i := range 900 {
		_, err := prices.Fetch(s.Context(), i%3, price)
		require.NoError(s, err)
	}
	_, err = prices.Fetch(s.Context(), 99, func(context.Context, int) (int, error) { return 0, errors.New("the supplier does not answer") })
	require.Error(s, err)
	for range 300 {
		_, _, _, err := s.hub.GetOrLoad(s.Context(), "GET /status", time.Hour, 0, nil, func(context.Context) ([]byte, error) { return []byte("up"), nil })
		require.NoError(s, err)
	}
	for n := 0; !s.counted(func(c *cache.CacheStats) int64 { return c.Collapsed }); n++ {
		require.Less(s, n, 100_000, "nobody came in time to share a load")
		s.share(reports)
	}
}

// counted reports whether a cache has counted some.
func (s *stage) counted(figure func(*cache.CacheStats) int64) bool {
	return slices.ContainsFunc(s.hub.Stats().Caches, func(c cache.CacheStats) bool { return figure(&c) > 0 })
}

// share has one caller load while another is refused a turn, and a third shares the load, if it
// comes in time.
func (s *stage) share(reports *cache.Cache[int, int]) {
	s.Helper()
	key := int(s.loads.Add(2))
	began, release := make(chan struct{}), make(chan struct{})
	var callers sync.WaitGroup
	fetch := func(load func(context.Context, int) (int, error)) {
		callers.Go(func() {
			if _, err := reports.Fetch(s.Context(), key, load); err != nil {
				s.Errorf("a report: %v", err)
			}
		})
	}
	fetch(func(context.Context, int) (int, error) {
		close(began)
		<-release
		return 1, nil
	})
	<-began
	fetch(func(context.Context, int) (int, error) { return 0, errors.New("there was a value to share") })
	_, err := reports.Fetch(s.Context(), key+1, func(context.Context, int) (int, error) { return 2, nil })
	require.ErrorIs(s, err, cache.ErrLoadShed)
	close(release)
	callers.Wait()
}

// fail takes the store away, with an invalidation that it did not confirm.
func (s *stage) fail() {
	s.Helper()
	s.store.Down(true)
	require.Error(s, s.hub.InvalidateTags(s.Context(), "org"))
	for i := range 40 {
		_, _, _, err := s.hub.GetOrLoad(s.Context(), fmt.Sprint("GET /", i), time.Hour, 0, nil, func(context.Context) ([]byte, error) { return nil, nil })
		require.NoError(s, err)
	}
}
