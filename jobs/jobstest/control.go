package jobstest

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// rules are the pauses, limits and weights in force.
type rules struct {
	paused  bool
	tenants map[string]bool // paused
	kinds   map[string]bool // paused
	queue   driver.Limit
	each    driver.Limit
	own     map[string]driver.Limit // of tenants
	weights map[string]int

	// The theoretical arrival times of the generic cell rate algorithm (ITU-T
	// I.371), by group.
	arrivals map[string]time.Time
}

// Groups are what a limit or a pause is for: the queue, a tenant, a kind.
const queueGroup = "queue"

func tenantGroup(tenant string) string { return "tenant " + tenant }
func kindGroup(kind string) string     { return "kind " + kind }

func newRules() rules {
	return rules{
		tenants: map[string]bool{}, kinds: map[string]bool{}, own: map[string]driver.Limit{},
		weights: map[string]int{}, arrivals: map[string]time.Time{},
	}
}

func (r *rules) weight(tenant string) int { return max(r.weights[tenant], 1) }

// limit returns the limit of a tenant.
func (r *rules) limit(tenant string) driver.Limit {
	if l, ok := r.own[tenant]; ok {
		return l
	}
	return r.each
}

// pausedJob tells whether a pause keeps a job from running.
func (d *Driver) pausedJob(j *job) bool {
	return d.rules.paused || d.rules.tenants[j.Tenant] || d.rules.kinds[j.Kind]
}

// Configure implements driver.Controller.
func (d *Driver) Configure(ctx context.Context, changes []driver.Change) error {
	return d.call(ctx, OpConfigure, func() error {
		for _, c := range changes {
			d.rules.apply(c)
		}
		d.token()
		return nil
	})
}

func (r *rules) apply(c driver.Change) {
	t := c.Target
	if c.Pause != nil {
		switch {
		case t.Tenant != "" || t.NoTenant:
			set(r.tenants, t.Tenant, *c.Pause)
		case t.Kind != "":
			set(r.kinds, t.Kind, *c.Pause)
		default:
			r.paused = *c.Pause
		}
	}
	if c.Limit != nil {
		l := normal(*c.Limit)
		switch {
		case t.Tenant != "" || t.NoTenant:
			set(r.own, t.Tenant, l)
			delete(r.arrivals, tenantGroup(t.Tenant))
		case t.EachTenant:
			r.each = l
			maps.DeleteFunc(r.arrivals, func(group string, _ time.Time) bool { return group != queueGroup })
		default:
			r.queue = l
			delete(r.arrivals, queueGroup)
		}
	}
	if c.Weight != nil {
		w := *c.Weight
		if w == 1 {
			w = 0
		}
		set(r.weights, t.Tenant, w)
	}
}

// set stores a value, or nothing if it is zero.
func set[V comparable](m map[string]V, name string, v V) {
	var zero V
	if v == zero {
		delete(m, name)
		return
	}
	m[name] = v
}

func normal(l driver.Limit) driver.Limit {
	if l.Rate <= 0 {
		return driver.Limit{Running: max(l.Running, 0)}
	}
	return driver.Limit{
		Running: max(l.Running, 0), Rate: l.Rate, Per: cmp.Or(l.Per, time.Second), Burst: cmp.Or(max(l.Burst, 0), l.Rate),
	}
}

// Control implements driver.Controller.
func (d *Driver) Control(ctx context.Context) (driver.Control, error) {
	var c driver.Control
	err := d.call(ctx, OpInspect, func() error {
		c = driver.Control{
			Paused:        d.rules.paused,
			PausedTenants: slices.Sorted(maps.Keys(d.rules.tenants)),
			PausedKinds:   slices.Sorted(maps.Keys(d.rules.kinds)),
			Limit:         d.rules.queue,
			EachTenant:    d.rules.each,
			Tenants:       maps.Clone(d.rules.own),
			Weights:       maps.Clone(d.rules.weights),
		}
		return nil
	})
	return c, err
}

// interval is the time between two starts at a rate.
func interval(l driver.Limit) time.Duration { return max(l.Per/time.Duration(l.Rate), 1) }

