package jobsui

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// notice turns what a button did, such as "requeue.3", into a sentence. It
// reads what a browser sends, so it knows every word that it may say.
func notice(done string) string {
	if said, ok := map[string]string{
		"pause": "Paused.", "resume": "Resumed.", "limit": "The limit is set.",
		"run":        "A job of the schedule is enqueued.",
		"overlap":    "Nothing was enqueued: an earlier job of the schedule is unfinished, and it does not overlap.",
		"unschedule": "The schedule is removed.",
		"gone":       "There is no such schedule any more.",
		"incode":     "Not removed: a process that runs has it in its code.",
		"endflow":    "The flow is being cancelled.",
		"ended":      "The flow had ended before.",
	}[done]; ok {
		return said
	}
	action, text, _ := strings.Cut(done, ".")
	text, rest, bulk := strings.Cut(text, ".")
	n, err := strconv.Atoi(text)
	verb := map[string]string{"requeue": "requeued", "cancel": "cancelled", "delete": "deleted"}[action]
	if err != nil || n < 0 || verb == "" {
		return ""
	}
	said := plural("1 job", "%d jobs", n) + " " + verb + "."
	if skipped, err := strconv.Atoi(rest); bulk && err == nil && skipped > 0 {
		said += " " + plural("1 job", "%d jobs", skipped) + " had gone on before."
	}
	return said
}

// plural chooses between one and many; many has a %d.
func plural(one, many string, n int) string {
	if n == 1 {
		return one
	}
	return strings.ReplaceAll(many, "%d", number(n))
}

// number groups the digits of a count.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// moment is an instant on the clock of a zone.
func moment(zone *time.Location, t time.Time) string {
	return t.In(zone).Format("Mon 2 Jan 2006, 15:04:05 MST")
}

// shortly is moment without the year, the second and the zone.
func shortly(zone *time.Location, t time.Time) string {
	return t.In(zone).Format("Mon 2 Jan, 15:04")
}

// per names the period of a rate.
func per(d time.Duration) string {
	switch d {
	case 0, time.Second:
		return "second"
	case time.Minute:
		return "minute"
	case time.Hour:
		return "hour"
	}
	return d.String()
}

// title begins a word with a capital.
func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// ago says how far an instant is away, in one unit.
func ago(now, t time.Time) string {
	if d := now.Sub(t); d >= 0 {
		return span(d) + " ago"
	}
	return "in " + span(t.Sub(now))
}

// span writes a duration in the unit in which people say it.
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "<1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}
