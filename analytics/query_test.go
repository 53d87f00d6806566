package analytics_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/analyticstest"
)

// spy records the query it gets and answers nothing.
type spy struct{ got analytics.Query }

func (s *spy) Insert(context.Context, analytics.Batch) error { return nil }

func (s *spy) Query(_ context.Context, q analytics.Query) ([]analytics.Row, error) {
	s.got = q
	return nil, nil
}

func TestSeriesOfLastDaysEndsToday(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the bubble's clock starts at midnight of 2000-01-01, UTC
		a, _ := analyticstest.New(t, nil)
		week := func() string {
			points, err := a.Series(t.Context(), SignedUp.Count(), analytics.Last(7*24*time.Hour), nil)
			require.NoError(t, err)
			return fmt.Sprint(len(points), " ", points[0].Time.Format(time.DateTime), " ", points[len(points)-1].Time.Format(time.DateTime),
				" ", points[len(points)-1].Value)
		}
		require.NoError(t, SignedUp.Track(t.Context(), a, SignUp{}))
		require.NoError(t, a.Flush(t.Context()))
		require.Equal(t, "7 1999-12-26 00:00:00 2000-01-01 00:00:00 1", week(), "an event of this very millisecond counts")
		elapse(14 * time.Hour)
		require.Equal(t, "7 1999-12-26 00:00:00 2000-01-01 00:00:00 1", week())
		elapse(10 * time.Hour)
		require.Equal(t, "7 1999-12-27 00:00:00 2000-01-02 00:00:00 0", week())
	})
}

func TestSeriesCutsBucketsByTheCalendar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, zone, from, to string
		interval             analytics.Interval
		want                 []string // starts, in the zone
	}{
		{
			"a day of 25 hours", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-26T23:00:00Z", analytics.Day,
			[]string{"2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"},
		},
		{
			"the hour that comes twice", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T02:00:01Z", analytics.Hour,
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"},
		},
		{
			"a day without midnight", "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-07T12:00:00Z", analytics.Day,
			[]string{"2026-09-05T00:00:00-04:00", "2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"},
		},
		{
			"half-hour zone", "Asia/Kolkata", "2026-01-01T00:10:00Z", "2026-01-01T01:40:00Z", analytics.Hour,
			[]string{"2026-01-01T05:00:00+05:30", "2026-01-01T06:00:00+05:30", "2026-01-01T07:00:00+05:30"},
		},
		{
			"weeks begin on Monday", "", "2026-03-01T00:00:00Z", "2026-03-10T00:00:00Z", analytics.Week,
			[]string{"2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"},
		},
		{
			"months", "", "2025-12-31T23:59:59Z", "2026-03-01T00:00:00Z", analytics.Month,
			[]string{"2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"},
		},
		{
			"minutes", "", "2026-01-01T00:00:59Z", "2026-01-01T00:02:00Z", analytics.Minute,
			[]string{"2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &spy{}
			a, err := analytics.New(s, nil)
			require.NoError(t, err)
			from, err := time.Parse(time.RFC3339, c.from)
			require.NoError(t, err)
			to, err := time.Parse(time.RFC3339, c.to)
			require.NoError(t, err)
			points, err := a.Series(t.Context(), SignedUp.Count(), analytics.Between(from, to),
				&analytics.SeriesOptions{Interval: c.interval, Zone: c.zone})
			require.NoError(t, err)
			var got []string
			for _, p := range points {
				got = append(got, p.Time.Format(time.RFC3339))
			}
			require.Equal(t, c.want, got)
			require.True(t, s.got.From.Equal(from) && s.got.To.Equal(to), "the range itself is not rounded")
			require.False(t, s.got.Buckets[0].After(from))
		})
	}
}

func TestSeriesPicksAnInterval(t *testing.T) {
	t.Parallel()
	a, err := analytics.New(&spy{}, nil)
	require.NoError(t, err)
	to := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	for span, want := range map[time.Duration]int{
		time.Hour: 60, 24 * time.Hour: 24, 7 * 24 * time.Hour: 7, 365 * 24 * time.Hour: 53, 5 * 365 * 24 * time.Hour: 61,
	} {
		points, err := a.Series(t.Context(), SignedUp.Count(), analytics.Between(to.Add(-span), to), nil)
		require.NoError(t, err)
		require.Len(t, points, want, span)
	}
}

