package web_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
	"github.com/ashlar-go/ashlar/cache/rediscache"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// TestHubIsACacheForReadEndpoints runs httpx's suite for caches on the cache
// block's hub: neither knows the other, so this is the place.
func TestHubIsACacheForReadEndpoints(t *testing.T) {
	t.Parallel()
	stores := map[string]func(*testing.T) cache.Store{
		"memory": func(t *testing.T) cache.Store { return cachetest.New(t) },
		"redis": func(t *testing.T) cache.Store {
			store, err := rediscache.New(testenv.Redis(t), nil)
			require.NoError(t, err)
			return store
		},
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			httpxtest.RunCache(t, func(t *testing.T) httpxtest.Shared {
				hub, err := cache.New(open(t), &cache.Options{Tenant: tenancy.IDFrom})
				require.NoError(t, err)
				return hub
			}, httpxtest.Features{WithTenant: tenancy.WithID, Unit: 200 * time.Millisecond})
		})
	}
}
