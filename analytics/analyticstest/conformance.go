package analyticstest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ashlar-go/ashlar/analytics"
)

// Features declares how a store under test deviates. The zero value is full support on real time.
type Features struct {
	// Bubble runs each case in a testing/synctest bubble. Only for stores without I/O.
	Bubble bool
}

// Run checks that the stores made by open behave as analytics.Store says. open is called once per case and returns an
// empty store of its own, ready for use.
func Run(t *testing.T, open func(t *testing.T) analytics.Store, f Features) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if f.Bubble {
				synctest.Test(t, func(t *testing.T) { c.run(t, newSuite(t, open(t))) })
				return
			}
			t.Parallel()
			c.run(t, newSuite(t, open(t)))
		})
	}
}

// cases are the contract; each name is one sentence of it.
var cases = []struct {
	name string
	run  func(*testing.T, *suite)
}{
	{"an empty store answers nothing", testEmpty},
	{"a batch is stored once however often it comes", testToken},
	{"a batch over several months is stored once", testTokenMonths},
	{"batches with other tokens are other batches", testTokens},
	{"thousands of records fit a batch", testLarge},
	{"queries see one tenant, whatever its name", testTenants},
	{"queries see one kind of event, whatever its name", testNames},
	{"the range includes its start and excludes its end", testRange},
	{"buckets are cut where the query says", testBuckets},
	{"a series may have thousands of buckets", testManyBuckets},
	{"count, sum, avg, uniques, quantile", testAggregations},
	{"events without the field do not count", testMissing},
	{"numbers stay numbers when a field's type changes", testEvolution},
	{"numbers of any size stay exact", testExtremes},
	{"text that looks like something else stays text", testText},
	{"filters compare by value, whatever the text", testWhere},
	{"groups are the texts of values, limited to the largest", testGroups},
	{"a context that ended stops the call", testContext},
}

// order is the event of the suite. Its fields cover every kind.
type order struct {
	At    time.Time `event:",time"`
	User  string    `event:",user"`
	Plan  string
	Seats int
	Price float64
	Paid  bool
}

var (
	ordered = analytics.Define[order]("Ordered")
	shipped = analytics.Define[order]("Shipped")
	t0      = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	all     = analytics.Between(t0.AddDate(-1, 0, 0), t0.AddDate(1, 0, 0))
)

type tenantKey struct{}

// suite is a store under test behind an Analytics with tenants.
type suite struct {
	store analytics.Store
	a     *analytics.Analytics
}

func newSuite(t *testing.T, store analytics.Store) *suite {
	a, err := analytics.New(store, &analytics.Options{Tenant: func(ctx context.Context) (string, bool) {
		id, ok := ctx.Value(tenantKey{}).(string)
		return id, ok
	}})
	check(t, err)
	return &suite{store: store, a: a}
}

func tenant(t *testing.T, id string) context.Context {
	return context.WithValue(t.Context(), tenantKey{}, id)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// track records orders of a tenant and delivers them.
func (s *suite) track(t *testing.T, id string, e analytics.Event[order], orders ...order) {
	t.Helper()
	for _, o := range orders {
		if o.At.IsZero() {
			o.At = t0
		}
		check(t, e.Track(tenant(t, id), s.a, o))
	}
	s.flush(t)
}

func (s *suite) flush(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	check(t, s.a.Flush(ctx))
}

// value asks for one number of a tenant over all time.
func (s *suite) value(t *testing.T, id string, m analytics.Metric) analytics.Point {
	t.Helper()
	p, err := s.a.Value(tenant(t, id), m, all, nil)
	check(t, err)
	return p
}

// by asks for the numbers per group of a tenant over all time, in one bucket.
func (s *suite) by(t *testing.T, id string, m analytics.Metric, field string, limit int) (groups []string, values map[string]float64) {
	t.Helper()
	points, err := s.a.Series(tenant(t, id), m, analytics.Between(t0, t0.Add(time.Minute)),
		&analytics.SeriesOptions{Interval: analytics.Day, By: field, Limit: limit})
	check(t, err)
	values = map[string]float64{}
	for _, p := range points {
		groups = append(groups, p.Group)
		values[p.Group] = p.Value
	}
	return groups, values
}
