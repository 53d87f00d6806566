package analyticstest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/ashlar-go/ashlar/analytics"
)

// hostile are names that break whoever pastes text into SQL, a URL, or a tab-separated protocol.
var hostile = []string{
	"acme", "ACME", "acme ", `a'cme`, `' OR 1=1 --`, `'; DROP TABLE events; --`, `\`, `\'`, `\\' OR tenant != '`, "tab\there",
	"line\nbreak", "cr\rhere", "{tenant:String}", "%27", "a\u00fc\u4e16\U0001F600", `"quoted"`, "`ticks`", `\N`, "NULL", "null",
	"0", "*", "?", "$1", "@p", ":name", "/*", "nul\x00byte", "\u2028",
}

func testEmpty(t *testing.T, s *suite) {
	equal(t, "value", s.value(t, "a", ordered.Count()), analytics.Point{Time: t0.AddDate(-1, 0, 0)})
	equal(t, "average", s.value(t, "a", ordered.Avg("price")).Value, 0)
	equal(t, "quantile", s.value(t, "a", ordered.Quantile("price", .5)).Value, 0)
	groups, _ := s.by(t, "a", ordered.Count(), "plan", 0)
	equal(t, "groups", len(groups), 0)
}

func record(id int, at time.Time) analytics.Record {
	return analytics.Record{
		ID: fmt.Sprintf("018e2f6a-0000-7000-8000-%012x", id), Tenant: "a", Name: "Ordered", User: "u", Time: at,
		Props: []byte(`{"plan":"pro","seats":1,"price":2.0,"paid":true}`),
	}
}

func testToken(t *testing.T, s *suite) {
	b := analytics.Batch{Token: "seg-1", Records: []analytics.Record{record(1, t0), record(2, t0)}}
	for range 3 {
		check(t, s.store.Insert(t.Context(), b))
	}
	equal(t, "events", s.value(t, "a", ordered.Count()).Value, 2)
}

func testTokenMonths(t *testing.T, s *suite) {
	b := analytics.Batch{Token: "seg-1"}
	for i := range 6 {
		b.Records = append(b.Records, record(i, t0.AddDate(0, -i%3, 0)))
	}
	for range 3 {
		check(t, s.store.Insert(t.Context(), b))
	}
	equal(t, "events", s.value(t, "a", ordered.Count()).Value, 6)
}

func testTokens(t *testing.T, s *suite) {
	for i := range 5 {
		check(t, s.store.Insert(t.Context(), analytics.Batch{Token: fmt.Sprint("seg-", i), Records: []analytics.Record{record(i, t0)}}))
	}
	equal(t, "events", s.value(t, "a", ordered.Count()).Value, 5)
}

func testLarge(t *testing.T, s *suite) {
	b := analytics.Batch{Token: "large"}
	for i := range 5000 {
		b.Records = append(b.Records, record(i, t0.Add(time.Duration(i)*time.Second)))
	}
	check(t, s.store.Insert(t.Context(), b))
	equal(t, "sum", s.value(t, "a", ordered.Sum("price")).Value, 10000)
}

func testTenants(t *testing.T, s *suite) {
	for i, id := range hostile {
		for range i + 1 {
			check(t, ordered.Track(tenant(t, id), s.a, order{At: t0}))
		}
	}
	check(t, s.store.Insert(t.Context(), analytics.Batch{Token: "single", Records: []analytics.Record{
		{ID: record(1, t0).ID, Name: "Ordered", Time: t0, Props: []byte(`{}`)},
	}}))
	s.flush(t)
	for i, id := range hostile {
		equal(t, fmt.Sprintf("events of %q", id), s.value(t, id, ordered.Count()).Value, float64(i+1))
	}
	equal(t, "events of a stranger", s.value(t, "b", ordered.Count()).Value, 0)
	rows, err := s.store.Query(t.Context(), analytics.Query{Event: "Ordered", Agg: analytics.AggCount, From: t0, To: t0.Add(time.Hour)})
	check(t, err)
	if len(rows) != 1 || rows[0].Value != 1 {
		t.Errorf("without tenants: got %v, want one event", rows)
	}
}

