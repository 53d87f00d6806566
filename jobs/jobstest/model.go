package jobstest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// model is what the calls made so far imply about a queue, in the simplest
// terms: no scores, no counters, no sets beside the jobs themselves. Whatever
// it leaves open, such as whose turn it is, the driver decides and the model
// checks.
type model struct {
	jobs      map[string]*expected
	keys      map[string]string // unique key → id
	workers   map[string]*member
	flows     map[string]*course
	schedules map[string]*ticking
	claims    []driver.DueTick // that were ever made
	notes     map[string]*noted
	ticks     map[string]time.Time // the latest, of schedules in code
	dropped   map[string]time.Time // and of those that were dropped
	fired     map[string]time.Time // the last that did, of any schedule
	began     time.Time            // the present step: what it pushes is not due before
	turns     int

	paused  bool
	tenants map[string]bool // paused
	kinds   map[string]bool // paused
	queue   driver.Limit
	each    driver.Limit
	own     map[string]driver.Limit
	spent   map[string]spent // by group, since its rate was set

	kindPauses bool // there was one, so that kinds of a tenant may have overtaken each other
	tally      int
	recent     int // of the tally, so much that it must be remembered
	position   string
}

// expected is a job that the driver accepted. Those that are gone stay.
type expected struct {
	driver.Job
	state    driver.State // Ready stands for all that waits; "" is gone
	due      time.Time    // it does not start before, by our clock
	sure     time.Time    // it may start from then on, by any
	turn     int          // among those of its tenant; zero: it came back, or was put off
	worker   string
	attempts int
	crashes  int
	err      string
	failures []driver.Failure // latest first; At is not known
	canceled bool
	told     bool
	progress string
	result   string
	until    time.Time // done: end of its keeping
	took     time.Duration
	begun    [2]time.Time // running: its handler began between these, if that was told
	lapses   time.Time    // end of the window of its key, if it had one when it was stored
}

type member struct {
	seq   uint64
	beat  driver.Beat // the latest
	held  int         // jobs, then
	after time.Time   // it was not heard of before
}

func newModel() *model {
	return &model{
		jobs: map[string]*expected{}, keys: map[string]string{}, workers: map[string]*member{}, flows: map[string]*course{}, schedules: map[string]*ticking{},
		notes: map[string]*noted{}, ticks: map[string]time.Time{}, dropped: map[string]time.Time{}, fired: map[string]time.Time{},
		tenants: map[string]bool{}, kinds: map[string]bool{}, own: map[string]driver.Limit{}, spent: map[string]spent{},
	}
}

// in returns the jobs of a state, by id.
func (m *model) in(state driver.State) []*expected {
	var found []*expected
	for _, j := range m.jobs {
		if j.state == state {
			found = append(found, j)
		}
	}
	slices.SortFunc(found, func(a, b *expected) int { return strings.Compare(a.ID, b.ID) })
	return found
}

func (m *model) heldBy(worker string) []*expected {
	return slices.DeleteFunc(m.in(driver.Running), func(j *expected) bool { return j.worker != worker })
}

// push does what a push of a job must do, and answers what it must answer.
func (m *model) push(in driver.Job, now time.Time) driver.Pushed {
	if holder := m.holder(in.Unique); in.Unique != "" && holder != "" && holder != in.ID {
		h := m.jobs[holder]
		if in.Scope != driver.Replace || h == nil || h.state != driver.Ready {
			return driver.Pushed{Holder: holder}
		}
		in.ID = holder
		h.Job = in
		m.wait(h, in.Delay, now)
		h.turn = 0
		return driver.Pushed{Holder: holder, Replaced: true}
	}
	if j := m.jobs[in.ID]; j != nil && j.state != "" {
		return driver.Pushed{Taken: j.Tenant != in.Tenant}
	}
	j := &expected{Job: in}
	if in.Scope == driver.UniqueFor {
		j.lapses = now.Add(in.Window)
	}
	m.jobs[in.ID] = j
	if in.Unique != "" {
		m.keys[in.Unique] = in.ID
	}
	m.wait(j, in.Delay, now)
	if in.Delay == 0 {
		m.turns++
		j.turn = m.turns
	}
	return driver.Pushed{}
}

