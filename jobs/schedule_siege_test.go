package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// store is what both drivers are.
type store interface {
	driver.Driver
	driver.Scheduler
}

// ledger sits before the store and writes down each job that it takes from a
// schedule: whatever becomes of the answer, and of the job.
type ledger struct {
	store
	mu    sync.Mutex
	times map[string][]time.Time // by job id
}

func (l *ledger) note(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times[id] = append(l.times[id], time.Now())
}

func (l *ledger) Fire(ctx context.Context, t driver.Tick) (driver.Fired, error) {
	fired, err := l.store.Fire(ctx, t)
	if err == nil && fired.Fired {
		l.note(t.Job.ID)
	}
	return fired, err
}

func (l *ledger) FireDue(ctx context.Context, ticks []driver.DueTick) ([]driver.FiredTick, error) {
	fired, err := l.store.FireDue(ctx, ticks)
	if err == nil {
		for i, f := range fired {
			if f.Fired && ticks[i].Job != nil {
				l.note(ticks[i].Job.ID)
			}
		}
	}
	return fired, err
}

// reached tells whether every schedule of a siege has a tick of a time or later.
func (l *ledger) reached(at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := map[string]bool{}
	for id := range l.times {
		name, tick, _ := strings.Cut(id, "@")
		if n, err := strconv.ParseInt(tick, 10, 64); err == nil && n >= at.Unix() {
			names[name] = true
		}
	}
	return len(names) == 6
}

var errDead = errors.New("this process is dead")

// mortal is the ledger as a process sees it that dies at a random call, before
// it or before its answer, and has its troubles until then.
type mortal struct {
	*ledger
	left atomic.Int64
}

func (m *mortal) dies() (before, after bool) {
	left := m.left.Add(-1)
	return left < 0, left == 0
}

func (m *mortal) Fire(ctx context.Context, t driver.Tick) (driver.Fired, error) {
	before, after := m.dies()
	if before {
		return driver.Fired{}, errDead
	}
	fired, err := m.ledger.Fire(ctx, t)
	if after {
		return driver.Fired{}, errDead
	}
	return fired, err
}

func (m *mortal) Claim(ctx context.Context, c driver.Claim) (driver.Claimed, error) {
	before, after := m.dies()
	if before {
		return driver.Claimed{}, errDead
	}
	claimed, err := m.ledger.Claim(ctx, c)
	if after {
		return driver.Claimed{}, errDead
	}
	return claimed, err
}

func (m *mortal) FireDue(ctx context.Context, ticks []driver.DueTick) ([]driver.FiredTick, error) {
	before, after := m.dies()
	if before {
		return nil, errDead
	}
	if rand.N(20) == 0 { // a process that is stopped for longer than its claims hold
		select {
		case <-ctx.Done():
		case <-time.After(claimLapse):
		}
	}
	fired, err := m.ledger.FireDue(ctx, ticks)
	if after || rand.N(10) == 0 { // the answer gets lost
		return nil, errDead
	}
	return fired, err
}

// jumpy is a clock that is up to three seconds off, each time by another time.
func jumpy() time.Time { return time.Now().Add(rand.N(6*time.Second) - 3*time.Second) }

