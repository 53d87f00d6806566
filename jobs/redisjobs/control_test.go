package redisjobs_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// desk is a driver with one worker that asks and answers by hand.
type desk struct {
	*testing.T
	d   *redisjobs.Driver
	seq uint64
}

func newDesk(t *testing.T) *desk {
	k := &desk{T: t, d: open(t, testenv.Redis(t))}
	_, err := k.d.Beat(t.Context(), driver.Beat{Worker: "w", Lease: time.Minute, Join: true})
	require.NoError(t, err)
	return k
}

func (k *desk) push(batch ...driver.Job) []driver.Pushed {
	k.Helper()
	for i := range batch {
		if batch[i].Kind == "" {
			batch[i].Kind = "plain"
		}
		batch[i].Body = fmt.Appendf(nil, `{"v":1,"kind":%q,"args":{}}`, batch[i].Kind)
	}
	pushed, err := k.d.Push(k.Context(), driver.Push{Jobs: batch})
	require.NoError(k, err)
	return pushed
}

// exchange settles outcomes, takes up to want jobs and answers their ids.
func (k *desk) exchange(want int, done ...driver.Outcome) ([]string, driver.Batch) {
	k.Helper()
	k.seq++
	batch, err := k.d.Exchange(k.Context(), driver.Exchange{Worker: "w", Seq: k.seq, Done: done, Want: want})
	require.NoError(k, err)
	var ids []string
	for _, j := range batch.Jobs {
		require.Contains(k, string(j.Body), `{"v":1`, "the body comes back as it went in")
		ids = append(ids, j.ID)
	}
	return ids, batch
}

func (k *desk) finish(ids ...string) []driver.Outcome {
	var done []driver.Outcome
	for _, id := range ids {
		done = append(done, driver.Outcome{ID: id, Action: driver.Finish})
	}
	return done
}

func (k *desk) configure(c driver.Change) {
	k.Helper()
	require.NoError(k, k.d.Configure(k.Context(), []driver.Change{c}))
}

func (k *desk) stats(want driver.Stats) {
	k.Helper()
	got, err := k.d.Stats(k.Context())
	require.NoError(k, err)
	require.Equal(k, want, got)
}

func (k *desk) find(id string) driver.Stored {
	k.Helper()
	found, err := k.d.Find(k.Context(), []string{id})
	require.NoError(k, err)
	require.Len(k, found, 1)
	return found[0]
}

func jobsOf(tenant string, n int) []driver.Job {
	batch := make([]driver.Job, n)
	for i := range batch {
		batch[i] = driver.Job{ID: fmt.Sprintf("%s%03d", tenant, i), Tenant: tenant}
	}
	return batch
}

func TestPauses(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	k.push(append(jobsOf("acme", 3), append(jobsOf("globex", 2), driver.Job{ID: "mail", Kind: "mail"})...)...)

	k.configure(driver.Change{Pause: new(true)})
	ids, batch := k.exchange(10)
	require.Empty(t, ids)
	require.Zero(t, batch.Ready, "a paused queue must not keep its workers busy")
	k.configure(driver.Change{Pause: new(false)})

	k.configure(driver.Change{Target: driver.Target{Tenant: "acme"}, Pause: new(true)})
	k.configure(driver.Change{Target: driver.Target{Kind: "mail"}, Pause: new(true)})
	ids, batch = k.exchange(10)
	require.ElementsMatch(t, []string{"globex000", "globex001"}, ids)
	require.Zero(t, batch.Ready)
	k.stats(driver.Stats{Parked: 4, Running: 2})
	require.Equal(t, driver.Parked, k.find("acme001").State)
	control, err := k.d.Control(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"acme"}, control.PausedTenants)
	require.Equal(t, []string{"mail"}, control.PausedKinds)

	// What is enqueued meanwhile waits behind what is parked.
	k.push(driver.Job{ID: "acme-new", Tenant: "acme"})
	k.configure(driver.Change{Target: driver.Target{Tenant: "acme"}, Pause: new(false)})
	var order []string
	for len(order) < 4 {
		ids, _ = k.exchange(2, k.finish(ids...)...)
		require.NotEmpty(t, ids)
		order = append(order, ids...)
	}
	require.Equal(t, []string{"acme000", "acme001", "acme002", "acme-new"}, order)
	k.configure(driver.Change{Target: driver.Target{Kind: "mail"}, Pause: new(false)})
	ids, _ = k.exchange(5, k.finish(ids...)...)
	require.Equal(t, []string{"mail"}, ids)
	k.exchange(0, k.finish(ids...)...)
	k.stats(driver.Stats{})
}

