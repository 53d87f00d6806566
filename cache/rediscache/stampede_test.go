package rediscache_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/rediscache"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

const (
	stampedeCallers = 3000            // of each of attackProcesses processes
	stampedeLease   = 3 * time.Second // where a loader dies; elsewhere longer than any machine lets one wait
)

// stampede is what the load of the one cold key does once all callers have come.
type stampede string

const (
	loading stampede = "loading"
	failing stampede = "failing"
	dying   stampede = "dying" // the first loader's process is killed
	apart   stampede = "apart" // a planted fault: each process has a store of its own
)

// crowd is what the processes of a stampede agree on.
type crowd struct {
	ready, begin, came atomic.Int64
	loads              atomic.Int64
	died               atomic.Int64 // when, in nanoseconds
	last               atomic.Int64 // when the last caller had its answer
	answers, failures  atomic.Int64
	others             atomic.Int64 // answers that are neither the value nor the load's error
}

var errSource = errors.New("the source fails")

// join is one process of a stampede.
func (o *order) join() error {
	g, err := mapGround(o.Ground)
	if err != nil {
		return err
	}
	c, kind := &g.crowd, stampede(o.Stampede)
	prefix := "stampede"
	if kind == apart {
		prefix += string(rune('a' + o.Process))
	}
	lease := time.Minute
	if kind == dying {
		lease = stampedeLease
	}
	store, err := rediscache.New(o.client(), &rediscache.Options{Prefix: prefix})
	if err != nil {
		return err
	}
	hub, err := cache.New(store, &cache.Options{Lease: lease, StoreTimeout: 20 * time.Second, Logger: quiet})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(ctx) }()
	parent := os.Getppid()
	until := func(ok func() bool) {
		for !ok() && os.Getppid() == parent {
			<-time.After(time.Millisecond)
		}
	}
	values := cache.Define[string, int64](hub, "values", &cache.Policy{TTL: time.Hour, LoadTimeout: time.Minute})
	load := func(context.Context, string) (int64, error) {
		first := c.loads.Add(1) == 1
		until(func() bool { return c.came.Load() == attackProcesses*stampedeCallers })
		switch {
		case kind == failing:
			return 0, errSource
		case kind == dying && first:
			c.died.Store(time.Now().UnixNano())
			return 0, syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return 7, nil
	}
	c.ready.Add(1)
	until(func() bool { return c.begin.Load() == 1 })
	var wg sync.WaitGroup
	for range stampedeCallers {
		wg.Go(func() {
			c.came.Add(1)
			switch v, err := values.Fetch(ctx, "k", load); {
			case err == nil && v == 7:
				c.answers.Add(1)
			case errors.Is(err, errSource):
				c.failures.Add(1)
			default:
				c.others.Add(1)
			}
			c.last.Store(time.Now().UnixNano())
		})
	}
	wg.Wait()
	stop()
	return <-ended
}

// trample lets the processes of a stampede run to their end.
func trample(t *testing.T, kind stampede) (*crowd, string) {
	t.Helper()
	attacking.Lock()
	defer attacking.Unlock()
	addr := testenv.RedisServer(t).Addr
	path, g := newGround(t)
	errs := make([]error, attackProcesses)
	var wg sync.WaitGroup
	for i := range attackProcesses {
		text, err := json.Marshal(order{Process: i, Processes: attackProcesses, Ground: path, Redis: []string{addr}, Stampede: string(kind)})
		require.NoError(t, err)
		wg.Go(func() { _, errs[i] = runAttacker(string(text)) })
	}
	eventually(t, "all processes", func() bool { return g.crowd.ready.Load() == attackProcesses })
	begin := time.Now()
	g.crowd.begin.Store(1)
	wg.Wait()
	killed := 0
	for _, err := range errs {
		if err != nil {
			require.ErrorContains(t, err, "signal: killed")
			killed++
		}
	}
	want := 0
	if kind == dying {
		want = 1
	}
	require.Equal(t, want, killed, "processes killed")
	c := &g.crowd
	t.Logf("%s: %d processes of %d callers: %d loads; %d got the value, %d the error; all over after %v",
		kind, attackProcesses, stampedeCallers, c.loads.Load(), c.answers.Load(), c.failures.Load(), time.Since(begin).Round(time.Millisecond))
	require.Zero(t, c.others.Load())
	return c, addr
}

func TestStampede(t *testing.T) {
	t.Parallel()
	t.Run("one load", func(t *testing.T) {
		c, _ := trample(t, loading)
		require.EqualValues(t, 1, c.loads.Load())
		require.EqualValues(t, attackProcesses*stampedeCallers, c.answers.Load())
	})
	t.Run("a failing load", func(t *testing.T) {
		c, addr := trample(t, failing)
		// One for all that wait in a process, and one for those who were held up on their last step to it.
		require.LessOrEqual(t, c.loads.Load(), int64(2*attackProcesses))
		require.EqualValues(t, attackProcesses*stampedeCallers, c.failures.Load())
		rdb := client(t, addr)
		require.Zero(t, rdb.Exists(t.Context(), "stampede:e:{values::k}").Val(), "a lease is left behind")
	})
	t.Run("a dying loader", func(t *testing.T) {
		c, _ := trample(t, dying)
		require.EqualValues(t, 2, c.loads.Load())
		require.EqualValues(t, (attackProcesses-1)*stampedeCallers, c.answers.Load())
		took := time.Duration(c.last.Load() - c.died.Load())
		t.Logf("the last answer came %v after the loader died", took.Round(time.Millisecond))
		require.Less(t, took, stampedeLease+2*time.Second, "its lease, and the time to look on a busy machine")
	})
	t.Run("a planted fault", func(t *testing.T) {
		c, _ := trample(t, apart)
		require.EqualValues(t, attackProcesses, c.loads.Load(), "a stampede that this survives proves nothing")
	})
}