// holder is the job that holds a key, or "".
func (m *model) holder(key string) string {
	if j := m.jobs[m.keys[key]]; j != nil && !j.lapses.IsZero() && !j.lapses.After(time.Now()) {
		delete(m.keys, key)
	}
	return m.keys[key]
}

// countNew is how many of the jobs push would add.
func (m *model) countNew(batch []driver.Job) int {
	later := model{jobs: maps.Clone(m.jobs), keys: maps.Clone(m.keys)}
	n := 0
	for _, in := range batch {
		holder, known := later.holder(in.Unique), later.jobs[in.ID]
		if in.Unique != "" && holder != "" && holder != in.ID || known != nil && known.state != "" {
			continue
		}
		n++
		later.jobs[in.ID] = &expected{Job: in, state: driver.Ready}
		if in.Unique != "" {
			later.keys[in.Unique] = in.ID
		}
	}
	return n
}

// wait makes a job wait for a worker, after a delay that began between an
// instant and now.
func (m *model) wait(j *expected, delay time.Duration, now time.Time) {
	j.state, j.worker, j.turn, j.canceled, j.told, j.progress = driver.Ready, "", 0, false, false, ""
	j.begun = [2]time.Time{}
	j.due, j.sure = now.Add(delay), time.Now().Add(delay+rounding)
	if delay == 0 {
		j.sure = j.due
	}
}

// end makes a job dead, done or gone.
func (m *model) end(j *expected, state driver.State) {
	window := !j.lapses.IsZero() && (state == driver.Done || state == "") && !j.canceled
	if m.keys[j.Unique] == j.ID && !window {
		delete(m.keys, j.Unique)
	}
	j.state, j.worker, j.canceled, j.told, j.progress = state, "", false, false, ""
	j.begun = [2]time.Time{}
}

func (j *expected) fail(attempt int, took time.Duration, why string) {
	j.err = why
	j.failures = append([]driver.Failure{{Attempt: attempt, Took: took, Error: why}}, j.failures...)
	j.failures = j.failures[:min(len(j.failures), driver.MaxFailures)]
}

// retake gives a job its key back if that is free, until it is finished or, by
// its scope, started.
func (m *model) retake(j *expected) {
	if j.Unique != "" && m.holder(j.Unique) == "" {
		m.keys[j.Unique], j.lapses = j.ID, time.Time{}
	}
}

func (m *model) cameBack(j *expected) {
	if j.Scope == driver.UntilStarted || j.Scope == driver.Replace {
		m.retake(j)
	}
}

// forget makes a job gone, with its key.
func (m *model) forget(j *expected) {
	j.canceled = true
	m.end(j, "")
	m.stepEnded(j.ID, driver.Failed, "cancelled")
}

func (m *model) settle(j *expected, o driver.Outcome, now time.Time) {
	action := o.Action
	if j.canceled && (action == driver.Retry || action == driver.Return) {
		action = driver.Drop
	}
	switch action {
	case driver.Finish:
		j.canceled = false
		j.took = o.Took
		if j.result = string(o.Result); o.Keep > 0 {
			m.end(j, driver.Done)
			j.until = now.Add(o.Keep)
		} else {
			m.end(j, "")
		}
		m.stepEnded(j.ID, driver.Done, j.result)
	case driver.Drop:
		m.forget(j)
	case driver.Bury:
		j.attempts++
		j.fail(j.attempts, o.Took, o.Error)
		m.end(j, driver.Dead)
		m.stepEnded(j.ID, driver.Failed, j.err)
	case driver.Retry:
		j.attempts++
		j.fail(j.attempts, o.Took, o.Error)
		m.wait(j, o.Delay, now)
	case driver.Return:
		m.cameBack(j)
		m.wait(j, o.Delay, now)
	}
}