func TestRunningLimits(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	k.push(append(jobsOf("acme", 6), jobsOf("globex", 6)...)...)
	first, _ := k.exchange(2) // before the limit: they count all the same
	k.configure(driver.Change{Target: driver.Target{EachTenant: true}, Limit: &driver.Limit{Running: 2}})
	held := map[string]int{}
	for _, id := range first {
		held[id[:4]]++
	}
	ran := 0
	for ids := first; ran < 12; {
		var more []string
		more, _ = k.exchange(10)
		ids = append(ids, more...)
		count := map[string]int{}
		for _, id := range ids {
			count[id[:4]]++
		}
		require.LessOrEqual(t, count["acme"], 2)
		require.LessOrEqual(t, count["glob"], 2)
		require.NotEmpty(t, ids, "after %d of 12 jobs nothing may start", ran)
		ran++
		k.exchange(0, k.finish(ids[0])...)
		ids = ids[1:]
	}
	k.stats(driver.Stats{})
	k.configure(driver.Change{Target: driver.Target{EachTenant: true}, Limit: &driver.Limit{}})
	k.configure(driver.Change{Limit: &driver.Limit{Running: 3}})
	k.push(jobsOf("acme", 5)...)
	ids, batch := k.exchange(10)
	require.Len(t, ids, 3)
	require.Zero(t, batch.Ready, "the rest cannot be taken now")
	ids, _ = k.exchange(10, k.finish(ids...)...)
	require.Len(t, ids, 2)
}

// Jobs that were handed out before the limit do not bear their tenant with them.
func TestLimitCountsWhatRunsAlready(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	k.push(jobsOf("acme", 5)...)
	k.push(jobsOf("globex", 1)...)
	ids, _ := k.exchange(3)
	require.Equal(t, []string{"acme000", "globex000", "acme001"}, ids)
	k.configure(driver.Change{Target: driver.Target{Tenant: "acme"}, Limit: &driver.Limit{Running: 3}})
	ids, _ = k.exchange(10)
	require.Equal(t, []string{"acme002"}, ids)
	ids, _ = k.exchange(10, k.finish("globex000", "acme000", "acme000")...)
	require.Equal(t, []string{"acme003"}, ids, "one has ended, though it was told twice")
	k.configure(driver.Change{Target: driver.Target{Tenant: "acme"}, Limit: &driver.Limit{}})
	ids, _ = k.exchange(10, k.finish("acme001", "acme002", "acme003")...)
	require.Equal(t, []string{"acme004"}, ids)
	k.exchange(0, k.finish("acme004")...)
	k.stats(driver.Stats{})
}

func TestRates(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	k.configure(driver.Change{Target: driver.Target{Tenant: "acme"}, Limit: &driver.Limit{Rate: 2, Per: time.Hour}})
	k.push(append(jobsOf("acme", 3), jobsOf("globex", 3)...)...)
	ids, batch := k.exchange(10)
	slices.Sort(ids)
	require.Equal(t, []string{"acme000", "acme001", "globex000", "globex001", "globex002"}, ids)
	require.Zero(t, batch.Ready)
	require.InDelta(t, float64(30*time.Minute), float64(batch.Next), float64(time.Minute), "the worker knows when the next may start")
	k.stats(driver.Stats{Parked: 1, Running: 5})
	k.configure(driver.Change{Target: driver.Target{Tenant: "acme"}, Limit: &driver.Limit{}})
	ids, _ = k.exchange(10)
	require.Equal(t, []string{"acme002"}, ids, "a lifted limit lets go")

	k.configure(driver.Change{Limit: &driver.Limit{Rate: 3, Per: time.Hour}})
	k.push(jobsOf("initech", 5)...)
	ids, batch = k.exchange(10)
	require.Len(t, ids, 3)
	require.Zero(t, batch.Ready)
	require.Greater(t, batch.Next, time.Minute)
}