func testNames(t *testing.T, s *suite) {
	s.track(t, "a", ordered, order{}, order{})
	s.track(t, "a", shipped, order{})
	quote := analytics.Define[order](`it's \ "odd" {name:String}`)
	s.track(t, "a", quote, order{}, order{}, order{})
	equal(t, "ordered", s.value(t, "a", ordered.Count()).Value, 2)
	equal(t, "shipped", s.value(t, "a", shipped.Count()).Value, 1)
	equal(t, "odd name", s.value(t, "a", quote.Count()).Value, 3)
}

func testRange(t *testing.T, s *suite) {
	s.track(t, "a", ordered, order{At: t0.Add(-time.Millisecond)}, order{At: t0}, order{At: t0.Add(999 * time.Millisecond)},
		order{At: t0.Add(time.Second)})
	p, err := s.a.Value(tenant(t, "a"), ordered.Count(), analytics.Between(t0, t0.Add(time.Second)), nil)
	check(t, err)
	equal(t, "events", p.Value, 2)
}

func testBuckets(t *testing.T, s *suite) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	check(t, err)
	// Clocks go forward on the 29th: that day has 23 hours.
	day := func(d, hour, ms int) order {
		return order{At: time.Date(2026, 3, d, hour, 0, 0, ms*1e6, berlin)}
	}
	s.track(t, "a", ordered, day(28, 0, 0), day(28, 23, 999), day(29, 0, 0), day(29, 23, 0), day(30, 0, -1), day(30, 0, 0), day(30, 5, 0))
	points, err := s.a.Series(tenant(t, "a"), ordered.Count(),
		analytics.Between(time.Date(2026, 3, 27, 0, 0, 0, 0, berlin), time.Date(2026, 3, 30, 5, 0, 0, 0, berlin)),
		&analytics.SeriesOptions{Interval: analytics.Day, Zone: "Europe/Berlin"})
	check(t, err)
	var got []string
	for _, p := range points {
		got = append(got, fmt.Sprint(p.Time.Format("02T15"), "=", p.Value))
	}
	equal(t, "days", fmt.Sprint(got), "[27T00=0 28T00=2 29T00=3 30T00=1]")

	// The first bucket begins before the first time there is, an hour before 1970 in UTC.
	epoch := time.Unix(0, 0)
	s.track(t, "a", ordered, order{At: epoch})
	points, err = s.a.Series(tenant(t, "a"), ordered.Count(), analytics.Between(epoch, epoch.Add(time.Hour)),
		&analytics.SeriesOptions{Interval: analytics.Day, Zone: "Europe/Berlin"})
	check(t, err)
	equal(t, "days of 1970", len(points), 1)
	equal(t, "first day", points[0].Value, 1)
}

func testManyBuckets(t *testing.T, s *suite) {
	s.track(t, "a", ordered, order{}, order{At: t0.Add(4999*time.Minute + 59*time.Second)}, order{At: t0.Add(5000 * time.Minute)})
	points, err := s.a.Series(tenant(t, "a"), ordered.Count(), analytics.Between(t0, t0.Add(5000*time.Minute)),
		&analytics.SeriesOptions{Interval: analytics.Minute})
	check(t, err)
	equal(t, "buckets", len(points), 5000)
	equal(t, "first", points[0].Value, 1)
	equal(t, "middle", points[2500].Value, 0)
	equal(t, "last", points[4999].Value, 1)
}

func testAggregations(t *testing.T, s *suite) {
	s.track(t, "a", ordered,
		order{User: "ann", Plan: "pro", Seats: 3, Price: 10, Paid: true},
		order{User: "bob", Plan: "pro", Seats: -1, Price: 20.5},
		order{User: "ann", Plan: "free", Seats: 10, Price: 0.25, Paid: true},
		order{Plan: "team", Seats: 2, Price: 4, Paid: true})
	for _, c := range []struct {
		what   string
		metric analytics.Metric
		value  float64
		events int64
	}{
		{"count", ordered.Count(), 4, 4},
		{"sum of integers", ordered.Sum("seats"), 14, 4},
		{"sum of floats", ordered.Sum("price"), 34.75, 4},
		{"sum of booleans", ordered.Sum("paid"), 3, 4},
		{"average of booleans", ordered.Avg("paid"), 0.75, 4},
		{"average of integers", ordered.Avg("seats"), 3.5, 4},
		{"users", ordered.Users(), 2, 3},
		{"unique texts", ordered.Uniques("plan"), 3, 4},
		{"unique booleans", ordered.Uniques("paid"), 2, 4},
		{"unique floats", ordered.Uniques("price"), 4, 4},
		{"median", ordered.Quantile("seats", .5), 2.5, 4},
		{"least", ordered.Quantile("seats", 0), -1, 4},
		{"most", ordered.Quantile("price", 1), 20.5, 4},
		{"nine tenths", ordered.Quantile("seats", .9), 7.9, 4},
	} {
		p := s.value(t, "a", c.metric)
		if diff := p.Value - c.value; diff > 1e-9 || diff < -1e-9 || p.Events != c.events {
			t.Errorf("%s: got %v of %d events, want %v of %d", c.what, p.Value, p.Events, c.value, c.events)
		}
	}
}

