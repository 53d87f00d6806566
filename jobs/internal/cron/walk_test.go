package cron_test

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// walk is a second, slow reading of the rules: it looks at every minute after
// start, and for entries of fixed times asks whether the minute is the first
// of its wall time that day, or the first after a gap with a wanted wall time.
// It answers the zero time if nothing fires within the limit.
func walk(spec string, loc *time.Location, start time.Time, limit int) time.Time {
	f := strings.Fields(strings.ToLower(spec))
	wild := strings.ContainsAny(f[0]+f[1], "*/")
	for i := range limit {
		at := start.Truncate(time.Minute).Add(time.Duration(i+1) * time.Minute).In(loc)
		if matches(f, at) && (wild || firstOfItsWallTime(at)) {
			return at.UTC()
		}
		if wild {
			continue
		}
		for _, missing := range skippedBefore(at) {
			if matches(f, missing) {
				return at.UTC()
			}
		}
	}
	return time.Time{}
}

// skippedBefore lists the wall minutes between the previous real minute and
// this one, as UTC times that read like them.
func skippedBefore(at time.Time) []time.Time {
	wall := func(t time.Time) time.Time {
		y, mo, d := t.Date()
		return time.Date(y, mo, d, t.Hour(), t.Minute(), 0, 0, time.UTC)
	}
	var list []time.Time
	for w := wall(at.Add(-time.Minute)).Add(time.Minute); w.Before(wall(at)); w = w.Add(time.Minute) {
		list = append(list, w)
	}
	return list
}

func firstOfItsWallTime(at time.Time) bool {
	for back := time.Minute; back <= 3*time.Hour; back += time.Minute {
		earlier := at.Add(-back)
		if earlier.Format("2006-01-02 15:04") == at.Format("2006-01-02 15:04") {
			return false
		}
	}
	return true
}

func matches(f []string, at time.Time) bool {
	dom, dow := in(f[2], at.Day(), 1, 31, nil), false
	for _, part := range strings.Split(f[4], ",") {
		body, _, _ := strings.Cut(part, "/")
		dow = dow || in(part, int(at.Weekday()), 0, 6, days) ||
			at.Weekday() == time.Sunday && strings.Contains(body, "7") && in(part, 7, 0, 7, days)
	}
	day := dom && dow
	if !star(f[2]) && !star(f[4]) {
		day = dom || dow
	}
	return in(f[0], at.Minute(), 0, 59, nil) && in(f[1], at.Hour(), 0, 23, nil) &&
		in(f[3], int(at.Month()), 1, 12, months) && day
}

var (
	days   = strings.Fields("sun mon tue wed thu fri sat")
	months = strings.Fields("- jan feb mar apr may jun jul aug sep oct nov dec")
)

func star(field string) bool { return strings.ContainsAny(field, "*?") }

func in(field string, v, low, high int, names []string) bool {
	num := func(s string) int {
		if i := slices.Index(names, s); i >= 0 {
			return i
		}
		n, _ := strconv.Atoi(s)
		return n
	}
	for _, part := range strings.Split(field, ",") {
		body, stepText, stepped := strings.Cut(part, "/")
		a, b, step := low, high, 1
		if stepped {
			step = num(stepText)
		}
		if body != "*" && body != "?" {
			from, to, ranged := strings.Cut(body, "-")
			a = num(from)
			switch {
			case ranged:
				b = num(to)
			case !stepped:
				b = a
			}
		}
		if v >= a && v <= b && (v-a)%step == 0 {
			return true
		}
	}
	return false
}
