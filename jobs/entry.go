package jobs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/internal/cron"
)

// entry is a schedule as a process works with it.
type entry struct {
	key    string // of the store: the name of one in code, else "<tenant> <name>"
	spec   string
	cron   *cron.Schedule
	args   Args
	opts   CronOptions
	jitter time.Duration // this schedule's part of CronOptions.Jitter

	// In code:
	known bool      // last is the store's
	last  time.Time // latest tick, by the store
	now   time.Time // the store's clock when it was asked,
	asked time.Time // by this process's clock
	noted time.Time // when the store was told of it, by this process's clock
}

// maxScheduleName leaves room for the rest of a job's id.
const maxScheduleName = 96

func newEntry(key, name, spec string, args Args, opts CronOptions, known *expressions) (*entry, error) {
	if err := checkName("schedule name", name); err != nil {
		return nil, err
	}
	if len(name) > maxScheduleName {
		return nil, fmt.Errorf("jobs: schedule name is longer than %d bytes", maxScheduleName)
	}
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("jobs: schedule %s: %w", name, err)
	}
	parsed, err := known.parse(spec, opts.Zone, key)
	if err != nil {
		return nil, fmt.Errorf("jobs: schedule %s: %w", name, err)
	}
	e := &entry{key: key, spec: spec, cron: parsed, args: args, opts: opts}
	if ms := uint64(opts.Jitter / time.Millisecond); ms > 0 {
		e.jitter = time.Duration(cron.Hash(key, "jitter")%ms) * time.Millisecond
	}
	return e, nil
}

// scheduleKey names a schedule of Queue.Schedule in the store. Names have no
// blanks, so the last one ends the tenant.
func scheduleKey(tenant, name string) string { return tenant + " " + name }

func splitScheduleKey(key string) (tenant, name string, inCode bool) {
	i := strings.LastIndexByte(key, ' ')
	if i < 0 {
		return "", key, true
	}
	return key[:i], key[i+1:], false
}

// tickID is the id of the job of a tick, the same in every process.
func tickID(key string, tick time.Time) string {
	tenant, id, inCode := splitScheduleKey(key)
	if !inCode {
		// Neither another tenant's nor that of a schedule in code.
		sum := sha256.Sum256([]byte(tenant))
		id += "/" + crockford.EncodeToString(sum[:8])
	}
	return id + "@" + strconv.FormatInt(tick.Unix(), 10)
}

// job makes the job of a tick.
func (e *entry) job(q *Queue, tick time.Time) (driver.Job, error) {
	tenant, name, _ := splitScheduleKey(e.key)
	opts := e.enqueueOptions(name)
	opts.ID = tickID(e.key, tick)
	return q.opts.jobOf(context.Background(), tenant, e.args, opts, "")
}

func (e *entry) enqueueOptions(name string) *EnqueueOptions {
	opts := *withDefaults(e.args, &EnqueueOptions{MaxAttempts: e.opts.MaxAttempts, Priority: e.opts.Priority})
	if e.opts.NoOverlap {
		opts.Key, opts.Scope, opts.Window = "schedule:"+name, UntilDone, 0
	}
	return &opts
}

// next is the tick to fire next: one that is overdue, by the catch-up policy,
// or the first one in the future. A tick is fired when its jitter has passed.
// Of a tick that is due it knows the one after it, too.
func (e *entry) next(now time.Time) (tick, after time.Time) {
	now = now.Add(-e.jitter)
	tick = e.cron.Next(e.last)
	if tick.IsZero() || tick.After(now) {
		return tick, time.Time{}
	}
	after = e.cron.Next(tick)
	alone := after.IsZero() || after.After(now)
	if alone && now.Sub(tick) < min(skipGrace, e.opts.maxAge()) {
		return tick, after // whatever the policy
	}
	if tick = e.catchUp(now); tick.IsZero() {
		return tick, time.Time{}
	}
	return tick, e.cron.Next(tick)
}

// catchUp chooses one of the ticks up to now, or takes the first one after it.
func (e *entry) catchUp(now time.Time) time.Time {
	from := e.last
	if oldest := now.Add(-e.opts.maxAge()); from.Before(oldest) {
		from = oldest
	}
	switch e.opts.CatchUp {
	case CatchUpAll:
		var ticks []time.Time
		for t := e.cron.Next(from); !t.IsZero() && !t.After(now); t = e.cron.Next(t) {
			if ticks = append(ticks, t); len(ticks) > 2*mostTicks {
				ticks = slices.Delete(ticks, 0, mostTicks)
			}
		}
		if len(ticks) > 0 {
			return ticks[max(0, len(ticks)-mostTicks)]
		}
	case CatchUpSkip:
		if t := e.cron.Last(from, now); now.Sub(t) < skipGrace {
			return t
		}
	default:
		if t := e.cron.Last(from, now); !t.IsZero() {
			return t
		}
	}
	return e.cron.Next(now)
}

// expressions remembers time zones, which the standard library reads from
// files, and what is parsed in them: very many schedules have the same few. The
// zero value is ready for use; a nil one remembers nothing.
type expressions struct {
	mu     sync.Mutex
	zones  map[string]*time.Location
	parsed map[[2]string]*cron.Schedule // by expression and zone
}

// mostExpressions bounds both maps. There are about 600 zones.
const mostExpressions = 1000

func (x *expressions) parse(spec, zone, key string) (*cron.Schedule, error) {
	if x == nil {
		x = &expressions{}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.parsed[[2]string{spec, zone}]; s != nil {
		return s, nil
	}
	loc := x.zones[zone]
	if loc == nil {
		var err error
		if loc, err = time.LoadLocation(zone); err != nil {
			return nil, err
		}
		x.zones = remember(x.zones, zone, loc)
	}
	s, err := cron.Parse(spec, loc, key)
	if err == nil && !strings.Contains(spec, "H") { // which differs between keys
		x.parsed = remember(x.parsed, [2]string{spec, zone}, s)
	}
	return s, err
}

// remember begins anew when a map is full.
func remember[K comparable, V any](m map[K]V, key K, value V) map[K]V {
	if m == nil || len(m) >= mostExpressions {
		m = map[K]V{}
	}
	m[key] = value
	return m
}