func testMissing(t *testing.T, s *suite) {
	type older struct {
		At time.Time `event:",time"`
	}
	check(t, analytics.Define[older]("Ordered").Track(tenant(t, "a"), s.a, older{At: t0}))
	s.track(t, "a", ordered, order{Seats: 4, Plan: "pro", Price: -2})
	equal(t, "count", s.value(t, "a", ordered.Count()).Value, 2)
	for _, m := range []analytics.Metric{ordered.Sum("seats"), ordered.Avg("seats"), ordered.Quantile("seats", .5)} {
		p := s.value(t, "a", m)
		equal(t, "value", p.Value, 4)
		equal(t, "events", p.Events, 1)
	}
	equal(t, "uniques", s.value(t, "a", ordered.Uniques("plan")).Value, 1)
	equal(t, "not paid", s.value(t, "a", ordered.Count().Where("paid", false)).Value, 1)
	_, values := s.by(t, "a", ordered.Count(), "plan", 0)
	equal(t, "group of the older", values[""], 1)
	equal(t, "group of the newer", values["pro"], 1)
}

func testEvolution(t *testing.T, s *suite) {
	type older struct {
		At    time.Time `event:",time"`
		Price int
	}
	check(t, analytics.Define[older]("Ordered").Track(tenant(t, "a"), s.a, older{At: t0, Price: 3}))
	s.track(t, "a", ordered, order{Price: 2}, order{Price: 1.5})
	equal(t, "sum", s.value(t, "a", ordered.Sum("price")).Value, 6.5)
	equal(t, "median", s.value(t, "a", ordered.Quantile("price", .5)).Value, 2)

	type flag struct {
		At   time.Time `event:",time"`
		Up   bool
		Load bool
	}
	type level struct {
		At   time.Time `event:",time"`
		Up   float64
		Load int
	}
	check(t, analytics.Define[flag]("Changed").Track(tenant(t, "a"), s.a, flag{At: t0, Up: true, Load: true}))
	changed := analytics.Define[level]("Changed")
	check(t, changed.Track(tenant(t, "a"), s.a, level{At: t0, Up: 0.5, Load: 2}))
	s.flush(t)
	equal(t, "average over a former boolean", s.value(t, "a", changed.Avg("up")).Value, 0.75)
	equal(t, "average over integers and booleans", s.value(t, "a", changed.Avg("load")).Value, 1.5)
	equal(t, "uniques over a former boolean", s.value(t, "a", changed.Uniques("up")).Value, 2)
	equal(t, "a former boolean equals 1", s.value(t, "a", changed.Count().Where("up", 1)).Value, 1)
	equal(t, "average by the former type", s.value(t, "a", analytics.Define[flag]("Changed").Avg("load")).Value, 1.5)
}

func testExtremes(t *testing.T, s *suite) {
	floats := []float64{
		0, 0.1, 1e-7, 1e21, 123456789.123456789, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.MaxFloat32, 1 << 53, 1 << 63,
	}
	ints := []int{0, -1, math.MinInt64, math.MaxInt64, math.MaxInt64 - 1, 1<<53 + 1, math.MaxUint32, math.MinInt32 - 1, 1 << 62, 3, 4}
	var orders []order
	for i, f := range floats {
		orders = append(orders, order{Price: f, Seats: ints[i]})
	}
	s.track(t, "a", ordered, orders...)
	for i, f := range floats {
		equal(t, fmt.Sprint("float of ", ints[i]), s.value(t, "a", ordered.Sum("price").Where("seats", ints[i])).Value, f)
		equal(t, fmt.Sprint("events with ", f), s.value(t, "a", ordered.Count().Where("price", f)).Value, 1)
	}
	groups, _ := s.by(t, "a", ordered.Count(), "seats", 100)
	want := make([]string, len(ints))
	for i, n := range ints {
		want[i] = fmt.Sprint(n)
	}
	slices.Sort(groups)
	slices.Sort(want)
	equal(t, "integers", fmt.Sprint(groups), fmt.Sprint(want))
}

