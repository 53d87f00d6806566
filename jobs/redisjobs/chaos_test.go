package redisjobs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
)

// chaos is a Redis that keeps what it acknowledged, four worker processes whose
// clocks go wrong, producers, and limits. Workers are killed, frozen and cut
// off, Redis is killed. What it accepted, and what each process did, is written
// down and compared at the end.
type chaos struct {
	*testing.T
	mode  string
	dir   string
	redis *testenv.Server
	rdb   *redis.Client
	q     *jobs.Queue
	slots [4]*slot
	procs []*process
	down  []span
	mends sync.WaitGroup // of what is frozen or cut

	kills, restarts, freezes, cuts int

	mu       sync.Mutex
	accepted map[int]span
	next     int
}

// slot is the place of a worker process and its way to Redis.
type slot struct {
	proxy *testenv.TCPProxy
	drift int
	cmd   *exec.Cmd
	*process

	mu   sync.Mutex
	busy bool // it is frozen or cut off
}

func newChaos(t *testing.T, mode string) *chaos {
	t.Helper()
	c := &chaos{T: t, mode: mode, dir: t.TempDir(), redis: testenv.RedisServer(t), accepted: map[int]span{}}
	c.rdb = c.redis.Client()
	var err error
	c.q, err = queue(c.rdb, chaosOptions())
	require.NoError(t, err)
	for target, n := range map[jobs.Target]int{{Queue: true}: limitAll, {EachTenant: true}: limitTenant, {Tenant: small}: limitSmall} {
		require.NoError(t, c.q.SetLimit(t.Context(), target, jobs.Limit{Running: n}))
	}
	for i, drift := range []int{0, -5, 5, 20} {
		c.slots[i] = &slot{proxy: testenv.Proxy(t, c.redis.Addr), drift: drift}
		c.start(c.slots[i])
	}
	t.Cleanup(func() {
		for _, s := range c.slots {
			_ = s.cmd.Process.Kill() // it has ended unless the test failed
		}
	})
	return c
}

func (c *chaos) start(s *slot) {
	exe, err := os.Executable()
	require.NoError(c, err)
	s.process = &process{path: filepath.Join(c.dir, fmt.Sprint(len(c.procs)))}
	c.procs = append(c.procs, s.process)
	s.cmd = exec.Command(exe, "--", "chaos", c.mode, s.proxy.Addr, s.path, strconv.Itoa(s.drift))
	s.cmd.Stderr = os.Stderr
	require.NoError(c, s.cmd.Start())
}

// produce enqueues errands of all sorts until ctx ends.
func (c *chaos) produce(ctx context.Context) {
	for ctx.Err() == nil {
		stats, err := c.q.Stats(ctx)
		if err != nil || stats.Ready+stats.Parked > 300 {
			<-time.After(10 * time.Millisecond)
			continue
		}
		c.mu.Lock()
		first := c.next + 1
		c.next += 10
		c.mu.Unlock()
		tenant := []string{"a", "b", "c", "d", small}[rand.N(5)]
		var items []jobs.Item
		for n := first; n < first+10; n++ {
			e := Errand{N: n, Takes: rand.N(12), Sends: n%5 == 0}
			if rand.N(100) == 0 && tenant != small {
				e.Takes = rand.N(2 * int(chaosLease.Milliseconds())) // one that is there when its lease ends
			}
			opts := &jobs.EnqueueOptions{Priority: jobs.Priority(rand.N(3) - 1)}
			if rand.N(10) == 0 {
				e.Fails = 1 + rand.N(2)
			}
			switch rand.N(8) {
			case 0:
				opts.Delay = time.Duration(rand.N(300)) * time.Millisecond
			case 1:
				opts.Key = fmt.Sprint("k", n)
			case 2:
				opts.Key, opts.Scope = fmt.Sprint("k", n), jobs.UntilStarted
			}
			items = append(items, jobs.Item{Args: e, Options: opts})
		}
		if ctx := withTenant(ctx, tenant); rand.N(2) == 0 {
			c.enqueue(ctx, items...)
		} else {
			for _, item := range items {
				c.enqueue(ctx, item)
			}
		}
	}
}

// enqueue notes what was accepted. An error may be a lost answer: then the jobs
// may run, and need not.
func (c *chaos) enqueue(ctx context.Context, items ...jobs.Item) {
	from := now()
	receipts, err := c.q.EnqueueMany(ctx, items)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range receipts {
		c.accepted[items[i].Args.(Errand).N] = span{from, now()}
	}
}

func (c *chaos) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.accepted)
}

// all is a mixture of harms for attack: kills, freezes, cuts, a dead Redis.
const all = "kkrkckfk"

// attack does so many harms while jobs come and go: those of the letters, over
// and over.
func (c *chaos) attack(harms int, letters string) {
	ctx, cancel := context.WithCancel(c.Context())
	var producers sync.WaitGroup
	for range 3 {
		producers.Go(func() { c.produce(ctx) })
	}
	for i := range harms {
		goal := c.count() + 40 + rand.N(40)
		require.Eventually(c, func() bool { return c.count() >= goal }, time.Minute, time.Millisecond)
		<-time.After(time.Duration(rand.N(100)) * time.Millisecond)
		switch s := c.idle(); letters[i%len(letters)] {
		case 'r':
			c.killRedis()
		case 'c':
			c.cut(s, rand.N(2*chaosLease))
		case 'C':
			c.cut(s, 2*chaosLease)
		case 'f':
			c.freeze(s)
		case 'k':
			c.kill(s)
		}
	}
	cancel()
	producers.Wait()
	c.mends.Wait()
}

