package analytics

import (
	"fmt"
	"time"
)

// Range is a span of time to query, made by [Last] or [Between].
type Range struct {
	last     time.Duration
	from, to time.Time
}

// Last is the time from d ago until now. In a series it starts at the first bucket that begins within it, so that no
// bucket but the current one is partial: Last(7*24*time.Hour) by day is today and the six days before.
func Last(d time.Duration) Range { return Range{last: d} }

// Between is the time from one instant, inclusive, to another, exclusive, in milliseconds. In a series the first and
// the last bucket are partial when the instants are not at their borders.
func Between(from, to time.Time) Range { return Range{from: from, to: to} }

// Interval is the length of the buckets of a series, on the calendar of the series' time zone: a [Day] lasts 23 to 25
// hours where clocks change. Its zero value lets the length of the range decide.
type Interval uint8

// The intervals. Weeks start on Monday, as in ISO 8601.
const (
	Minute Interval = iota + 1
	Hour
	Day
	Week
	Month
)

// maxBuckets bounds the buckets of a series: a week of minutes is refused, three days are not.
const maxBuckets = 5000

// bounds returns the range as instants, before alignment.
func (r Range) bounds(now time.Time) (from, to time.Time, err error) {
	from, to = floorMilli(r.from), floorMilli(r.to)
	if r.relative() {
		// Events of this very millisecond have happened, so they are in.
		to = floorMilli(now).Add(time.Millisecond)
		from = floorMilli(to.Add(-r.last))
	}
	if !from.Before(to) {
		return from, to, fmt.Errorf("%w: range ends at or before its start", ErrInvalid)
	}
	if from.Before(minTime) || to.After(maxTime) {
		return from, to, fmt.Errorf("%w: range is outside the years 1970 to 2199", ErrInvalid)
	}
	return from, to, nil
}

func (r Range) relative() bool { return r.from.IsZero() && r.to.IsZero() }

func floorMilli(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// buckets returns the starts of the buckets from from to to, and from itself, aligned if the range is relative.
func (r Range) buckets(from, to time.Time, iv Interval, loc *time.Location) (time.Time, []time.Time, error) {
	start := iv.floor(from.In(loc))
	if r.relative() && start.Before(from) {
		if next := iv.next(start); next.Before(to) {
			start = next
		}
		from = start.UTC()
	}
	var list []time.Time
	for t := start; t.Before(to); t = iv.next(t) {
		if len(list) == maxBuckets {
			return from, nil, fmt.Errorf("%w: more than %d buckets; use a longer Interval or a shorter range", ErrInvalid, maxBuckets)
		}
		list = append(list, t)
	}
	return from, list, nil
}

// auto picks an interval that gives a readable number of buckets.
func (iv Interval) auto(span time.Duration) Interval {
	const day = 24 * time.Hour
	switch {
	case iv != 0:
		return iv
	case span <= 2*time.Hour:
		return Minute
	case span <= 3*day:
		return Hour
	case span <= 120*day:
		return Day
	case span <= 2*366*day:
		return Week
	}
	return Month
}

// floor returns the start of the bucket of t, in the location of t.
func (iv Interval) floor(t time.Time) time.Time {
	y, m, d := t.Date()
	switch iv {
	case Minute, Hour:
		// Arithmetic on instants, not on the wall clock: the hour that occurs twice in autumn is two buckets.
		t = t.Add(-time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
		if iv == Hour {
			t = t.Add(-time.Duration(t.Minute()) * time.Minute)
		}
		return t
	case Week:
		d -= (int(t.Weekday()) + 6) % 7
	case Month:
		d = 1
	}
	return midnight(y, m, d, t.Location())
}

// midnight returns the first instant of a day. Where clocks go forward at midnight that is 01:00, for which time.Date
// answers with the 23:00 of the day before.
func midnight(y int, m time.Month, d int, loc *time.Location) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, loc)
	if t.Hour() == 23 {
		t = t.Add(time.Hour)
	}
	return t
}

// next returns the start of the bucket after the one that starts at t.
func (iv Interval) next(t time.Time) time.Time {
	switch iv {
	case Minute:
		return t.Add(time.Minute)
	case Hour:
		return t.Add(time.Hour)
	}
	y, m, d := t.Date()
	switch iv {
	case Week:
		d += 7
	case Month:
		m, d = m+1, 1
	default:
		d++
	}
	return midnight(y, m, d, t.Location())
}
