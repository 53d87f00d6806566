package tenancy_test

import (
	"net/url"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
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
