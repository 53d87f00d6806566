package jobstest

import (
	"maps"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func (w *walk) configure(c driver.Change) error {
	controller, ok := w.d.(driver.Controller)
	if !ok {
		return nil
	}
	err := controller.Configure(w.ctx, []driver.Change{c})
	switch {
	case c.Pause != nil:
		w.logf("pause %+v %v: %v", c.Target, *c.Pause, err)
	case c.Limit != nil:
		w.logf("limit %+v %+v: %v", c.Target, *c.Limit, err)
	case c.Weight != nil:
		w.logf("weight %+v %d: %v", c.Target, *c.Weight, err)
	}
	w.token = true
	return err
}

func (w *walk) pause() error {
	on := !w.chance(2)
	switch w.rand.IntN(3) {
	case 0:
		if w.uses.pauses {
			w.m.paused = on
			return w.configure(driver.Change{Pause: &on})
		}
	case 1:
		if tenant := one(w, []string{"acme", "globex"}); w.uses.pauses {
			w.m.tenants[tenant] = on
			return w.configure(driver.Change{Target: driver.Target{Tenant: tenant}, Pause: &on})
		}
	case 2:
		if kind := one(w, []string{"mail", "plain"}); w.uses.kinds {
			w.m.kinds[kind], w.m.kindPauses = on, true
			return w.configure(driver.Change{Target: driver.Target{Kind: kind}, Pause: &on})
		}
	}
	return nil
}

func (w *walk) limit() error {
	l := driver.Limit{}
	if w.uses.limits && !w.chance(3) {
		l.Running = 1 + w.rand.IntN(4)
	}
	if w.uses.rates && !w.chance(3) {
		l.Rate, l.Per = 1+w.rand.IntN(4), 100*time.Hour
		l.Burst = 1 + w.rand.IntN(8)
	}
	switch w.rand.IntN(3) {
	case 0:
		w.m.queue = l
		delete(w.m.spent, queueGroup)
		return w.configure(driver.Change{Limit: &l})
	case 1:
		w.m.each = l
		maps.DeleteFunc(w.m.spent, func(group string, _ spent) bool { return group != queueGroup })
		return w.configure(driver.Change{Target: driver.Target{EachTenant: true}, Limit: &l})
	}
	tenant := one(w, []string{"acme", "globex"})
	set(w.m.own, tenant, l)
	delete(w.m.spent, tenantGroup(tenant))
	return w.configure(driver.Change{Target: driver.Target{Tenant: tenant}, Limit: &l})
}

func (w *walk) weigh() error {
	weight := one(w, []int{0, 1, 3, 1000})
	return w.configure(driver.Change{Target: driver.Target{Tenant: one(w, []string{"acme", "globex"})}, Weight: &weight})
}

func (w *walk) cancel() error {
	some := w.someIDs(1 + w.rand.IntN(4))
	want := 0
	for _, id := range some { // also what a flow cancels on account of another
		if j := w.m.jobs[id]; j != nil && (j.state == driver.Ready || j.state == driver.Running) {
			want++
		}
	}
	for _, id := range some {
		if j := w.m.jobs[id]; j != nil {
			w.resolved(j, driver.Cancel)
		}
	}
	return w.resolve(driver.Cancel, some, want)
}

func (w *walk) requeue() error { return w.requeueJobs(w.someIDs(1 + w.rand.IntN(4))) }

func (w *walk) requeueJobs(some []string) error {
	want := 0
	finder, ok := w.d.(driver.Finder)
	if !ok {
		return nil
	}
	found, err := finder.Find(w.ctx, some) // the model does not know whether a short delay is over
	if err != nil {
		return err
	}
	for i, id := range some {
		j := w.m.jobs[id]
		if state := found[i].State; state != driver.Dead && state != driver.Scheduled {
			continue
		}
		w.resolved(j, driver.Requeue)
		want++
	}
	return w.resolve(driver.Requeue, some, want)
}

func (w *walk) delete() error {
	some := w.someIDs(1 + w.rand.IntN(6))
	want := 0
	for _, id := range some {
		if j := w.m.jobs[id]; j != nil && (j.state == driver.Dead || j.state == driver.Done) {
			j.state = ""
			want++
		}
	}
	return w.resolve(driver.Delete, some, want)
}

func (w *walk) resolve(how driver.Resolution, some []string, want int) error {
	n, err := w.d.Resolve(w.ctx, some, how)
	w.logf("%s %v: %d, %v", how, some, n, err)
	if err != nil {
		return err
	}
	return w.equal("resolved", want, n)
}

// look compares all that the driver shows.
func (w *walk) look() error {
	seen := map[string]driver.Stored{}
	for _, state := range []driver.State{driver.Ready, driver.Scheduled, driver.Parked, driver.Running, driver.Dead, driver.Done} {
		page, err := w.d.List(w.ctx, driver.ListQuery{State: state, Limit: driver.MaxBatch})
		if err != nil {
			return err
		}
		for _, s := range page {
			if other, twice := seen[s.ID]; twice {
				return w.differ("%s is both %s and %s", s.ID, other.State, s.State)
			}
			seen[s.ID] = s
		}
	}
	ids := slices.Sorted(maps.Keys(w.m.jobs))
	for part := range slices.Chunk(ids, driver.MaxBatch) {
		if err := w.lookUp(part, seen); err != nil {
			return err
		}
	}
	if len(seen) > 0 {
		return w.differ("jobs that should be gone: %v", slices.Sorted(maps.Keys(seen)))
	}
	if err := w.lookAtFlows(); err != nil {
		return err
	}
	if err := w.lookAtWorkers(); err != nil {
		return err
	}
	return w.count()
}

// lookUp compares jobs as Find and List show them, and takes them off seen.
func (w *walk) lookUp(ids []string, seen map[string]driver.Stored) error {
	finder, ok := w.d.(driver.Finder)
	if !ok {
		return nil
	}
	found, err := finder.Find(w.ctx, ids)
	if err != nil {
		return err
	}
	for i, id := range ids {
		j, got := w.m.jobs[id], found[i]
		if j.state == "" {
			if err := w.equal("gone job", show(driver.Stored{ID: id}), show(got)); err != nil {
				return err
			}
			continue
		}
		if err := w.equal("listed job", show(got), show(seen[id])); err != nil {
			return err
		}
		delete(seen, id)
		state := got.State
		if state == driver.Scheduled || state == driver.Parked {
			state = driver.Ready
		}
		want := driver.Stored{
			ID: id, Tenant: j.Tenant, Body: j.Body, Attempts: j.attempts, Crashes: j.crashes, Error: j.err,
			State: j.state, At: got.At, Worker: j.worker, Progress: []byte(j.progress),
		}
		if j.state == driver.Done {
			want.Result, want.Took = []byte(j.result), j.took
		}
		got.State = state
		for i, f := range j.failures {
			if i < len(got.Failures) {
				f.At = got.Failures[i].At
			}
			want.Failures = append(want.Failures, f)
		}
		want.Started = j.begun[0]
		if got.Started.After(j.begun[0]) && !got.Started.After(j.begun[1]) {
			want.Started = got.Started
		}
		if err := w.equal("job", show(want), show(got)); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) count() error {
	s, err := w.d.Stats(w.ctx)
	if err != nil {
		return err
	}
	want := []int{len(w.m.in(driver.Ready)), len(w.m.in(driver.Running)), len(w.m.in(driver.Dead)), len(w.m.in(driver.Done))}
	return w.equal("stats", want, []int{s.Ready + s.Scheduled + s.Parked, s.Running, s.Dead, s.Done})
}