// besiege runs twenty schedulers whose clocks jump and which die at random
// calls, replaces one a round, and answers what was fired.
func besiege(t *testing.T, s store, rounds int, round time.Duration) map[string][]time.Time {
	l := &ledger{store: s, times: map[string][]time.Time{}}
	all := &jobs.CronOptions{CatchUp: jobs.CatchUpAll}
	begin := func() func() error {
		m := &mortal{ledger: l}
		m.left.Store(rand.Int64N(60) + 1)
		q, err := jobs.New(m, &jobs.Options{Concurrency: -1, Lease: time.Hour, Logger: quiet})
		require.NoError(t, err)
		jobs.SetClock(q, jumpy)
		require.NoError(t, q.Cron("code", "@every 1s", Note{}, all))
		for i := range 5 {
			require.NoError(t, q.Schedule(t.Context(), fmt.Sprint("stored", i), "@every 1s", Note{N: i}, all))
		}
		return run(t, q)
	}
	var stops []func() error
	for range 20 {
		stops = append(stops, begin())
	}
	for n := range rounds {
		<-time.After(round)
		require.NoError(t, stops[n%20]())
		stops[n%20] = begin()
	}
	q, err := jobs.New(l, &jobs.Options{Concurrency: -1, Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, q.Cron("code", "@every 1s", Note{}, all))
	for _, stop := range stops {
		require.NoError(t, stop())
	}
	end := time.Now()
	stop := run(t, q)
	<-time.After(claimLapse) // one without troubles gets what the dead had claimed
	for !l.reached(end) && time.Since(end) < time.Minute {
		<-time.After(10 * time.Millisecond)
	}
	require.NoError(t, stop())
	return l.times
}

// claimLapse is longer than a dead process keeps ticks.
const claimLapse = 11 * time.Second

// verdict counts ticks, those fired more than once, before their time, and
// those that are missing between the first and the last of a schedule.
func verdict(t *testing.T, times map[string][]time.Time) (ticks, twice, early, missing int) {
	seconds := map[string][]int{}
	for id, fired := range times {
		ticks++
		name, text, _ := strings.Cut(id, "@")
		tick, err := strconv.Atoi(text)
		require.NoError(t, err)
		seconds[name] = append(seconds[name], tick)
		if len(fired) > 1 {
			twice++
		}
		for _, at := range fired {
			if at.Before(time.Unix(int64(tick), 0)) {
				early++
			}
		}
	}
	for name, list := range seconds {
		slices.Sort(list)
		for i := 1; i < len(list); i++ {
			// Who is a hundred ticks behind goes on with the latest hundred.
			behind := times[fmt.Sprint(name, "@", list[i])][0].Sub(time.Unix(int64(list[i]), 0))
			if gap := list[i] - list[i-1] - 1; gap > 0 && behind < 99*time.Second {
				missing += gap
			}
		}
	}
	return ticks, twice, early, missing
}

func TestTwentyMortalSchedulersInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ticks, twice, early, missing := verdict(t, besiege(t, jobstest.New(t), testenv.Rounds(60, 2000), 3*time.Second))
		require.Zero(t, twice, "fired twice")
		require.Zero(t, early, "fired early")
		require.Zero(t, missing, "missing")
		require.Greater(t, ticks, 6*60*2, "the siege was too short to mean it")
	})
}

func TestTwentyMortalSchedulersOnRedis(t *testing.T) {
	t.Parallel()
	d, err := redisjobs.New(testenv.Redis(t), nil)
	require.NoError(t, err)
	ticks, twice, early, missing := verdict(t, besiege(t, d, testenv.Rounds(10, 400), 200*time.Millisecond))
	require.Zero(t, twice, "fired twice")
	require.Zero(t, early, "fired early")
	require.Zero(t, missing, "missing")
	require.Greater(t, ticks, 6*5)
	t.Logf("%d ticks", ticks)
}

// trusting is a store that settles every tick it is given, without a look at
// who was there before.
type trusting struct{ store }

func (d trusting) FireDue(ctx context.Context, ticks []driver.DueTick) ([]driver.FiredTick, error) {
	fired, err := d.store.FireDue(ctx, ticks)
	for i := range fired {
		fired[i].Fired = true
	}
	return fired, err
}

func TestSiegeFindsATrustingStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, twice, _, _ := verdict(t, besiege(t, trusting{jobstest.New(t)}, 60, 3*time.Second))
		require.Positive(t, twice)
	})
}

// naive is what many write first: each process looks at its own clock and locks
// the tick for a while.
func naive(ctx context.Context, l *ledger, locks *sync.Map, skew time.Duration) {
	now := func() time.Time { return time.Now().Add(skew) }
	for ctx.Err() == nil {
		tick := now().Truncate(time.Second).Add(time.Second)
		select {
		case <-ctx.Done():
		case <-time.After(tick.Sub(now())):
		}
		until, locked := locks.Load(tick.Unix())
		if !locked || time.Now().After(until.(time.Time)) { // SET NX PX 2000
			locks.Store(tick.Unix(), time.Now().Add(2*time.Second))
			l.note("naive@" + strconv.FormatInt(tick.Unix(), 10))
		}
	}
}

// The verdict has to find a scheduler that trusts its clock and a lock that ends.
func TestVerdictFindsNaiveSchedulers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{times: map[string][]time.Time{}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var locks sync.Map
		var loops sync.WaitGroup
		for i := range 20 {
			loops.Go(func() { naive(ctx, l, &locks, time.Duration(i-10)*300*time.Millisecond) })
		}
		loops.Wait()
		_, twice, early, _ := verdict(t, l.times)
		require.Positive(t, twice)
		require.Positive(t, early)
	})
}

func TestVerdictFindsMissingTicks(t *testing.T) {
	t.Parallel()
	at := func(seconds int64) []time.Time { return []time.Time{time.Unix(seconds, 0)} }
	_, _, _, missing := verdict(t, map[string][]time.Time{"a@1": at(1), "a@4": at(5), "a@9": at(120)})
	require.Equal(t, 2, missing, "those before 9 are more than a hundred behind")
}
