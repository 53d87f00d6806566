package redisjobs_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// blob is a job with a body of some size.
type blob struct{ Text string }

func (blob) Kind() string { return "blob" }

// steps are the calls of scripts since the last time: how many there were, and how
// long the server was busy with those of resolve and of match, which are known by
// the numbers of their keys, unless it was for less than half a millisecond.
type steps struct {
	calls          int
	resolve, match times
}

type times []time.Duration

func (t times) String() string {
	if len(t) == 0 {
		return "nothing"
	}
	slices.Sort(t)
	return fmt.Sprintf("median %s, p99 %s, longest %s", t[len(t)/2], t[len(t)*99/100], t[len(t)-1])
}

func newSteps(t *testing.T, rdb *redis.Client) (got steps) {
	t.Helper()
	ctx := t.Context()
	log, err := rdb.SlowLogGet(ctx, -1).Result()
	require.NoError(t, err)
	stats, err := rdb.Info(ctx, "commandstats").Result()
	require.NoError(t, err)
	require.NoError(t, rdb.Do(ctx, "SLOWLOG", "RESET").Err())
	require.NoError(t, rdb.ConfigResetStat(ctx).Err())
	for line := range strings.Lines(stats) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_evalsha:calls="); ok {
			n, _, _ := strings.Cut(rest, ",")
			got.calls, err = strconv.Atoi(n)
			require.NoError(t, err)
		}
	}
	for _, entry := range log {
		if strings.HasPrefix(strings.ToLower(entry.Args[0]), "eval") {
			switch entry.Args[2] {
			case "19":
				got.resolve = append(got.resolve, entry.Duration)
			case "8":
				got.match = append(got.match, entry.Duration)
			}
		}
	}
	return got
}

// A bulk operation does not keep the server from its workers for long, however
// large the jobs are. It prints how long.
func TestBulkOperationInSmallSteps(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t, "--slowlog-log-slower-than", "500", "--slowlog-max-len", "10000", "--appendonly", "no", "--save", "")
	rdb := server.Client()
	for _, c := range []struct{ n, size int }{
		{testenv.Rounds(2_000, 100_000), 200}, {testenv.Rounds(2_000, 100_000), 4 << 10}, {testenv.Rounds(500, 2_000), 250 << 10},
	} {
		d, err := redisjobs.New(rdb, &redisjobs.Options{Queue: fmt.Sprint("of", c.size)})
		require.NoError(t, err)
		q, err := jobs.New(d, nil)
		require.NoError(t, err)
		noise := make([]byte, c.size/2)
		for i := range noise {
			noise[i] = byte(rand.N(256))
		}
		args := blob{Text: fmt.Sprintf("%x", noise)}
		for left := c.n; left > 0; {
			items := make([]jobs.Item, min(left, 500, 16<<20/c.size))
			for i := range items {
				items[i] = jobs.Item{Args: args, Options: &jobs.EnqueueOptions{Delay: time.Hour}}
			}
			left -= len(items)
			_, err := q.EnqueueMany(t.Context(), items)
			require.NoError(t, err)
		}
		newSteps(t, rdb)
		for _, pass := range []struct {
			name string
			do   func() (jobs.Bulk, error)
		}{
			{"requeue", func() (jobs.Bulk, error) {
				return q.RequeueAll(t.Context(), jobs.Filter{State: jobs.Scheduled, Kind: "blob"}, nil)
			}},
			{"cancel", func() (jobs.Bulk, error) {
				return q.CancelAll(t.Context(), jobs.Filter{State: jobs.Ready, Kind: "blob"}, nil)
			}},
		} {
			began := time.Now()
			b, err := pass.do()
			require.NoError(t, err)
			require.Equal(t, jobs.Bulk{Found: c.n, Changed: c.n}, b)
			took, got := time.Since(began).Round(time.Millisecond), newSteps(t, rdb)
			t.Logf("%s of %d jobs of %d bytes took %s, in %d calls; resolve: %s; match: %s",
				pass.name, c.n, c.size, took, got.calls, got.resolve, got.match)
			// Match reads a mebibyte, and a body more, resolve half of it, of 150 jobs.
			bytes := c.n * c.size
			require.GreaterOrEqual(t, got.calls, bytes/(1<<20+c.size)+max(bytes/(1<<19+c.size), c.n/150))
		}
	}
}
