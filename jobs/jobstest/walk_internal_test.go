package jobstest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// eachTenth is true now and then.
func (f *faulty) eachTenth() bool {
	f.calls++
	return f.calls%10 == 0
}

// afterLeap does something bad before the first beat of a worker that comes after
// an hour; over is an hour ago.
func afterLeap(do func(f *faulty, over time.Time)) func(*faulty) {
	return func(f *faulty) {
		seen := now()
		f.onBeat = func(f *faulty, b *driver.Beat) {
			if now().Sub(seen) > time.Hour {
				do(f, now().Add(-time.Hour))
			}
			seen = now()
		}
	}
}

// settleAs makes another end of some outcomes.
func settleAs(from, to driver.Action) func(*faulty) {
	return func(f *faulty) {
		f.onExchange = func(f *faulty, x *driver.Exchange) {
			for i := range x.Done {
				if x.Done[i].Action == from && f.eachTenth() {
					x.Done[i].Action = to
				}
			}
		}
	}
}

// limits changes the limits that are set.
func limits(change func(*driver.Limit)) func(*faulty) {
	return func(f *faulty) {
		f.onConfigure = func(c []driver.Change) {
			for i := range c {
				if c[i].Limit != nil {
					l := *c[i].Limit
					change(&l)
					c[i].Limit = &l
				}
			}
		}
	}
}

// pushes changes some of the jobs that are pushed.
func pushes(change func(*driver.Job)) func(*faulty) {
	return func(f *faulty) {
		f.onPush = func(f *faulty, p *driver.Push) {
			for i := range p.Jobs {
				if f.eachTenth() {
					change(&p.Jobs[i])
				}
			}
		}
	}
}

