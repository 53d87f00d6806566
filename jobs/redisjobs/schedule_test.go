package redisjobs_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
)

func TestFiveSchedulersFireEachTickOnce(t *testing.T) {
	t.Parallel()
	rdb := testenv.Redis(t)
	var mu sync.Mutex
	lateness := map[int64][]time.Duration{}
	scheduler := func() func() error {
		// With the lease of 15 s no worker dies here: each run is a tick fired.
		q, err := queue(rdb, &jobs.Options{Logger: quiet})
		require.NoError(t, err)
		jobs.Handle(q, func(ctx context.Context, _ Count) error {
			info, _ := jobs.InfoFrom(ctx)
			_, text, _ := strings.Cut(info.ID, "@")
			tick, err := strconv.ParseInt(text, 10, 64)
			mu.Lock()
			defer mu.Unlock()
			lateness[tick] = append(lateness[tick], time.Since(time.Unix(tick, 0)))
			return err
		})
		require.NoError(t, q.Cron("second", "@every 1s", Count{}, &jobs.CronOptions{CatchUp: jobs.CatchUpAll}))
		return start(t, q)
	}
	var stops []func() error
	for range 5 {
		stops = append(stops, scheduler())
	}
	rounds := testenv.Rounds(5, 60)
	for n := range rounds {
		// Schedulers come and go.
		<-time.After(time.Second)
		require.NoError(t, stops[n%5]())
		stops[n%5] = scheduler()
	}
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(lateness) >= rounds
	}, time.Minute, 10*time.Millisecond)
	for _, stop := range stops {
		require.NoError(t, stop())
	}
	first, last := int64(1<<62), int64(0)
	for tick, runs := range lateness {
		require.Len(t, runs, 1, "tick %d", tick)
		require.Positive(t, runs[0], "tick %d is early", tick)
		first, last = min(first, tick), max(last, tick)
	}
	require.Len(t, lateness, int(last-first)+1, "no tick is missing in between")
}

func TestIdleQueueIsQuietAndQuick(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t)
	rdb := server.Client()
	q, err := queue(rdb, &jobs.Options{Logger: quiet})
	require.NoError(t, err)
	picked := make(chan time.Time, 1)
	jobs.Handle(q, func(context.Context, Count) error {
		picked <- time.Now()
		return nil
	})
	stop := start(t, q)
	producer, err := queue(server.Client(), nil)
	require.NoError(t, err)

	var waits []time.Duration
	for range 20 {
		began := time.Now()
		_, err := producer.Enqueue(t.Context(), Count{}, nil)
		require.NoError(t, err)
		waits = append(waits, (<-picked).Sub(began))
	}
	quick := 0
	for _, w := range waits {
		if w < 500*time.Millisecond {
			quick++
		}
	}
	require.GreaterOrEqual(t, quick, 15, "a poll would take about a second: %v", waits)

	empty(t, q, time.Minute)
	began, before := time.Now(), commands(t, rdb)
	<-time.After(4 * time.Second)
	perSecond := float64(commands(t, rdb)-before) / time.Since(began).Seconds()
	require.LessOrEqual(t, perSecond, 3.0)
	require.Positive(t, perSecond)
	require.NoError(t, stop())
}

// commands counts what clients sent; what scripts call is not in it.
func commands(t testing.TB, rdb *redis.Client) int64 {
	t.Helper()
	info, err := rdb.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	var total int64
	for line := range strings.Lines(info) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), ":calls=")
		if name == "cmdstat_evalsha" || name == "cmdstat_blpop" || name == "cmdstat_eval" || name == "cmdstat_client|id" {
			count, _, _ := strings.Cut(rest, ",")
			n, err := strconv.ParseInt(count, 10, 64)
			require.NoError(t, err)
			total += n
		}
	}
	return total
}
