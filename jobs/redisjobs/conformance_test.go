package redisjobs_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

func open(t testing.TB, rdb redis.UniversalClient) *redisjobs.Driver {
	t.Helper()
	d, err := redisjobs.New(rdb, nil)
	require.NoError(t, err)
	return d
}

func TestConformance(t *testing.T) {
	t.Parallel()
	jobstest.Run(t, func(t testing.TB) driver.Driver { return open(t, testenv.Redis(t)) }, jobstest.Features{})
}

// miniredis has neither script flags nor CLIENT UNBLOCK: the driver must do
// without, since demos run on it. Its scripts run in Go, under the race detector
// many times slower than in a server.
func TestConformanceMiniredis(t *testing.T) {
	t.Parallel()
	jobstest.Run(t, func(t testing.TB) driver.Driver {
		server := miniredis.RunT(t)
		rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), ReadTimeout: 30 * time.Second})
		t.Cleanup(func() { require.NoError(t, rdb.Close()) })
		return open(t, rdb)
	}, jobstest.Features{})
}

func TestWalks(t *testing.T) {
	t.Parallel()
	jobstest.RunWalks(t, func(t testing.TB) driver.Driver { return open(t, testenv.Redis(t)) }, jobstest.Features{}, testenv.Rounds(8, 600))
}