// gate knows how many jobs may start at an instant.
type gate struct {
	d       *Driver
	now     time.Time
	queue   int            // of all
	tenants map[string]int // of those asked for so far
	running map[string]int // by group
}

func (d *Driver) gate() *gate {
	g := &gate{d: d, now: now(), tenants: map[string]int{}, running: map[string]int{}}
	for _, j := range d.jobs {
		if j.state == driver.Running {
			g.running[queueGroup]++
			g.running[tenantGroup(j.Tenant)]++
		}
	}
	g.queue, _ = g.room(queueGroup, d.rules.queue)
	if d.rules.paused {
		g.queue = 0
	}
	return g
}

// room is how many jobs of a group may start, and, if its rate lets none, from
// when on one may.
func (g *gate) room(group string, l driver.Limit) (int, time.Time) {
	n := math.MaxInt
	if l.Running > 0 {
		n = max(0, l.Running-g.running[group])
	}
	if l.Rate == 0 || n == 0 {
		return n, time.Time{}
	}
	gap := interval(l)
	arrival := g.d.rules.arrivals[group]
	if arrival.Before(g.now) {
		arrival = g.now
	}
	earliest := arrival.Add(gap - gap*time.Duration(l.Burst))
	if earliest.After(g.now) {
		return 0, earliest
	}
	return min(n, int(g.now.Sub(earliest)/gap)+1), time.Time{}
}

func (g *gate) tenant(name string) int {
	n, known := g.tenants[name]
	if !known {
		n, _ = g.room(tenantGroup(name), g.d.rules.limit(name))
		g.tenants[name] = n
	}
	return n
}

// holds says what holds a job back, or "". Behind parked jobs of its tenant
// every other one of it must wait.
func (g *gate) holds(j *job) string {
	group := tenantGroup(j.Tenant)
	if g.d.rules.tenants[j.Tenant] || g.tenant(j.Tenant) < 1 || g.d.parked[group] > 0 && j.group != group {
		return group
	}
	if g.d.rules.kinds[j.Kind] {
		return kindGroup(j.Kind)
	}
	return ""
}

func (g *gate) spend(j *job) {
	g.queue--
	g.tenants[j.Tenant] = g.tenant(j.Tenant) - 1
}

// charge counts the start of a job against the rates.
func (d *Driver) charge(j *job) {
	charge := func(group string, l driver.Limit) {
		if l.Rate == 0 {
			return
		}
		arrival, t := d.rules.arrivals[group], now()
		if arrival.Before(t) {
			arrival = t
		}
		d.rules.arrivals[group] = arrival.Add(interval(l))
	}
	charge(queueGroup, d.rules.queue)
	charge(tenantGroup(j.Tenant), d.rules.limit(j.Tenant))
}

// startable counts the waiting jobs that could be taken now.
func (d *Driver) startable(g *gate) int {
	// A job that its tenant's limit held back, but a paused kind does now, is in
	// nobody's way any more.
	for _, j := range d.in(driver.Parked) {
		if holds := g.holds(j); holds != "" && holds != j.group {
			d.park(j, holds)
		}
	}
	n := 0
	for _, j := range append(d.in(driver.Parked), d.in(driver.Ready)...) {
		if g.queue < 1 {
			break
		}
		if g.holds(j) == "" {
			g.spend(j)
			n++
		}
	}
	return n
}

// next is how long it takes until time alone lets a job start, or negative.
func (d *Driver) next(g *gate) time.Duration {
	var first time.Time
	sooner := func(at time.Time) {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	for _, j := range d.jobs {
		switch j.state {
		case driver.Scheduled:
			sooner(j.at)
		case driver.Ready, driver.Parked:
			_, all := g.room(queueGroup, d.rules.queue)
			_, own := g.room(tenantGroup(j.Tenant), d.rules.limit(j.Tenant))
			if own.After(all) {
				all = own
			}
			if !d.pausedJob(j) {
				sooner(all)
			}
		}
	}
	if first.IsZero() {
		return -1
	}
	return max(0, first.Sub(g.now))
}
