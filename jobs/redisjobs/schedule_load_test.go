package redisjobs_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
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

// Check is the job of most schedules here.
type Check struct {
	ID int `json:"id"`
}

func (Check) Kind() string { return "monitor.check" }

// tickWorker is a worker process at its defaults that prints the id of each
// job that it runs, and how late its tick is, in microseconds.
func tickWorker(rdb *redis.Client) error {
	q, err := queue(rdb, &jobs.Options{Logger: quiet, Tenant: tenantOf, WithTenant: withTenant})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	jobs.Handle(q, func(ctx context.Context, _ Check) error {
		info, _ := jobs.InfoFrom(ctx)
		_, tick := splitTick(info.ID)
		mu.Lock()
		defer mu.Unlock()
		_, err := fmt.Println(info.ID, time.Since(tick).Microseconds())
		return err
	})
	return q.Run(context.Background())
}

// splitTick reads the id of a tick's job.
func splitTick(id string) (schedule string, tick time.Time) {
	schedule, text, _ := strings.Cut(id, "@")
	schedule, _, _ = strings.Cut(schedule, "/")
	seconds, _ := strconv.ParseInt(text, 10, 64)
	return schedule, time.Unix(seconds, 0)
}

// tickOf names a tick.
type tickOf struct {
	schedule string
	tick     int64 // in seconds since 1970
}

// crowd is very many schedules, on four processes.
type crowd struct {
	t      *testing.T
	rdb    *redis.Client
	q      *jobs.Queue
	specs  map[string]string // by name
	mu     sync.Mutex
	runs   map[tickOf][]time.Duration // how late
	busy   float64                    // the part of a core that Redis was busy
	bytes  float64                    // of each schedule
	window [2]time.Time
	stalls []stall
}

// stall is a time in which the machine, or Redis alone, answered nobody: what
// is late then is late because of it.
type stall struct{ from, to time.Time }

// probe asks Redis and the clock every few milliseconds for an answer, until
// ctx ends, and writes down when it took longer than a tenth of a second.
func (c *crowd) probe(ctx context.Context) {
	const every, long = 5 * time.Millisecond, 100 * time.Millisecond
	for ctx.Err() == nil {
		slept := time.Now()
		<-time.After(every)
		asked := time.Now()
		if asked.Sub(slept) > every+long {
			c.stalls = append(c.stalls, stall{slept, asked})
		}
		if err := c.rdb.Ping(ctx).Err(); err == nil && time.Since(asked) > long {
			c.stalls = append(c.stalls, stall{asked, time.Now()})
		}
	}
}

// blame is how late the ticks of the window were that had to wait for a stall,
// and the others.
func (c *crowd) blame() (stalled, others []time.Duration) {
	for at, runs := range c.runs {
		due := time.Unix(at.tick, 0)
		if due.Before(c.window[0]) || due.After(c.window[1]) {
			continue
		}
		for _, late := range runs {
			if slices.ContainsFunc(c.stalls, func(s stall) bool { return s.from.Before(due.Add(late)) && s.to.After(due) }) {
				stalled = append(stalled, late)
			} else {
				others = append(others, late)
			}
		}
	}
	slices.Sort(stalled)
	slices.Sort(others)
	return stalled, others
}

// stalled sums the stalls up.
func (c *crowd) stalled() (all, longest time.Duration) {
	for _, s := range c.stalls {
		all += s.to.Sub(s.from)
		longest = max(longest, s.to.Sub(s.from))
	}
	return all, longest
}

const crowdProcesses = 4

func crowdTenant(i int) string { return fmt.Sprintf("team-%d", i%500) }

// newCrowd stores n schedules and measures what they take of Redis' memory,
// without what connections and their buffers take.
func newCrowd(t *testing.T, n int, spec string) (*crowd, string) {
	server := testenv.RedisServer(t, "--appendfsync", "everysec", "--slowlog-log-slower-than", "1000", "--slowlog-max-len", "100000")
	c := &crowd{t: t, rdb: server.Client(), specs: map[string]string{}, runs: map[tickOf][]time.Duration{}}
	var err error
	c.q, err = queue(c.rdb, &jobs.Options{Logger: quiet, Tenant: tenantOf, WithTenant: withTenant})
	require.NoError(t, err)
	c.add(0, spec) // scripts and connections
	before := c.info("memory", "used_memory_dataset")
	var callers sync.WaitGroup
	for caller := range 32 {
		callers.Go(func() {
			for i := 1 + caller; i <= n; i += 32 {
				c.add(i, spec)
			}
		})
	}
	callers.Wait()
	c.bytes = (c.info("memory", "used_memory_dataset") - before) / float64(n)
	return c, server.Addr
}