// idle is a slot whose process is well.
func (c *chaos) idle() *slot {
	for {
		s := c.slots[rand.N(len(c.slots))]
		s.mu.Lock()
		busy := s.busy
		s.mu.Unlock()
		if !busy {
			return s
		}
		<-time.After(time.Millisecond)
	}
}

func (c *chaos) kill(s *slot) {
	kill(c, s.cmd)
	s.killed = now()
	c.kills++
	c.start(s)
}

func (c *chaos) killRedis() {
	from := now()
	c.redis.Kill()
	<-time.After(rand.N(chaosLease * 3 / 2))
	c.redis.Restart()
	// Beats and answers come back a while later.
	c.down = append(c.down, span{from, now() + int64(chaosLease)})
	c.restarts++
}

// hurt does something to a slot for a while.
func (c *chaos) hurt(s *slot, long time.Duration, begin, end func()) {
	s.mu.Lock()
	s.busy = true
	s.mu.Unlock()
	from := now()
	begin()
	c.mends.Go(func() {
		<-time.After(long)
		end()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy = false
		s.harm = append(s.harm, span{from, now() + int64(chaosLease)})
	})
}

func (c *chaos) cut(s *slot, long time.Duration) {
	c.cuts++
	c.hurt(s, long, s.proxy.Cut, s.proxy.Restore)
}

func (c *chaos) freeze(s *slot) {
	c.freezes++
	from := now()
	c.hurt(s, rand.N(2*chaosLease), func() { require.NoError(c, s.cmd.Process.Signal(syscall.SIGSTOP)) }, func() {
		_ = s.cmd.Process.Signal(syscall.SIGCONT)
		s.frozen = append(s.frozen, span{from, now()})
	})
}

// end waits until everything is done, ends the workers in order, and judges.
func (c *chaos) end() verdict {
	c.Helper()
	empty(c, c.q, time.Minute)
	require.Eventually(c, func() bool { // the leases of those that were killed end
		n, err := c.rdb.ZCard(c.Context(), "jobs:{default}:lease").Result()
		return err == nil && int(n) == len(c.slots)
	}, time.Minute, 10*time.Millisecond)
	for _, s := range c.slots {
		require.NoError(c, s.cmd.Process.Signal(syscall.SIGTERM))
	}
	for _, s := range c.slots {
		require.NoError(c, s.cmd.Wait(), "a worker that is told to end drains")
	}
	l := newLedger(c, c.procs, c.accepted, c.down)
	v := l.judge()
	left := c.left()
	v.forgotten = len(left)
	c.Logf("%s: %d jobs accepted; %d workers killed, %d frozen, %d cut off, Redis killed %d times, longest stall %s: %+v %v",
		c.mode, len(l.accepted), c.kills, c.freezes, c.cuts, c.restarts, l.most().Round(time.Millisecond), v, left)
	return v
}

// left is what a queue without jobs and workers should not have in Redis.
func (c *chaos) left() (left []string) {
	c.Helper()
	keys, err := c.rdb.Keys(c.Context(), "jobs:{default}:*").Result()
	require.NoError(c, err)
	for _, key := range keys {
		switch strings.TrimPrefix(key, "jobs:{default}:") {
		case "control", "history", "wake": // settings, tallies, a token
		case "rate":
			fields, err := c.rdb.ZRange(c.Context(), key, 0, -1).Result()
			require.NoError(c, err)
			for _, f := range fields {
				if f != "@" { // numbers the parked jobs
					left = append(left, key+" "+f)
				}
			}
		default:
			left = append(left, key)
		}
	}
	return left
}

func TestChaos(t *testing.T) {
	t.Parallel()
	c := newChaos(t, "chaos")
	c.attack(testenv.Rounds(10, 96), all)
	v := c.end()
	require.Zero(t, v.lost)
	require.Zero(t, v.twice)
	require.Zero(t, v.exceeded)
	require.Zero(t, v.forgotten)
	require.NotZero(t, c.restarts*c.freezes*c.cuts)
}

// The same attack finds workers of other designs.
func TestChaosFindsPlantedFaults(t *testing.T) {
	t.Parallel()
	for mode, found := range map[string]func(verdict) bool{
		"careless": func(v verdict) bool { return v.lost > 0 },
		"greedy":   func(v verdict) bool { return v.exceeded > 0 },
		"doubling": func(v verdict) bool { return v.twice > 0 },
		"leaky":    func(v verdict) bool { return v.forgotten > 0 },
		"deaf":     func(v verdict) bool { return v.exceeded > 0 },
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			harms, letters := 4, all
			if mode == "deaf" {
				harms, letters = 5, "C"
			}
			for range 5 { // one attack may miss the moment
				c := newChaos(t, mode)
				c.attack(harms, letters)
				if found(c.end()) {
					return
				}
			}
			t.Error("five attacks do not find it")
		})
	}
}
