package ratelimit_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx/ratelimit"
)

// limiter makes one named "api" with the defaults.
func limiter(t *testing.T, store ratelimit.Store, limits ...ratelimit.Limit) *ratelimit.Limiter {
	t.Helper()
	return limiterWith(t, store, nil, limits...)
}

func limiterWith(t *testing.T, store ratelimit.Store, opts *ratelimit.Options, limits ...ratelimit.Limit) *ratelimit.Limiter {
	t.Helper()
	lim, err := ratelimit.New(store, "api", limits, opts)
	require.NoError(t, err)
	return lim
}

// counter is the metrics seam: how often each line of names and values came.
type counter struct {
	mu sync.Mutex
	n  map[string]float64
}

func (c *counter) Add(_ context.Context, name string, n float64, kv ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]float64{}
	}
	c.n[fmt.Sprint(name, " ", strings.Join(kv, " "))] += n
}

type tenantKey struct{}

func withTenant(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, tenantKey{}, id)
}

func tenantFrom(ctx context.Context) (string, bool) {
	id, ok := ctx.Value(tenantKey{}).(string)
	return id, ok
}
