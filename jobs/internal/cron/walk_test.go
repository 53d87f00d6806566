package cron_test

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// walk is a second, slow reading of the rules: it looks at every minute (every
// second, if there are six fields) after start, and for entries of fixed times
// asks whether it is the first of its wall time that day, or the first after a
// gap with a wanted wall time. It answers the zero time if nothing fires
// within reach.
func walk(spec string, loc *time.Location, start time.Time, reach time.Duration) time.Time {
	f, unit := strings.Fields(strings.ToLower(spec)), time.Second
	if len(f) == 5 {
		f, unit = append([]string{"0"}, f...), time.Minute
	}
	wild := strings.ContainsAny(f[0]+f[1]+f[2], "*/")
	for n := time.Duration(1); n*unit <= reach; n++ {
		at := start.Truncate(unit).Add(n * unit).In(loc)
		if matches(f, at) && (wild || firstOfItsWallTime(at)) {
			return at.UTC()
		}
		if !wild && slices.ContainsFunc(skippedBefore(at, unit), func(w time.Time) bool { return matches(f, w) }) {
			return at.UTC()
		}
	}
	return time.Time{}
}

// skippedBefore lists the wall times between the previous real unit and this
// one, as UTC times that read like them.
func skippedBefore(at time.Time, unit time.Duration) []time.Time {
	wall := func(t time.Time) time.Time {
		y, mo, d := t.Date()
		return time.Date(y, mo, d, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	}
	var list []time.Time
	for w := wall(at.Add(-unit)).Add(unit); w.Before(wall(at)); w = w.Add(unit) {
		list = append(list, w)
	}
	return list
}

// firstOfItsWallTime asks only where the clock may have been put back lately.
func firstOfItsWallTime(at time.Time) bool {
	start, _ := at.ZoneBounds()
	if start.IsZero() || at.Sub(start) > 3*time.Hour {
		return true
	}
	_, now := at.Zone()
	_, before := start.Add(-time.Second).Zone()
	return at.Sub(start) >= time.Duration(before-now)*time.Second
}

func matches(f []string, at time.Time) bool {
	dom, dow := in(f[3], at.Day(), 1, 31, nil), false
	for _, part := range strings.Split(f[5], ",") {
		body, _, _ := strings.Cut(part, "/")
		dow = dow || in(part, int(at.Weekday()), 0, 6, days) ||
			at.Weekday() == time.Sunday && strings.Contains(body, "7") && in(part, 7, 0, 7, days)
	}
	day := dom && dow
	if !star(f[3]) && !star(f[5]) {
		day = dom || dow
	}
	return in(f[0], at.Second(), 0, 59, nil) && in(f[1], at.Minute(), 0, 59, nil) && in(f[2], at.Hour(), 0, 23, nil) &&
		in(f[4], int(at.Month()), 1, 12, months) && day
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
