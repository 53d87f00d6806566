package cron

import "time"

// Next returns the first instant after t at which the schedule fires, in UTC,
// or the zero time if there is none within 41 years.
//
// An entry whose second, minute and hour are plain lists and ranges fires once
// for each of its wall times on a matching day: a wall time that the clock
// jumps over fires at the first instant after the jump, one that the clock
// repeats fires the first time only. An entry with * or a step in one of them
// follows the wall clock, so a skipped hour is skipped and a repeated hour
// counts twice. @every fires at the multiples of its duration since the Unix
// epoch, whatever the zone.
func (s *Schedule) Next(t time.Time) time.Time {
	if s.every > 0 {
		d := int64(s.every / time.Second)
		return time.Unix((floorDiv(t.Unix(), d)+1)*d, 0).UTC()
	}
	if s.second.wild || s.minute.wild || s.hour.wild {
		return s.nextWild(t)
	}
	return s.nextFixed(t)
}

// Prev returns the last instant before t at which the schedule fires, in UTC,
// or the zero time if there is none within 41 years.
func (s *Schedule) Prev(t time.Time) time.Time {
	return s.Last(t.AddDate(-horizon, 0, 0), t.Add(-time.Nanosecond))
}

// Last returns the latest instant in (after, now] at which the schedule
// fires, or the zero time.
func (s *Schedule) Last(after, now time.Time) time.Time {
	if s.every > 0 {
		d := int64(s.every / time.Second)
		if last := time.Unix(floorDiv(now.Unix(), d)*d, 0).UTC(); last.After(after) {
			return last
		}
		return time.Time{}
	}
	// Look back a little first: a long outage must not cost a walk through
	// every minute of it.
	for _, back := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 31 * 24 * time.Hour, 366 * 24 * time.Hour, horizon * 366 * 24 * time.Hour} {
		from := now.Add(-back)
		if from.Before(after) {
			from = after
		}
		var last time.Time
		for next := s.Next(from); !next.IsZero() && !next.After(now); next = s.Next(next) {
			last = next
		}
		if !last.IsZero() || !from.After(after) {
			return last
		}
	}
	return time.Time{}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// nextFixed walks calendar days and maps each wall time to one instant. The
// mapping never runs backwards, so whole hours and minutes are left out by
// their last second.
func (s *Schedule) nextFixed(t time.Time) time.Time {
	year, month, first := t.In(s.loc).Date()
	// One day back: a jump across midnight can move yesterday's time to today.
	day := time.Date(year, month, first-1, 0, 0, 0, 0, time.UTC)
	for end := day.AddDate(horizon, 0, 0); day.Before(end); day = day.AddDate(0, 0, 1) {
		if !s.month.has(int(day.Month())) {
			day = time.Date(day.Year(), day.Month()+1, 0, 0, 0, 0, 0, time.UTC)
			continue
		}
		if !s.matchDay(day) {
			continue
		}
		if at := s.nextOn(day.Unix(), t); !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

// nextOn is the first instant after t of the day that begins at a wall time.
func (s *Schedule) nextOn(day int64, t time.Time) time.Time {
	past := func(wall int64) bool {
		at, ok := s.resolve(wall)
		return ok && !at.After(t)
	}
	for h := range 24 {
		hour := day + int64(h)*3600
		if !s.hour.has(h) || past(hour+3599) {
			continue
		}
		for m := range 60 {
			minute := hour + int64(m)*60
			if !s.minute.has(m) || past(minute+59) {
				continue
			}
			for sec := range 60 {
				if !s.second.has(sec) {
					continue
				}
				if at, ok := s.resolve(minute + int64(sec)); ok && at.After(t) {
					return at.UTC()
				}
			}
		}
	}
	return time.Time{}
}

// nextWild walks real time, leaping over months, days, hours, minutes and
// seconds that do not match, but never across a change of the zone's offset.
func (s *Schedule) nextWild(t time.Time) time.Time {
	at := t.Truncate(time.Second).Add(time.Second).In(s.loc)
	limit := at.AddDate(horizon, 0, 0)
	for at.Before(limit) {
		y, mo, d := at.Date()
		hour, minute, second := at.Clock()
		var leap time.Time
		switch {
		case !s.month.has(int(mo)):
			leap = s.wallStart(y, mo+1, 1)
		case !s.matchDay(time.Date(y, mo, d, 0, 0, 0, 0, time.UTC)):
			leap = s.wallStart(y, mo, d+1)
		case !s.hour.has(hour):
			leap = at.Add(time.Duration((min(s.hour.from(hour), 24)-hour)*3600-minute*60-second) * time.Second)
		case !s.minute.has(minute):
			leap = at.Add(time.Duration((min(s.minute.from(minute), 60)-minute)*60-second) * time.Second)
		case !s.second.has(second):
			leap = at.Add(time.Duration(min(s.second.from(second), 60)-second) * time.Second)
		default:
			return at.UTC()
		}
		if _, end := at.ZoneBounds(); !end.IsZero() && end.Before(leap) {
			leap = end
		}
		if !leap.After(at) {
			leap = at.Add(time.Second)
		}
		at = leap.In(s.loc)
	}
	return time.Time{}
}

func (s *Schedule) wallStart(year int, month time.Month, day int) time.Time {
	at, _ := s.resolve(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix())
	return at
}

// matchDay applies the day rule of crontab(5): if both day fields are
// restricted, either is enough.
func (s *Schedule) matchDay(day time.Time) bool {
	if !s.month.has(int(day.Month())) {
		return false
	}
	dom := s.dom.has(day.Day()) || s.dom.days.matchDay(day)
	dow := s.dow.has(int(day.Weekday())) || s.dow.days.matchWeekday(day)
	if s.dom.star || s.dow.star {
		return dom && dow
	}
	return dom || dow
}

// resolve maps a wall time, given as the Unix seconds it would be in UTC, to
// its first instant, or to the first instant after the gap that swallows it.
// It reports false for a wall time on a calendar day that does not exist.
func (s *Schedule) resolve(wall int64) (time.Time, bool) {
	_, offset := time.Unix(wall, 0).In(s.loc).Zone()
	guess := time.Unix(wall-int64(offset), 0).In(s.loc)
	start, end := guess.ZoneBounds()
	if start.IsZero() && end.IsZero() {
		return guess, true // the zone never changes
	}

	best, found := time.Time{}, false
	try := func(at time.Time) {
		_, off := at.In(s.loc).Zone()
		hit := time.Unix(wall-int64(off), 0).In(s.loc)
		if _, real := hit.Zone(); real == off && (!found || hit.Before(best)) {
			best, found = hit, true
		}
	}
	try(guess)
	if !start.IsZero() {
		try(start.Add(-time.Second))
	}
	if !end.IsZero() {
		try(end)
	}
	if found {
		return best, true
	}
	for _, change := range []time.Time{start, end} {
		if change.IsZero() {
			continue
		}
		_, before := change.Add(-time.Second).In(s.loc).Zone()
		_, after := change.In(s.loc).Zone()
		if change.Unix()+int64(before) <= wall && wall < change.Unix()+int64(after) {
			return change, after-before < 24*60*60
		}
	}
	return guess, true
}