func TestPrioritiesAndWeights(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	k.push(driver.Job{ID: "low", Priority: driver.PriorityLow}, driver.Job{ID: "normal"},
		driver.Job{ID: "urgent", Priority: driver.PriorityUrgent}, driver.Job{ID: "high", Priority: driver.PriorityHigh})
	ids, _ := k.exchange(10)
	require.Equal(t, []string{"urgent", "high", "normal", "low"}, ids)
	k.exchange(0, k.finish(ids...)...)

	k.configure(driver.Change{Target: driver.Target{Tenant: "acme"}, Weight: new(3)})
	k.push(append(jobsOf("acme", 12), jobsOf("globex", 12)...)...)
	ids, _ = k.exchange(8)
	acme := 0
	for _, id := range ids {
		if id[0] == 'a' {
			acme++
		}
	}
	require.Equal(t, 6, acme, "three turns where the other has one: %v", ids)
}

func TestUniqueScopes(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	started := driver.Job{ID: "s1", Unique: "s", Scope: driver.UntilStarted}
	require.Equal(t, []driver.Pushed{{}}, k.push(started))
	again := started
	again.ID = "s2"
	require.Equal(t, []driver.Pushed{{Holder: "s1"}}, k.push(again))
	ids, _ := k.exchange(1)
	require.Equal(t, []string{"s1"}, ids)
	require.Equal(t, []driver.Pushed{{}}, k.push(again), "a worker has the first: its key is free")
	more, _ := k.exchange(1)
	k.exchange(0, k.finish(append(ids, more...)...)...)

	window := driver.Job{ID: "w1", Unique: "w", Scope: driver.UniqueFor, Window: time.Hour}
	k.push(window)
	ids, _ = k.exchange(1)
	k.exchange(0, k.finish(ids...)...)
	window.ID = "w2"
	require.Equal(t, []driver.Pushed{{Holder: "w1"}}, k.push(window), "the window outlives its job")

	replace := driver.Job{ID: "r1", Unique: "r", Scope: driver.Replace, Delay: time.Hour}
	k.push(replace)
	replace.ID, replace.Kind, replace.Delay = "r2", "newer", 0
	require.Equal(t, []driver.Pushed{{Holder: "r1", Replaced: true}}, k.push(replace))
	ids, batch := k.exchange(5)
	require.Equal(t, []string{"r1"}, ids, "it has the new due time, too")
	require.Contains(t, string(batch.Jobs[0].Body), "newer")
	replace.ID = "r3"
	require.Equal(t, []driver.Pushed{{}}, k.push(replace), "the holder runs: this is a job of its own")
}

func TestDepth(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	k.push(jobsOf("acme", 3)...)
	_, err := k.d.Push(t.Context(), driver.Push{MaxDepth: 4, Jobs: []driver.Job{{ID: "a"}, {ID: "b"}}})
	require.ErrorIs(t, err, driver.ErrQueueFull)
	k.stats(driver.Stats{Ready: 3})
	_, err = k.d.Push(t.Context(), driver.Push{MaxDepth: 4, Jobs: []driver.Job{{ID: "a"}}})
	require.NoError(t, err)
}

