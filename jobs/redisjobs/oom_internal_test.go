package redisjobs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Without its flag the exchange is refused by a full server and the queue would
// never drain: TestFullRedisDrains would not pass by accident.
func TestFullRedisRefusesAnUnflaggedExchange(t *testing.T) {
	t.Parallel()
	rdb := testenv.RedisServer(t).Client()
	d, err := New(rdb, nil)
	require.NoError(t, err)
	_, err = d.Push(t.Context(), driver.Push{Jobs: []driver.Job{{ID: "a"}}})
	require.NoError(t, err)
	_, err = d.Beat(t.Context(), driver.Beat{Worker: "w", Lease: time.Minute, Join: true})
	require.NoError(t, err)
	batch, err := d.Exchange(t.Context(), driver.Exchange{Worker: "w", Seq: 1, Want: 1})
	require.NoError(t, err)
	require.Len(t, batch.Jobs, 1)
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory", "1").Err())

	// A failed job: the first thing written is one that takes memory.
	failed := driver.Exchange{Worker: "w", Seq: 2, Done: []driver.Outcome{{ID: "a", Action: driver.Retry, Delay: time.Hour, Error: "no"}}}
	plain, err := assemble("exchange", false)
	require.NoError(t, err)
	loaded := *d.scripts.Load()
	flagged := loaded["exchange"]
	loaded["exchange"] = newScript(plain)
	_, err = d.Exchange(t.Context(), failed)
	require.ErrorIs(t, err, driver.ErrFull)
	loaded["exchange"] = flagged
	_, err = d.Exchange(t.Context(), failed)
	require.NoError(t, err)
	stats, err := d.Stats(t.Context())
	require.NoError(t, err, "a full server can be looked at")
	require.Equal(t, driver.Stats{Scheduled: 1}, stats)
}
