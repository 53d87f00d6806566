package jobsui

import (
	"strconv"
	"strings"
	"time"
)

// words says in English what an expression means. It is empty for one that
// has no short sentence: wrong words are worse than none, and the next runs
// stand beside them.
func words(spec string) string {
	spec = strings.TrimSpace(spec)
	if text, ok := strings.CutPrefix(spec, "@every "); ok {
		return everyWords(strings.TrimSpace(text))
	}
	if full, ok := map[string]string{
		"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
		"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
	}[spec]; ok {
		spec = full
	}
	f := strings.Fields(spec)
	if len(f) == 6 {
		if f[0] != "0" {
			if n, ok := step(f[0], 60); ok && strings.Join(f[1:], "") == "*****" {
				return plural("every second", "every %d seconds", n)
			}
			return ""
		}
		f = f[1:]
	}
	if len(f) != 5 {
		return ""
	}
	clock, daily := clockWords(f[0], f[1])
	days, ok := dayWords(f[2], f[3], f[4])
	switch {
	case clock == "" || !ok:
		return ""
	case days == "" && daily:
		return "every day " + clock
	}
	return clock + days
}

func everyWords(text string) string {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d < time.Second || d%time.Second != 0:
		return ""
	case d%time.Hour == 0:
		return plural("every hour", "every %d hours", int(d/time.Hour))
	case d%time.Minute == 0:
		return plural("every minute", "every %d minutes", int(d/time.Minute))
	}
	return plural("every second", "every %d seconds", int(d/time.Second))
}

// clockWords reads the minute and the hour. Daily ones name times of the day.
func clockWords(minute, hour string) (text string, daily bool) {
	from, to, ranged := bounds(hour, 23)
	n, stepped := step(minute, 60)
	m, fixed := figure(minute, 59)
	switch {
	case stepped && hour == "*":
		return plural("every minute", "every %d minutes", n), false
	case stepped && ranged:
		return plural("every minute", "every %d minutes", n) + " from " + clock(from, 0) + " to " + clock(to, 60-n), false
	case minute == "H" && hour == "*":
		return "once an hour, at a minute of its own", false
	case minute == "H" && hour == "H":
		return "at a time of its own", true
	case !fixed:
		return "", false
	case hour == "*" && m == 0:
		return "every hour", false
	case hour == "*":
		return "every hour, " + plural("one minute past", "%d minutes past", m), false
	case ranged:
		return "every hour from " + clock(from, m) + " to " + clock(to, m), false
	}
	if n, ok := step(hour, 24); ok { // not "*", see above
		return plural("every hour", "every %d hours", n) + " from " + clock(0, m), false
	}
	var times []string
	for part := range strings.SplitSeq(hour, ",") {
		h, ok := figure(part, 23)
		if !ok {
			return "", false
		}
		times = append(times, clock(h, m))
	}
	return "at " + list(times), true
}

// dayWords reads the day of the month, the month and the weekday. What it
// answers follows the words of the clock.
func dayWords(day, month, weekday string) (string, bool) {
	months, ok := names(month, monthNames, 1)
	switch anyDay, anyWeekday := day == "*" || day == "?", weekday == "*" || weekday == "?"; {
	case !ok || !anyDay && !anyWeekday: // either is enough then: hard to say
		return "", false
	case anyDay && anyWeekday:
		if months == "" {
			return "", true
		}
		return " each day of " + months, true
	case anyDay:
		days, ok := names(weekday, weekdayNames, 0)
		days = " on " + days
		if from, to, ranged := strings.Cut(weekday, "-"); ok && ranged && !strings.Contains(weekday, ",") {
			first, _ := names(from, weekdayNames, 0)
			last, _ := names(to, weekdayNames, 0)
			days = ", " + first + " to " + last
		}
		if months != "" {
			days += " in " + months
		}
		return days, ok
	}
	if months == "" {
		months = "the month"
	}
	if day == "L" {
		return " on the last day of " + months, true
	}
	days := strings.Split(day, ",")
	for _, d := range days {
		if n, ok := figure(d, 31); !ok || n == 0 {
			return "", false
		}
	}
	if len(days) > 1 {
		return " on days " + list(days) + " of " + months, true
	}
	return " on day " + day + " of " + months, true
}

var (
	monthNames   = []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
	weekdayNames = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
)

// names reads a list of values and ranges that have names, the first of which
// has the number base. A star is no names.
func names(text string, all []string, base int) (string, bool) {
	if text == "*" || text == "?" {
		return "", true
	}
	index := func(s string) (int, bool) {
		for i, name := range all {
			if len(s) == 3 && strings.EqualFold(s, name[:3]) || s == strconv.Itoa(i+base) {
				return i, true
			}
		}
		return 0, false
	}
	var found []string
	for part := range strings.SplitSeq(text, ",") {
		from, to, ranged := strings.Cut(part, "-")
		i, ok := index(from)
		j := i
		if ok && ranged {
			j, ok = index(to)
		}
		if !ok || j < i {
			return "", false
		}
		found = append(found, all[i:j+1]...)
	}
	return list(found), true
}

// step reads "*" as 1 and "*/n" if the steps go on evenly over the end of all.
func step(text string, all int) (int, bool) {
	if text == "*" {
		return 1, true
	}
	rest, ok := strings.CutPrefix(text, "*/")
	n, fixed := figure(rest, all-1)
	return n, ok && fixed && n > 0 && all%n == 0
}

// bounds reads "a-b".
func bounds(text string, limit int) (from, to int, ok bool) {
	a, b, ok := strings.Cut(text, "-")
	from, ok1 := figure(a, limit)
	to, ok2 := figure(b, limit)
	return from, to, ok && ok1 && ok2 && from < to
}

// figure reads a plain number up to a limit.
func figure(text string, limit int) (int, bool) {
	if text == "" || len(text) > 2 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n <= limit
}

func clock(hour, minute int) string {
	return time.Date(1, 1, 1, hour, minute, 0, 0, time.UTC).Format("15:04")
}

// list joins with commas and a last "and".
func list(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}