func TestQueriesRefuseMistakes(t *testing.T) {
	t.Parallel()
	paid := analytics.Define[struct{ Amount float64 }]("Paid")
	a, err := analytics.New(untouchable{t}, nil)
	require.NoError(t, err)
	hour := analytics.Last(time.Hour)
	t0 := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	for name, metric := range map[string]analytics.Metric{
		"zero":            {},
		"zero, filtered":  analytics.Metric{}.Where("plan", "pro"),
		"zero event":      analytics.Event[SignUp]{}.Sum("seats"),
		"unknown field":   SignedUp.Sum("price"),
		"injected field":  SignedUp.Uniques("plan` OR 1=1 --"),
		"sum of text":     SignedUp.Sum("plan"),
		"quantile of 2":   SignedUp.Quantile("seats", 2),
		"unknown filter":  SignedUp.Count().Where("price", 1),
		"filter by type":  SignedUp.Count().Where("plan", 1),
		"filter by nil":   SignedUp.Count().Where("plan", nil),
		"filter by NaN":   paid.Count().Where("amount", math.NaN()),
		"filter by Inf":   paid.Count().Where("amount", math.Inf(1)),
		"text for number": SignedUp.Count().Where("seats", "1"),
	} {
		_, err := a.Value(t.Context(), metric, hour, nil)
		require.ErrorIs(t, err, analytics.ErrInvalid, name)
		_, err = a.Series(t.Context(), metric, hour, nil)
		require.ErrorIs(t, err, analytics.ErrInvalid, name)
	}
	for name, opts := range map[string]analytics.SeriesOptions{
		"zone":     {Zone: "Mars/Base"},
		"local":    {Zone: "Local"},
		"path":     {Zone: "../../etc/passwd"},
		"interval": {Interval: 77},
		"by":       {By: "price"},
		"limit":    {By: "plan", Limit: 101},
		"negative": {By: "plan", Limit: -1},
	} {
		_, err := a.Series(t.Context(), SignedUp.Count(), hour, &opts)
		require.ErrorIs(t, err, analytics.ErrInvalid, name)
	}
	for name, r := range map[string]analytics.Range{
		"zero": {}, "backwards": analytics.Between(t0, t0.Add(-1)), "empty": analytics.Between(t0, t0), "negative": analytics.Last(-time.Hour),
		"ancient": analytics.Between(time.Time{}, t0),
	} {
		_, err := a.Value(t.Context(), SignedUp.Count(), r, nil)
		require.ErrorIs(t, err, analytics.ErrInvalid, name)
	}
	_, err = a.Series(t.Context(), SignedUp.Count(), analytics.Last(7*24*time.Hour), &analytics.SeriesOptions{Interval: analytics.Minute})
	require.ErrorIs(t, err, analytics.ErrInvalid, "too many buckets")
}

func TestMetricsDoNotShareFilters(t *testing.T) {
	t.Parallel()
	s := &spy{}
	a, err := analytics.New(s, nil)
	require.NoError(t, err)
	base := SignedUp.Count().Where("plan", "pro").Where("seats", 1).Where("seats", 2)
	one, two := base.Where("plan", "one"), base.Where("plan", "two")
	for m, want := range map[string]analytics.Metric{"one": one, "two": two} {
		_, err := a.Value(t.Context(), want, analytics.Last(time.Hour), nil)
		require.NoError(t, err)
		require.Equal(t, m, s.got.Where[3].Value)
	}
}

func TestStoreErrorsReachTheCaller(t *testing.T) {
	t.Parallel()
	a, store := analyticstest.New(t, nil)
	store.SetDown(true)
	_, err := a.Value(t.Context(), SignedUp.Count(), analytics.Last(time.Hour), nil)
	require.ErrorIs(t, err, analyticstest.ErrDown)
	_, err = a.Series(t.Context(), SignedUp.Count(), analytics.Last(time.Hour), nil)
	require.ErrorIs(t, err, analyticstest.ErrDown)
}