func testText(t *testing.T, s *suite) {
	texts := append([]string{
		"", "2026-03-10", "2026-03-10 12:00:00", "2026-03-10T12:00:00.000Z", "12", "1.5", "true", "{}", "[1]",
		"127.0.0.1", "018e2f6a-0000-7000-8000-000000000001",
	}, hostile...)
	var orders []order
	for _, text := range texts {
		orders = append(orders, order{Plan: text})
	}
	s.track(t, "a", ordered, orders...)
	groups, _ := s.by(t, "a", ordered.Count(), "plan", 100)
	slices.Sort(groups)
	slices.Sort(texts)
	equal(t, "groups", fmt.Sprintf("%q", groups), fmt.Sprintf("%q", texts))
}

func testWhere(t *testing.T, s *suite) {
	var orders []order
	for i, text := range hostile {
		orders = append(orders, order{Plan: text, Seats: i, Price: float64(i) / 4, Paid: i == 3})
	}
	s.track(t, "a", ordered, orders...)
	for i, text := range hostile {
		p := s.value(t, "a", ordered.Sum("seats").Where("plan", text))
		if p.Events != 1 || p.Value != float64(i) {
			t.Errorf("where plan = %q: got %v of %d events, want %d of 1", text, p.Value, p.Events, i)
		}
	}
	equal(t, "integer", s.value(t, "a", ordered.Sum("seats").Where("seats", uint8(7))).Value, 7)
	equal(t, "float", s.value(t, "a", ordered.Sum("seats").Where("price", 0.25)).Value, 1)
	equal(t, "integral float", s.value(t, "a", ordered.Sum("seats").Where("price", 1)).Value, 4)
	equal(t, "true", s.value(t, "a", ordered.Sum("seats").Where("paid", true)).Value, 3)
	equal(t, "false", s.value(t, "a", ordered.Count().Where("paid", false)).Value, float64(len(hostile)-1))
	equal(t, "both", s.value(t, "a", ordered.Count().Where("paid", true).Where("seats", 2)).Value, 0)
	equal(t, "no such text", s.value(t, "a", ordered.Count().Where("plan", "nobody")).Value, 0)
}

func testGroups(t *testing.T, s *suite) {
	var orders []order
	for i, plan := range []string{"free", "pro", "team", "trial"} {
		for n := range i + 1 {
			orders = append(orders, order{Plan: plan, Seats: i, Price: float64(n), Paid: i%2 == 0})
		}
	}
	s.track(t, "a", ordered, orders...)
	s.track(t, "b", ordered, order{Plan: "other"}, order{Plan: "free"}, order{Plan: "free"}, order{Plan: "free"})
	groups, values := s.by(t, "a", ordered.Sum("price"), "plan", 2)
	equal(t, "largest groups", fmt.Sprint(groups, values), "[trial team] map[team:3 trial:6]")
	groups, _ = s.by(t, "a", ordered.Count(), "seats", 0)
	equal(t, "integers", fmt.Sprint(groups), "[3 2 1 0]")
	groups, values = s.by(t, "a", ordered.Count(), "paid", 0)
	equal(t, "booleans", fmt.Sprint(groups, values), "[false true] map[false:6 true:4]")
}

func testContext(t *testing.T, s *suite) {
	ctx, cancel := context.WithTimeout(tenant(t, "a"), time.Minute)
	defer cancel()
	_, err := s.a.Value(ctx, ordered.Count(), all, nil)
	check(t, err) // a driver may hand the deadline to the server, which may not like that
	cancel()
	if err := s.store.Insert(ctx, analytics.Batch{Token: "x", Records: []analytics.Record{record(1, t0)}}); err == nil {
		t.Error("Insert ignored its context")
	}
	if _, err := s.a.Value(ctx, ordered.Count(), all, nil); err == nil {
		t.Error("Query ignored its context")
	}
}