func (c *crowd) add(i int, spec string) {
	name := fmt.Sprintf("check-%d", i)
	ctx := withTenant(c.t.Context(), crowdTenant(i))
	if err := c.q.Schedule(ctx, name, spec, Check{ID: i}, nil); err != nil {
		c.t.Errorf("schedule %s: %v", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.specs[name] = spec
}

func (c *crowd) info(section, field string) float64 {
	text, err := c.rdb.Info(c.t.Context(), section).Result()
	require.NoError(c.t, err)
	_, rest, ok := strings.Cut(text, "\r\n"+field+":")
	require.True(c.t, ok, field)
	value, _, _ := strings.Cut(rest, "\r\n")
	v, err := strconv.ParseFloat(value, 64)
	require.NoError(c.t, err)
	return v
}

func (c *crowd) cpu() float64 {
	return c.info("cpu", "used_cpu_user_main_thread") + c.info("cpu", "used_cpu_sys_main_thread")
}

// watch runs the processes, and looks at them for a while from an instant on.
func (c *crowd) watch(addr string, from time.Time, d time.Duration) {
	var readers sync.WaitGroup
	var workers []*exec.Cmd
	for range crowdProcesses {
		exe, err := os.Executable()
		require.NoError(c.t, err)
		cmd := exec.Command(exe, "--", "ticks", addr)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		require.NoError(c.t, err)
		require.NoError(c.t, cmd.Start())
		workers = append(workers, cmd)
		readers.Go(func() { c.read(out) })
	}
	<-time.After(time.Until(from))
	c.window[0] = time.Now()
	before := c.cpu()
	ctx, stop := context.WithCancel(c.t.Context())
	var prober sync.WaitGroup
	prober.Go(func() { c.probe(ctx) })
	<-time.After(d)
	c.busy = (c.cpu() - before) / time.Since(c.window[0]).Seconds()
	c.window[1] = time.Now()
	for end := time.Now(); time.Since(end) < 2*time.Minute && c.outstanding() > 0; { // what is late counts
		<-time.After(100 * time.Millisecond)
	}
	<-time.After(time.Second) // and what runs again
	stop()
	prober.Wait()
	for _, w := range workers {
		require.NoError(c.t, w.Process.Kill())
	}
	readers.Wait()
	for _, w := range workers {
		require.Error(c.t, w.Wait(), "a killed process has no clean exit")
	}
}

func (c *crowd) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		id, text, _ := strings.Cut(lines.Text(), " ")
		us, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			continue // the last line of a killed process
		}
		name, tick := splitTick(id)
		c.mu.Lock()
		at := tickOf{name, tick.Unix()}
		c.runs[at] = append(c.runs[at], time.Duration(us)*time.Microsecond)
		c.mu.Unlock()
	}
}

// outstanding is how many ticks of the window have not run.
func (c *crowd) outstanding() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, _, missing := c.count()
	return missing
}

// count looks at the ticks of the window: how late those that ran were, and how
// many ran twice, early or not at all.
func (c *crowd) count() (late []time.Duration, twice, early, missing int) {
	for name, spec := range c.specs {
		i, err := strconv.Atoi(strings.TrimPrefix(name, "check-"))
		require.NoError(c.t, err)
		s := jobs.Schedule{Name: name, Tenant: crowdTenant(i), Spec: spec}
		next, err := s.Next(c.window[0], 1)
		require.NoError(c.t, err)
		if next[0].Before(c.window[1]) {
			runs := c.runs[tickOf{name, next[0].Unix()}]
			if len(runs) == 0 {
				missing++
			}
			late = append(late, runs...)
		}
	}
	for _, runs := range c.runs {
		if len(runs) > 1 {
			twice++
		}
		if slices.Min(runs) < 0 {
			early++
		}
	}
	slices.Sort(late)
	return late, twice, early, missing
}

// verdict checks that each tick ran once and none early, and answers by how
// much so many in a thousand were late.
func (c *crowd) verdict(thousandths ...int) []time.Duration {
	late, twice, early, missing := c.count()
	require.NotEmpty(c.t, late)
	at := quantiles(late, thousandths...)
	c.t.Logf("%d schedules on %d processes: %.0f bytes each, Redis busy %.2f %% of a core, %d ticks in %s, late by %v (of %v in a thousand), %.0f fsyncs were late",
		len(c.specs), crowdProcesses, c.bytes, 100*c.busy, len(late), c.window[1].Sub(c.window[0]).Round(time.Second), at, thousandths, c.info("persistence", "aof_delayed_fsync"))
	stalled, others := c.blame()
	all, longest := c.stalled()
	c.t.Logf("the machine or Redis stood still %d times for %s, the longest %s; %d ticks met that, late by %v; %d did not, late by %v",
		len(c.stalls), all.Round(time.Millisecond), longest.Round(time.Millisecond), len(stalled), quantiles(stalled, thousandths...), len(others), quantiles(others, thousandths...))
	require.Zero(c.t, twice, "ran twice")
	require.Zero(c.t, early, "ran early")
	require.Zero(c.t, missing, "missing")
	return at
}

