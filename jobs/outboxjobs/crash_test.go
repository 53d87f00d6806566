package outboxjobs_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// TestMain makes the test binary a relay process too: with "--" and a kind of
// relay, two database URLs and a Redis address and number it carries jobs until
// it is killed.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.NArg() != 5 {
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, "relay:", relay(flag.Args()))
	os.Exit(1)
}

func relay(args []string) error {
	ctx := context.Background()
	app, appErr := pgxpool.New(ctx, args[1])
	system, systemErr := pgxpool.New(ctx, args[2])
	number, numberErr := strconv.Atoi(args[4])
	if err := errors.Join(appErr, systemErr, numberErr); err != nil {
		return err
	}
	db, err := tenancy.New(app, &tenancy.Options{System: system, Logger: quiet})
	if err != nil {
		return err
	}
	rdb := redis.NewClient(&redis.Options{Addr: args[3], DB: number})
	driver, err := redisjobs.New(rdb, nil)
	if err != nil {
		return err
	}
	if run := siegeRelay(args[0], db, driver, rdb); run != nil {
		return run(ctx)
	}
	var sink outbox.Sink
	sink, err = outboxjobs.NewSink(driver, nil)
	if args[0] == "naive" {
		sink = twoSteps{naive{driver: driver}, rdb}
	}
	if err != nil {
		return err
	}
	r, err := outbox.New(db, sink, &outbox.Options{Batch: 20, MaxPoll: 5 * time.Millisecond, Logger: quiet})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// twoSteps stores jobs first and the position afterwards, in the same Redis.
type twoSteps struct {
	naive
	rdb *redis.Client
}

func (s twoSteps) Position(ctx context.Context) (string, error) {
	at, err := s.rdb.Get(ctx, "naive").Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return at, err
}

func (s twoSteps) Deliver(ctx context.Context, _, to string, events []outbox.Event) (bool, error) {
	if err := s.push(ctx, events); err != nil {
		return false, err
	}
	return true, s.rdb.Set(ctx, "naive", to, 0).Err()
}

// step is a job of a tenant whose order matters.
type step struct{ N int }

func (step) Kind() string { return "step" }

// crash is an attack on relay processes: tenants emit numbered jobs all the
// time, one worker notes what runs.
type crash struct {
	*bench
	pg   *testenv.PG
	mode string
	room chan struct{} // bounds what is emitted and has not run

	// Guarded by bench.mu.
	seen    map[string][]int // by tenant, in the order of the runs
	ran     int
	emitted map[string]int
}

var tenants = []string{"acme", "globex", "initech"}

func newCrash(t *testing.T, mode string) *crash {
	b, pg := openOn(t)
	return &crash{
		bench: b, pg: pg, mode: mode, room: make(chan struct{}, 500),
		seen: map[string][]int{}, emitted: map[string]int{},
	}
}

func (c *crash) work() (stop func()) {
	q, err := jobs.New(c.driver, &jobs.Options{Concurrency: 1, Tenant: tenancy.IDFrom, WithTenant: tenancy.WithID, Logger: quiet})
	require.NoError(c, err)
	jobs.Handle(q, func(ctx context.Context, s step) error {
		tenant, _ := tenancy.IDFrom(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ran++
		c.seen[tenant] = append(c.seen[tenant], s.N)
		if s.N%group == 0 {
			select {
			case <-c.room:
			default: // a job that runs twice
			}
		}
		return nil
	})
	return c.start(q.Run)
}

// group is how many jobs a transaction emits.
const group = 4

// emit commits the next jobs of a tenant.
func (c *crash) emit(ctx context.Context, tenant string) error {
	first := c.emitted[tenant]
	err := c.db.Do(tenancy.WithID(ctx, tenant), func(_ context.Context, tx *tenancy.Tx) error {
		var all error
		for i := range group {
			all = errors.Join(all, outboxjobs.Enqueue(tx, step{N: first + i}, nil))
		}
		return all
	})
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.emitted[tenant] += group
	}
	return err
}

// produce emits until stop.
func (c *crash) produce() (stop func()) {
	return c.start(func(ctx context.Context) error {
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return nil
			case c.room <- struct{}{}:
			}
			if err := c.emit(c.Context(), tenants[n%len(tenants)]); err != nil {
				return err
			}
		}
	})
}

func (c *crash) process() *exec.Cmd {
	exe, err := os.Executable()
	require.NoError(c, err)
	at := c.rdb.Options()
	cmd := exec.Command(exe, "--", c.mode, c.pg.AppURL, c.pg.SystemURL, at.Addr, strconv.Itoa(at.DB))
	cmd.Stderr = os.Stderr
	require.NoError(c, cmd.Start())
	return cmd
}

func (c *crash) kill(cmd *exec.Cmd) {
	require.NoError(c, cmd.Process.Kill())
	require.Error(c, cmd.Wait(), "a killed process has no clean exit")
}

// advance waits until more jobs have run.
func (c *crash) advance(more int) {
	ran := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.ran
	}
	until := ran() + more
	require.Eventually(c, func() bool { return ran() >= until }, time.Minute, time.Millisecond)
}

// faults compares what ran with what was emitted.
func (c *crash) faults() (lost, twice, disordered int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tenant := range tenants {
		times, last := map[int]int{}, -1
		for _, n := range c.seen[tenant] {
			if n < last {
				disordered++
			}
			last = n
			if times[n]++; times[n] == 2 {
				twice++
			}
		}
		lost += c.emitted[tenant] - len(times)
	}
	return lost, twice, disordered
}

func TestKilledRelaysLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	c := newCrash(t, "relay")
	defer c.work()()
	stop := c.produce()
	rounds := testenv.Rounds(8, 100)
	for range rounds {
		one, other := c.process(), c.process()
		c.advance(1 + rand.N(200))
		c.kill(one)
		c.kill(other)
	}
	stop()
	// What a relay left undone or would do again comes before the last jobs.
	for _, tenant := range tenants {
		require.NoError(t, c.emit(t.Context(), tenant))
	}
	defer c.start(c.relay(c.sink()).Run)()
	require.Eventually(t, func() bool {
		stats, err := c.q.Stats(t.Context())
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, tenant := range tenants {
			if s := c.seen[tenant]; len(s) == 0 || s[len(s)-1] < c.emitted[tenant]-1 {
				return false
			}
		}
		return err == nil && stats == driver.Stats{}
	}, time.Minute, 5*time.Millisecond)
	lost, twice, disordered := c.faults()
	t.Logf("%d jobs, %d kills: %d lost, %d twice, %d out of order", c.ran, 2*rounds, lost, twice, disordered)
	require.Zero(t, lost)
	require.Zero(t, twice)
	require.Zero(t, disordered)
}

// The same kills find a relay that stores jobs and position in two steps.
func TestKillsFindARelayOfTwoSteps(t *testing.T) {
	t.Parallel()
	c := newCrash(t, "naive")
	defer c.work()()
	defer c.produce()()
	for kills := 1; kills <= 100; kills++ {
		one := c.process()
		c.advance(1 + rand.N(50))
		c.kill(one)
		if _, twice, _ := c.faults(); twice > 0 {
			t.Logf("found after %d kills", kills)
			return
		}
	}
	t.Fatal("a hundred kills did not find the fault")
}
