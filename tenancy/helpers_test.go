package tenancy_test

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// addrOf returns the host:port or the socket of a connection URL.
func addrOf(t *testing.T, target string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(target)
	require.NoError(t, err)
	if cfg.Host[0] == '/' {
		return cfg.Host + "/.s.PGSQL." + strconv.Itoa(int(cfg.Port))
	}
	u := url.URL{Host: cfg.Host + ":" + strconv.Itoa(int(cfg.Port))}
	return u.Host
}

func portOf(t *testing.T, text string) uint16 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 16)
	require.NoError(t, err)
	return uint16(n)
}

// counter counts metrics.
type counter struct {
	mu sync.Mutex
	n  map[string]float64
}

func (c *counter) Add(_ context.Context, name string, n float64, _ ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]float64{}
	}
	c.n[name] += n
}

func (c *counter) get(name string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

// dialing returns a pool whose first connection goes to the first socket, the second to the second and so on, and the
// number of dials.
func dialing(t *testing.T, target string, sockets ...string) (*pgxpool.Pool, *atomic.Int64) {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(target)
	require.NoError(t, err)
	var dials atomic.Int64
	cfg.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		n := int(dials.Add(1))
		return new(net.Dialer).DialContext(ctx, "unix", sockets[min(n, len(sockets))-1])
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool, &dials
}