// quantiles are the values that so many in a thousand of a sorted list are below.
func quantiles(sorted []time.Duration, thousandths ...int) []time.Duration {
	var at []time.Duration
	for _, n := range thousandths {
		if len(sorted) > 0 {
			at = append(at, sorted[(len(sorted)-1)*n/1000].Round(10*time.Microsecond))
		}
	}
	return at
}

func TestCrowdIsCounted(t *testing.T) {
	t.Parallel()
	at := time.Now().Truncate(time.Minute)
	tick := at.Add(time.Minute).Unix()
	c := &crowd{t: t, specs: map[string]string{}, window: [2]time.Time{at, at.Add(2 * time.Minute)}}
	for i := range 4 {
		c.specs[fmt.Sprint("check-", i)] = "* * * * *"
	}
	c.runs = map[tickOf][]time.Duration{{"check-0", tick}: {1}, {"check-1", tick}: {2, 3}, {"check-2", tick}: {-1}}
	late, twice, early, missing := c.count()
	require.Equal(t, []time.Duration{-1, 1, 2, 3}, late)
	require.Equal(t, []int{1, 1, 1}, []int{twice, early, missing})
	due := at.Add(time.Minute)
	c.stalls = []stall{{due.Add(-1), due}, {due.Add(2), due.Add(time.Second)}}
	stalled, others := c.blame()
	require.Equal(t, []time.Duration{3}, stalled, "only it was not done by then")
	require.Equal(t, []time.Duration{-1, 1, 2}, others)
}

// inTime is how late 99 of 100 ticks may be: the short rounds share the machine
// with all other tests.
func inTime() time.Duration { return time.Duration(testenv.Rounds(5, 1)) * time.Second }

// Schedules that are spread over the hour: 28 ticks a second, which is what a
// hundred thousand hourly ones make. The short round has a tenth of them, ten
// times as often.
func TestManySchedulesSpread(t *testing.T) {
	t.Parallel()
	n, spec := 10_000, "H H/6 * * * *"
	if testenv.Rounds(0, 1) == 1 {
		n, spec = 100_000, "H H * * * *"
	}
	c, addr := newCrowd(t, n, spec)
	c.watch(addr, time.Now().Add(5*time.Second), time.Duration(testenv.Rounds(10, 300))*time.Second)
	late := c.verdict(500, 990, 1000)
	require.LessOrEqual(t, c.bytes, 300.0)
	require.LessOrEqual(t, c.busy, 0.05)
	require.Less(t, late[1], inTime())
}

// Schedules of one instant: a sixtieth of a hundred thousand hourly ones, which
// is what they make at every full minute if they name no second, and the worst
// case, all of them at the full hour. Those take as long as the processes need
// to run so many jobs.
func TestManySchedulesOfOneInstant(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		n                int
		store, run, late time.Duration
	}{
		"a sixtieth": {1667, 10 * time.Second, 5 * time.Second, inTime()},
		"all": {
			testenv.Rounds(5000, 100_000), time.Duration(testenv.Rounds(15, 180)) * time.Second,
			time.Duration(testenv.Rounds(10, 60)) * time.Second, time.Duration(testenv.Rounds(10, 60)) * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) { // one after the other: storing the one crowd would starve the other
			var at time.Time
			var c *crowd
			var addr string
			for lead := tt.store; !time.Now().Before(at); lead *= 2 { // to store them takes its time
				at = time.Now().UTC().Add(lead).Truncate(time.Second)
				c, addr = newCrowd(t, tt.n, at.Format("5 4 15 2 1 *"))
			}
			c.watch(addr, at.Add(-time.Second), tt.run)
			late := c.verdict(500, 990, 1000)
			worst, long := slowest(t, c.rdb)
			t.Logf("Redis' longest call took %s, %d took more than 20ms; EnqueueMany stores %.0f such jobs a second, %.0f ticks a second ran",
				worst, long, c.enqueueRate(tt.n), float64(tt.n)/late[2].Seconds())
			require.Less(t, late[1], tt.late)
		})
	}
}
