package redisjobs_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
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

// busy is how long the server was with calls of a script.
type busy struct {
	calls              int
	median, p99, worst time.Duration
}

// scripts answers how long the server was busy since the last time, by script,
// which is known by the number of its keys.
func scripts(t *testing.T, rdb *redis.Client) map[string]busy {
	t.Helper()
	log, err := rdb.SlowLogGet(t.Context(), -1).Result()
	require.NoError(t, err)
	require.NoError(t, rdb.Do(t.Context(), "SLOWLOG", "RESET").Err())
	times := map[string][]time.Duration{}
	for _, entry := range log {
		if strings.HasPrefix(strings.ToLower(entry.Args[0]), "eval") {
			name := map[string]string{"19": "resolve", "8": "match"}[entry.Args[2]]
			times[name] = append(times[name], entry.Duration)
		}
	}
	all := map[string]busy{}
	for name, took := range times {
		slices.Sort(took)
		n := len(took)
		all[name] = busy{n, took[n/2], took[n*99/100], took[n-1]}
	}
	return all
}

// A bulk operation does not keep the server from its workers for long, however
// large the jobs are. It prints how long.
func TestBulkOperationInSmallSteps(t *testing.T) {
	t.Parallel()
	server := testenv.RedisServer(t, "--slowlog-log-slower-than", "0", "--slowlog-max-len", "100000", "--appendonly", "no", "--save", "")
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
		scripts(t, rdb)
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
			took, all := time.Since(began).Round(time.Millisecond), scripts(t, rdb)
			t.Logf("%s of %d jobs of %d bytes took %s: %+v", pass.name, c.n, c.size, took, all)
			for _, name := range []string{"match", "resolve"} {
				require.GreaterOrEqual(t, all[name].calls, c.n*c.size/(1<<20+2*c.size), "%s reads a mebibyte at once, and a body more", name)
			}
			require.GreaterOrEqual(t, all["resolve"].calls, c.n/150)
		}
	}
}