var plantedFaults = map[string]func(*faulty){
	"a reclaimed job is forgotten": func(f *faulty) {
		f.onPulse = func(f *faulty, p *driver.Pulse) {
			if ready := f.in(driver.Ready); p.Reclaimed > 0 && len(ready) > 0 {
				delete(f.jobs, ready[0].ID)
			}
		}
	},
	"a reclaimed job counts no crash": func(f *faulty) {
		f.onPulse = func(f *faulty, p *driver.Pulse) {
			for _, j := range f.in(driver.Ready) {
				j.crashes = 0
			}
		}
	},
	"a counter of running jobs leaks": func(f *faulty) {
		f.onBatch = func(f *faulty, _ *driver.Batch) {
			if l := f.rules.own["acme"]; l.Running > 1 && f.eachTenth() {
				l.Running--
				f.rules.own["acme"] = l
			}
		}
	},
	"a retried job is finished":        settleAs(driver.Retry, driver.Finish),
	"a finished job is retried":        settleAs(driver.Finish, driver.Retry),
	"a buried job is finished":         settleAs(driver.Bury, driver.Finish),
	"a returned job counts an attempt": settleAs(driver.Return, driver.Retry),
	"an outcome is lost":               settleAs(driver.Finish, "nonsense"),
	"a limit is off by one":            limits(func(l *driver.Limit) { l.Running += min(l.Running, 1) }),
	"a limit is too low":               limits(func(l *driver.Limit) { l.Running = max(l.Running-1, min(l.Running, 1)) }),
	"a burst is off by one":            limits(func(l *driver.Limit) { l.Burst += min(l.Burst, 1) }),
	"a unique key is not kept":         pushes(func(j *driver.Job) { j.Unique = "" }),
	"a scope is another":               pushes(func(j *driver.Job) { j.Scope = driver.UntilStarted }),
	"a job is late":                    pushes(func(j *driver.Job) { j.Delay *= 3 }),
	"a job is early":                   pushes(func(j *driver.Job) { j.Delay /= 3 }),
	"a priority is lost":               pushes(func(j *driver.Job) { j.Priority = 0 }),
	"a body is another's":              pushes(func(j *driver.Job) { j.Body = []byte("x") }),
	"a tenant is another":              pushes(func(j *driver.Job) { j.Tenant = "acme" }),
	"a requeued job has no key": func(f *faulty) {
		requeued := map[string]bool{}
		f.onResolve = func(ids []string) []string {
			for _, id := range ids {
				requeued[id] = f.jobs[id] != nil && f.jobs[id].state == driver.Dead
			}
			return ids
		}
		f.onPush = func(f *faulty, _ *driver.Push) {
			for name, k := range f.keys {
				if requeued[k.id] {
					delete(f.keys, name)
				}
			}
		}
	},
	"a returned job has no key": func(f *faulty) {
		returned := map[string]bool{}
		f.onExchange = func(f *faulty, x *driver.Exchange) {
			for _, o := range x.Done {
				returned[o.ID] = o.Action == driver.Return
			}
		}
		f.onPush = func(f *faulty, _ *driver.Push) {
			for name, k := range f.keys {
				if j := f.jobs[k.id]; returned[k.id] && j != nil && (j.Scope == driver.UntilStarted || j.Scope == driver.Replace) {
					delete(f.keys, name)
				}
			}
		}
	},
	"a batch is turned round": func(f *faulty) { f.onPush = func(f *faulty, p *driver.Push) { slices.Reverse(p.Jobs) } },
	"a pause holds nothing": func(f *faulty) {
		f.onConfigure = func(c []driver.Change) {
			if c[0].Pause != nil && c[0].Target.Tenant != "" {
				c[0].Pause = new(false)
			}
		}
	},
	"a repeated exchange is done again": func(f *faulty) {
		f.onExchange = func(f *faulty, x *driver.Exchange) {
			f.calls++
			x.Seq = uint64(f.calls)
		}
	},
	"a tenant gets more than its share": func(f *faulty) {
		f.onExchange = func(_ *faulty, x *driver.Exchange) { x.Each = 0 }
	},
	"a lease goes on without its worker": func(f *faulty) {
		f.onBeat = func(f *faulty, b *driver.Beat) { b.Lease = max(b.Lease, time.Hour) }
	},
	"a filter selects another kind": func(f *faulty) {
		f.onMatch = func(filter *driver.Filter) { filter.Kind = "" }
	},
	"a filter is not looked at again": func(f *faulty) {
		f.onSweep = func(ids []string, filter *driver.Filter) []string {
			*filter = driver.Filter{State: filter.State}
			return ids
		}
	},
	"one of all is left out": func(f *faulty) {
		f.onSweep = func(ids []string, _ *driver.Filter) []string { return ids[1:] }
	},
	"a failure is forgotten": func(f *faulty) {
		f.onBatch = func(f *faulty, _ *driver.Batch) {
			for _, j := range f.jobs {
				j.failures = j.failures[:min(len(j.failures), 2)]
			}
		}
	},
	"an attempt begins before it does": func(f *faulty) {
		f.onBatch = func(f *faulty, _ *driver.Batch) {
			for _, j := range f.in(driver.Running) {
				if f.eachTenth() {
					j.started = now()
				}
			}
		}
	},
	"a worker says what it said before": func(f *faulty) {
		said := map[string][]byte{}
		f.onBeat = func(f *faulty, b *driver.Beat) {
			if old := said[b.Worker]; old != nil && b.Lease > 0 {
				b.About = old
			}
			said[b.Worker] = b.About
		}
	},
	"a worker holds more than it does": func(f *faulty) {
		f.onPulse = func(f *faulty, _ *driver.Pulse) {
			for _, l := range f.leases {
				l.shown.Held++
			}
		}
	},
	"a cancellation is forgotten": func(f *faulty) {
		f.onResolve = func(ids []string) []string { return ids[:len(ids)-1] }
	},
	"a cancellation is not told": func(f *faulty) {
		f.onBatch = func(f *faulty, b *driver.Batch) { b.Cancel = nil }
	},
	"nothing is said to be ready": func(f *faulty) {
		f.onBatch = func(f *faulty, b *driver.Batch) { b.Ready = 0 }
	},
	"a flow has another policy": func(f *faulty) {
		f.onStart = func(p *driver.FlowPart) {
			if p.Policy == driver.WaitAll {
				p.Policy = driver.Ignore
			}
		}
	},
	"a failed flow is not cleaned up after": func(f *faulty) { f.onStart = func(p *driver.FlowPart) { p.OnFailure = nil } },
	"a stage begins before its time": func(f *faulty) {
		f.onBatch = func(f *faulty, _ *driver.Batch) {
			for _, flow := range f.flows {
				if flow.state == driver.Running && flow.stage+1 < len(flow.Sizes) && count(flow.stageJobs(flow.stage), driver.Done) > 0 {
					f.begin(flow, flow.stage+1)
				}
			}
		}
	},
	"a job of a stage is forgotten": func(f *faulty) {
		f.onBatch = func(f *faulty, _ *driver.Batch) {
			for _, j := range f.in(driver.Ready) {
				if _, stage, _, ok := driver.FlowOf(j.ID); ok && stage > 0 {
					delete(f.jobs, j.ID)
				}
			}
		}
	},
	"a cancelled flow goes on": func(f *faulty) {
		f.onFlow = func(f *faulty) {
			for _, flow := range f.flows {
				if flow.ending == driver.Cancelled {
					flow.ending = ""
				}
			}
		}
	},
	"a tick is lost with its claim": func(f *faulty) {
		f.onClaim = func(f *faulty) {
			for _, s := range f.schedules {
				s.claimed = time.Time{}
			}
		}
	},
	"a schedule is early": func(f *faulty) {
		f.onClaim = func(f *faulty) {
			for _, s := range f.schedules {
				s.next = s.next.Add(-time.Minute)
			}
		}
	},
	"a pause of a schedule ends": func(f *faulty) {
		f.onClaim = func(f *faulty) {
			for _, s := range f.schedules {
				s.paused = false
			}
		}
	},
	"an exchange of data moves the tick": func(f *faulty) {
		f.onPut = func(f *faulty, p driver.PutSchedule) {
			if s := f.schedules[p.Key]; s != nil && len(p.Old) > 0 && s.data == string(p.Old) && !s.paused {
				s.move(s.next.Add(time.Minute))
			}
		}
	},
	"an exchange of data does not compare": func(f *faulty) {
		f.onPut = func(f *faulty, p driver.PutSchedule) {
			if s := f.schedules[p.Key]; s != nil && len(p.Old) > 0 {
				s.data = string(p.Old)
			}
		}
	},
	"which tick fired last is forgotten": func(f *faulty) {
		f.onTick = func(f *faulty, t driver.DueTick) { delete(f.fired, t.Key) }
	},
	"which tick fired last is forgotten with a change": func(f *faulty) {
		f.onPut = func(f *faulty, p driver.PutSchedule) {
			if s := f.schedules[p.Key]; s != nil && s.data != string(p.Data) {
				delete(f.fired, p.Key)
			}
		}
	},
	"a tick that is passed over is said to fire": func(f *faulty) {
		f.onTick = func(f *faulty, t driver.DueTick) {
			if t.Job == nil {
				f.fired[t.Key] = t.Tick
			}
		}
	},
	"a tick in code that is passed over is said to fire": func(f *faulty) {
		f.onFired = func(f *faulty, t driver.Tick, got *driver.Fired) {
			if t.Job != nil && !got.Fired && got.Last.Equal(t.At) {
				f.fired[t.Name] = t.At
			}
		}
	},
	"a tick in code is fired twice": func(f *faulty) {
		f.onFire = func(f *faulty, t *driver.Tick) {
			if last := f.ticks[t.Name]; t.At.Equal(last) {
				f.ticks[t.Name] = last.Add(-time.Millisecond)
			}
		}
	},
	"a tick in code is early": func(f *faulty) {
		f.onFire = func(f *faulty, t *driver.Tick) {
			if t.At.After(now()) {
				t.At = now()
			}
		}
	},
	"a tick in code is older than the last": func(f *faulty) {
		f.onFire = func(f *faulty, t *driver.Tick) {
			if t.Job != nil && t.At.Before(f.ticks[t.Name]) {
				f.ticks[t.Name] = t.At.Add(-time.Millisecond)
			}
		}
	},
	"a tick in code is lost": func(f *faulty) {
		f.onFired = func(f *faulty, t driver.Tick, got *driver.Fired) {
			if got.Fired && got.Holder == "" {
				delete(f.jobs, t.Job.ID)
			}
		}
	},
	"a tick in code runs beside itself": func(f *faulty) {
		f.onFire = func(f *faulty, t *driver.Tick) {
			if t.Job != nil {
				t.Job = new(*t.Job)
				t.Job.Unique = ""
			}
		}
	},
	"a pause of a schedule in code holds nothing": func(f *faulty) {
		f.onFire = func(f *faulty, t *driver.Tick) {
			if s := f.schedules[t.Name]; s != nil {
				s.paused = false
			}
		}
	},
	"a dropped schedule in code remembers its ticks": func(f *faulty) {
		dropped := map[string]time.Time{}
		f.onFired = func(f *faulty, t driver.Tick, got *driver.Fired) {
			if last, known := dropped[t.Name]; known && last.After(got.Last) {
				f.ticks[t.Name], got.Last = last, last
			}
			dropped[t.Name] = got.Last.Add(time.Minute)
		}
	},
	"a dropped schedule in code swallows the next tick": func(f *faulty) {
		f.onFire = func(f *faulty, t *driver.Tick) { t.Known = false }
	},
	"a dropped schedule in code fires a tick again": func(f *faulty) {
		f.onFire = func(f *faulty, t *driver.Tick) {
			if at, ok := f.dropped[t.Name]; ok && t.Known && t.At.Equal(at) {
				f.dropped[t.Name] = at.Add(-time.Millisecond)
			}
		}
	},
	"what waits long is forgotten": afterLeap(func(f *faulty, over time.Time) {
		for _, j := range f.in(driver.Scheduled) {
			if j.at.Before(over) {
				delete(f.jobs, j.ID)
			}
		}
	}),
	"what waits long is put off again": afterLeap(func(f *faulty, over time.Time) {
		for _, j := range f.in(driver.Scheduled) {
			if j.at.Before(over) {
				j.at = j.at.Add(24 * time.Hour)
			}
		}
	}),
	"a tick is lost in a leap": afterLeap(func(f *faulty, over time.Time) {
		for _, s := range f.schedules {
			if !s.paused && !s.next.IsZero() && s.next.Before(over) {
				s.move(s.next.Add(24 * time.Hour))
			}
		}
	}),
	"a claim does not lapse": afterLeap(func(f *faulty, _ time.Time) {
		for _, s := range f.schedules {
			if !s.claimed.IsZero() {
				s.next = now().Add(time.Hour)
			}
		}
	}),
	"the window of a key has no end": afterLeap(func(f *faulty, over time.Time) {
		for name, k := range f.keys {
			if !k.ends.IsZero() {
				f.keys[name] = key{k.id, now().Add(time.Hour)}
			}
		}
	}),
	"a result is kept for ever": afterLeap(func(f *faulty, over time.Time) {
		for _, j := range f.in(driver.Done) {
			j.until = now().Add(time.Hour)
		}
	}),
	"a flow is kept for ever": afterLeap(func(f *faulty, over time.Time) {
		for _, flow := range f.flows {
			if !flow.ended.IsZero() {
				flow.ended = now()
			}
		}
	}),
	"a leap pays off all rates": afterLeap(func(f *faulty, over time.Time) { clear(f.rules.arrivals) }),
	"a leap pays off no rate": afterLeap(func(f *faulty, over time.Time) {
		for group := range f.rules.arrivals {
			f.rules.arrivals[group] = now().Add(90 * time.Hour)
		}
	}),
	"nobody is woken": func(f *faulty) {
		f.onWait = func(ctx context.Context, d time.Duration) error {
			<-time.After(d)
			return ctx.Err()
		}
	},
}

// The walks are worth as much as the faults that they find.
func TestWalksFindFaults(t *testing.T) {
	t.Parallel()
	for name, plant := range plantedFaults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				open := func() driver.Driver {
					f := &faulty{Driver: NewDriver()}
					plant(f)
					return f
				}
				for seed := range uint64(200) {
					if failure := tryWalk(t.Context(), open, seed, walkSteps, 20, true); failure != "" {
						require.Contains(t, failure, errWalk.Error())
						t.Logf("found by seed %d, shown in %d lines: %.300s", seed, strings.Count(failure, "\n"), failure)
						return
					}
				}
				t.Error("not found")
			})
		})
	}
}