// giveBack is what becomes of the jobs of a worker that left or crashed.
func (m *model) giveBack(worker string, crashed bool, maxCrashes int, now time.Time) (reclaimed, buried int) {
	var poisoned, canceled []*expected // last, since their flows may cancel others of these
	for _, j := range m.heldBy(worker) {
		if crashed {
			j.crashes++
		}
		switch {
		case j.canceled:
			canceled = append(canceled, j)
		case crashed && maxCrashes > 0 && j.crashes >= maxCrashes:
			poisoned = append(poisoned, j)
		default:
			m.cameBack(j)
			m.wait(j, 0, now)
			reclaimed++
		}
	}
	for _, j := range poisoned {
		j.fail(j.attempts+1, 0, fmt.Sprintf("its worker died %d times", j.crashes))
		m.end(j, driver.Dead)
		m.stepEnded(j.ID, driver.Failed, j.err)
		buried++
	}
	for _, j := range canceled {
		m.forget(j)
	}
	delete(m.workers, worker)
	return reclaimed, buried
}

// start takes a job that the driver handed out, or says why it must not be.
func (m *model) start(j *expected, worker string, now time.Time) string {
	switch {
	case j.state != driver.Ready:
		return fmt.Sprintf("it is %q", j.state)
	case now.Before(j.due):
		return fmt.Sprintf("it is early by %s", j.due.Sub(now))
	case m.paused:
		return "the queue is paused"
	case m.tenants[j.Tenant]:
		return "its tenant is paused"
	case m.kinds[j.Kind]:
		return "its kind is paused"
	case m.room(queueGroup, m.queue) < 1:
		return fmt.Sprintf("the queue's limit is %+v", m.queue)
	case m.room(tenantGroup(j.Tenant), m.limit(j.Tenant)) < 1:
		return fmt.Sprintf("its tenant's limit is %+v", m.limit(j.Tenant))
	}
	for _, other := range m.in(driver.Ready) {
		same := other.Tenant == j.Tenant && other.Priority == j.Priority
		if same && other.turn > 0 && other.turn < j.turn && !m.kindPauses {
			return fmt.Sprintf("%s came first", other.ID)
		}
	}
	j.state, j.worker = driver.Running, worker
	if j.Scope == driver.UntilStarted || j.Scope == driver.Replace {
		if m.keys[j.Unique] == j.ID {
			delete(m.keys, j.Unique)
		}
	}
	m.spend(queueGroup, m.queue)
	m.spend(tenantGroup(j.Tenant), m.limit(j.Tenant))
	return ""
}

func (m *model) limit(tenant string) driver.Limit {
	if l, ok := m.own[tenant]; ok {
		return l
	}
	return m.each
}

// room is how many jobs of a group may start.
func (m *model) room(group string, l driver.Limit) int {
	n := math.MaxInt
	if l.Running > 0 {
		n = l.Running
		for _, j := range m.in(driver.Running) {
			if group == queueGroup || group == tenantGroup(j.Tenant) {
				n--
			}
		}
	}
	if l.Rate > 0 {
		n = min(n, m.affordable(group, l))
	}
	return n
}

// startable tells whether a job must be handed out to whoever asks at an instant.
func (m *model) startable(j *expected, now time.Time) bool {
	return j.state == driver.Ready && !now.Before(j.sure) && !m.paused &&
		!m.tenants[j.Tenant] && !m.kinds[j.Kind] &&
		m.room(queueGroup, m.queue) > 0 && m.room(tenantGroup(j.Tenant), m.limit(j.Tenant)) > 0
}

// anyStartable answers the id of a startable job, or "".
func (m *model) anyStartable(now time.Time) string {
	for _, j := range m.in(driver.Ready) {
		if m.startable(j, now) {
			return j.ID
		}
	}
	return ""
}
