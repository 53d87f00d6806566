package jobstest

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// sweep acts on all jobs that a filter selects: it looks for them, perhaps lets a
// worker go on meanwhile, and resolves them, among some others that are to be
// left alone.
func (w *walk) sweep() error {
	sweeper, ok := w.d.(driver.Sweeper)
	if !ok {
		return nil
	}
	f, how := w.filter()
	want, err := w.matching(f)
	if err != nil {
		return err
	}
	var found []string
	for cursor := ""; ; {
		page, next, err := sweeper.Match(w.ctx, f, cursor)
		if err != nil {
			return err
		}
		found = append(found, page...)
		if cursor = next; cursor == "" {
			break
		}
	}
	w.logf("match %+v: %v", f, found)
	if err := w.equal("matching jobs", want, slices.Sorted(slices.Values(found))); err != nil {
		return err
	}
	if w.chance(2) {
		if err := w.exchange(); err != nil {
			return err
		}
	}
	for _, id := range w.someIDs(4) {
		if !slices.Contains(found, id) {
			found = append(found, id)
		}
	}
	matching, err := w.matching(f)
	if err != nil {
		return err
	}
	changed := 0
	for _, id := range found {
		if slices.Contains(matching, id) {
			changed++
			w.resolved(w.m.jobs[id], how)
		}
	}
	n, err := sweeper.ResolveMatching(w.ctx, found, f, how)
	w.logf("%s all %v: %d, %v", how, found, n, err)
	if err != nil {
		return err
	}
	return w.equal("changed", changed, n)
}

// filter makes a random one, and what may be done with what it selects.
func (w *walk) filter() (driver.Filter, driver.Resolution) {
	hows := map[driver.State][]driver.Resolution{
		driver.Ready: {driver.Cancel}, driver.Scheduled: {driver.Cancel, driver.Requeue}, driver.Parked: {driver.Cancel},
		driver.Running: {driver.Cancel}, driver.Dead: {driver.Requeue, driver.Delete}, driver.Done: {driver.Delete},
	}
	f := driver.Filter{State: one(w, slices.Sorted(maps.Keys(hows)))}
	if w.chance(3) {
		f.Kind = one(w, []string{"mail", "plain", "mai"})
	}
	if w.chance(3) {
		f.Tenant = one(w, []string{"acme", "globex"})
	}
	if w.chance(4) {
		f.Error = one(w, []string{"failed: ", "its worker died", "a.*l"})
	}
	f.Retried = w.chance(4)
	return f, one(w, hows[f.State])
}

// matching is what the model says that a filter selects, in order. Of a job that
// waits the driver says for what: the model does not know whether a short delay is
// over, or what is parked.
func (w *walk) matching(f driver.Filter) ([]string, error) {
	finder, ok := w.d.(driver.Finder)
	if !ok {
		return nil, nil
	}
	attempts := 1
	if f.State == driver.Dead {
		attempts = 2
	}
	list := []string{}
	for _, id := range slices.Sorted(maps.Keys(w.m.jobs)) {
		j := w.m.jobs[id]
		switch {
		case j.state == "", f.Kind != "" && f.Kind != j.Kind, f.Tenant != "" && f.Tenant != j.Tenant:
			continue
		case !strings.Contains(j.err, f.Error), f.Retried && j.attempts < attempts:
			continue
		}
		state := j.state
		if state == driver.Ready {
			found, err := finder.Find(w.ctx, []string{id})
			if err != nil {
				return nil, err
			}
			state = found[0].State
		}
		if state == f.State {
			list = append(list, id)
		}
	}
	return list, nil
}

// resolved is what becomes of a job that a resolution is for. One that its flow
// cancelled on account of another is gone already.
func (w *walk) resolved(j *expected, how driver.Resolution) {
	switch {
	case how == driver.Delete:
		j.state = ""
	case how == driver.Requeue:
		if j.state == driver.Dead {
			j.attempts, j.crashes, j.err, j.failures = 0, 0, "", nil
			w.m.retake(j)
			w.m.stepRequeued(j.ID)
		}
		w.m.wait(j, 0, time.Now())
		w.token = true
	case j.state == driver.Ready:
		w.m.forget(j)
	case j.state == driver.Running:
		j.canceled = true
	}
}
