package cache_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// bubble runs a test with virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// process is one simulated process: a connection to the store and a hub on it.
type process struct {
	*cache.Hub
	store *cachetest.Store
	calls sync.Map // op → *atomic.Int64
	seen  *seams
}

// seams records what the hub reports.
type seams struct {
	mu      sync.Mutex
	errors  []error
	metrics map[string]float64
}

func (s *seams) Report(_ context.Context, err error, _ []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors = append(s.errors, err)
}

func (s *seams) Add(_ context.Context, name string, n float64, _ ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metrics[name] += n
}

func (s *seams) reported() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]error{}, s.errors...)
}

func (s *seams) metric(name string) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.metrics[name]
}

func start(t *testing.T, node *cachetest.Store, opts *cache.Options) *process {
	t.Helper()
	p := &process{store: node, seen: &seams{metrics: map[string]float64{}}}
	node.Intercept(func(op string) error {
		n, _ := p.calls.LoadOrStore(op, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		return nil
	})
	if opts == nil {
		opts = &cache.Options{}
	}
	o := *opts
	o.Errors, o.Metrics = p.seen, p.seen
	h, err := cache.New(node, &o)
	require.NoError(t, err)
	p.Hub = h
	return p
}

// run starts Run and waits until the local level is on.
func (p *process) run(t *testing.T) *process {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	synctest.Wait()
	return p
}

func (p *process) count(op string) int64 {
	n, _ := p.calls.LoadOrStore(op, new(atomic.Int64))
	return n.(*atomic.Int64).Load()
}

// missed is how often a Fetch asks the store that finds nothing there: a look, and for the lease.
const missed = 2

// source is data with a version; loads counts how often it was read.
type source struct {
	version atomic.Int64
	loads   atomic.Int64
}

func (s *source) load(context.Context, string) (int64, error) {
	s.loads.Add(1)
	return s.version.Load(), nil
}

func numbers(p *process, policy *cache.Policy) *cache.Cache[string, int64] {
	return cache.Define[string, int64](p.Hub, "numbers", policy)
}

func get(t *testing.T, c *cache.Cache[string, int64], key string, s *source) int64 {
	t.Helper()
	v, err := c.Fetch(t.Context(), key, s.load)
	require.NoError(t, err)
	return v
}

var minute = &cache.Policy{TTL: time.Minute, Jitter: -1}

func never(context.Context, string) (int64, error) {
	return 0, fmt.Errorf("this must not be loaded")
}

var quiet = slog.New(slog.DiscardHandler)