func TestKeptResultsAndNotes(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	k.push(driver.Job{ID: "a"}, driver.Job{ID: "b"})
	k.exchange(2)
	k.seq++
	_, err := k.d.Exchange(t.Context(), driver.Exchange{Worker: "w", Seq: k.seq, Notes: []driver.Note{{ID: "a", Data: []byte("half")}, {ID: "other", Data: []byte("x")}}})
	require.NoError(t, err)
	a := k.find("a")
	require.Equal(t, driver.Running, a.State)
	require.Equal(t, "w", a.Worker)
	require.Equal(t, "half", string(a.Progress))
	running, err := k.d.List(t.Context(), driver.ListQuery{State: driver.Running, Limit: 10})
	require.NoError(t, err)
	require.Len(t, running, 2)

	k.exchange(0, driver.Outcome{ID: "a", Action: driver.Finish, Keep: time.Hour, Result: []byte(`"done"`)}, driver.Outcome{ID: "b", Action: driver.Finish, Keep: time.Millisecond})
	k.stats(driver.Stats{Done: 2})
	a = k.find("a")
	require.Equal(t, driver.Done, a.State)
	require.Equal(t, `"done"`, string(a.Result))
	require.False(t, a.At.IsZero())
	require.Eventually(t, func() bool { // the next beat after its time forgets it
		_, err := k.d.Beat(t.Context(), driver.Beat{Worker: "w", Lease: time.Minute})
		require.NoError(t, err)
		return k.find("b").State == ""
	}, 10*time.Second, 5*time.Millisecond)
	n, err := k.d.Resolve(t.Context(), []string{"a", "b"}, driver.Delete)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	k.stats(driver.Stats{})
}

func TestCancelledJobs(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	k.push(driver.Job{ID: "runs"})
	k.exchange(1)
	k.push(driver.Job{ID: "ready"}, driver.Job{ID: "later", Delay: time.Hour, Unique: "key"})
	n, err := k.d.Resolve(t.Context(), []string{"runs", "ready", "later", "none"}, driver.Cancel)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	k.stats(driver.Stats{Running: 1})
	require.Equal(t, []driver.Pushed{{}}, k.push(driver.Job{ID: "next", Delay: time.Hour, Unique: "key"}), "a cancelled job lets its key go")
	_, batch := k.exchange(0)
	require.Equal(t, []string{"runs"}, batch.Cancel)
	_, batch = k.exchange(0)
	require.Empty(t, batch.Cancel, "told once")
	pulse, err := k.d.Beat(t.Context(), driver.Beat{Worker: "w", Lease: time.Minute})
	require.NoError(t, err)
	require.Equal(t, []string{"runs"}, pulse.Cancel, "a beat tells again")
	require.Equal(t, 1, pulse.Held)
	k.exchange(0, driver.Outcome{ID: "runs", Action: driver.Retry, Error: "cancelled"})
	require.Empty(t, k.find("runs").State, "a cancelled job is not tried again")
}

func TestNudges(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	k.push(driver.Job{ID: "runs"})
	k.exchange(1)
	nudged := make(chan struct{}, 100)
	over := make(chan error, 1)
	go func() { over <- k.d.Nudges(t.Context(), func() { nudged <- struct{}{} }) }()
	require.Eventually(t, func() bool { // until the subscription is there
		_, err := k.d.Resolve(t.Context(), []string{"runs"}, driver.Cancel)
		require.NoError(t, err)
		select {
		case <-nudged:
			return true
		default:
			return false
		}
	}, 10*time.Second, 10*time.Millisecond)
}

func TestAuditAndHistory(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	k.push(driver.Job{ID: "a"}, driver.Job{ID: "b"})
	k.exchange(2)
	tally := &driver.Tally{Finished: 3, Failed: 1, Wait: driver.Histogram{2, 1}, Run: driver.Histogram{19: 4}}
	for range 2 {
		pulse, err := k.d.Beat(t.Context(), driver.Beat{Worker: "w", Lease: time.Minute, Audit: true, Holding: []string{"b", "c"}, Tally: tally})
		require.NoError(t, err)
		require.Equal(t, 2, pulse.Held)
		require.Equal(t, []string{"a"}, pulse.Unknown)
		require.Equal(t, []string{"c"}, pulse.Lost)
	}
	minutes, err := k.d.History(t.Context(), time.Now().Add(-time.Hour))
	require.NoError(t, err)
	var sum driver.Tally
	for _, m := range minutes { // two, if the minute ends between the beats
		sum.Finished += m.Finished
		sum.Failed += m.Failed
		sum.Wait[0] += m.Wait[0]
		sum.Run[19] += m.Run[19]
	}
	require.Equal(t, driver.Tally{Finished: 6, Failed: 2, Wait: driver.Histogram{4}, Run: driver.Histogram{19: 8}}, sum)
}
