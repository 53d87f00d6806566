package analytics

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// SeriesOptions refines [Analytics.Series]. nil means the defaults.
type SeriesOptions struct {
	// Interval is the length of a bucket. Zero: chosen by the length of the range.
	Interval Interval
	// Zone is the IANA name of the time zone whose calendar cuts the buckets, as "Europe/Berlin". Empty: UTC.
	Zone string
	// By splits the series by the values of a field, which must not be a float. Empty: one series.
	By string
	// Limit is the number of groups kept with By, those with the most events. Zero: 10. More than 100 or a negative
	// number is an error.
	Limit int
}

// ValueOptions refines [Analytics.Value]. There are none yet; pass nil.
type ValueOptions struct{}

// Point is one number of an answer.
type Point struct {
	// Time is the start of the bucket, in the zone of the series; for a value, the start of the range in UTC.
	Time time.Time
	// Group is the value of SeriesOptions.By as text ("true", "42"); "" when the event lacks the field.
	Group string
	// Value is 0 when Events is 0.
	Value float64
	// Events is how many events the value comes from. It tells an average of 0 from no data.
	Events int64
}

// Series returns the metric per bucket of time, for the tenant of ctx, with a point for every bucket, empty or not. With
// SeriesOptions.By the points are ordered by group, the one with the most events first, then by time; without events
// there are then no groups and no points.
//
// Events appear after they were delivered, by [Analytics.Run] within Options.FlushInterval when the store is up. The
// errors are [ErrNoTenant], [ErrInvalid] and those of the store.
func (a *Analytics) Series(ctx context.Context, m Metric, r Range, opts *SeriesOptions) ([]Point, error) {
	q, loc, err := a.seriesQuery(ctx, m, r, opts)
	if err != nil {
		return nil, fmt.Errorf("analytics: series: %w", err)
	}
	rows, err := a.store.Query(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("analytics: series of %q: %w", q.Event, err)
	}
	return series(q, rows, loc), nil
}

// Value returns the metric over the whole range, for the tenant of ctx. Its errors are those of [Analytics.Series].
func (a *Analytics) Value(ctx context.Context, m Metric, r Range, opts *ValueOptions) (Point, error) {
	q, err := a.query(ctx, m, r)
	if err != nil {
		return Point{}, fmt.Errorf("analytics: value: %w", err)
	}
	rows, err := a.store.Query(ctx, q)
	if err != nil {
		return Point{}, fmt.Errorf("analytics: value of %q: %w", q.Event, err)
	}
	p := Point{Time: q.From}
	if len(rows) > 0 {
		p.Value, p.Events = rows[0].Value, rows[0].Events
	}
	return p, nil
}

// query builds what Series and Value share. The tenant is set here and nowhere else.
func (a *Analytics) query(ctx context.Context, m Metric, r Range) (Query, error) {
	tenant, err := a.tenant(ctx)
	if err != nil {
		return Query{}, err
	}
	if m.err != nil {
		return Query{}, m.err
	}
	if m.schema == nil {
		return Query{}, fmt.Errorf("%w: metric was not made by an event", ErrInvalid)
	}
	from, to, err := r.bounds(time.Now())
	if err != nil {
		return Query{}, err
	}
	return Query{
		Tenant: tenant, Event: m.schema.name, Agg: m.agg, Field: m.field, Quantile: m.quantile,
		Where: slices.Clone(m.where), From: from, To: to,
	}, nil
}

func (a *Analytics) seriesQuery(ctx context.Context, m Metric, r Range, opts *SeriesOptions) (Query, *time.Location, error) {
	if opts == nil {
		opts = &SeriesOptions{}
	}
	q, err := a.query(ctx, m, r)
	if err != nil {
		return q, nil, err
	}
	loc, err := time.LoadLocation(opts.Zone)
	if err != nil || opts.Zone == "Local" {
		return q, nil, fmt.Errorf("%w: unknown time zone %q", ErrInvalid, opts.Zone)
	}
	if opts.Interval > Month {
		return q, nil, fmt.Errorf("%w: unknown Interval %d", ErrInvalid, opts.Interval)
	}
	if q.From, q.Buckets, err = r.buckets(q.From, q.To, opts.Interval.auto(q.To.Sub(q.From)), loc); err != nil {
		return q, nil, err
	}
	if opts.By != "" {
		if q.By, err = m.lookup(opts.By); err != nil {
			return q, nil, err
		}
		if q.By.Kind == reflect.Float64 {
			return q, nil, fmt.Errorf("%w: cannot group by the float field %q", ErrInvalid, opts.By)
		}
		if q.Limit = opts.Limit; q.Limit == 0 {
			q.Limit = 10
		}
		if q.Limit < 0 || q.Limit > 100 {
			return q, nil, fmt.Errorf("%w: SeriesOptions.Limit %d is outside 1 to 100", ErrInvalid, opts.Limit)
		}
	}
	return q, loc, nil
}

// series fills the gaps between the rows of a store.
func series(q Query, rows []Row, loc *time.Location) []Point {
	type key struct {
		group  string
		bucket int64
	}
	found := make(map[key]Row, len(rows))
	total := map[string]int64{}
	if q.By.Name == "" {
		total[""] = 0
	}
	for _, r := range rows {
		found[key{r.Group, r.Bucket.UnixMilli()}] = r
		total[r.Group] += r.Events
	}
	groups := make([]string, 0, len(total))
	for g := range total {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b string) int {
		return cmp.Or(cmp.Compare(total[b], total[a]), cmp.Compare(a, b))
	})
	points := make([]Point, 0, len(groups)*len(q.Buckets))
	for _, g := range groups {
		for _, b := range q.Buckets {
			r := found[key{g, b.UnixMilli()}]
			points = append(points, Point{Time: b.In(loc), Group: g, Value: r.Value, Events: r.Events})
		}
	}
	return points
}
