package jobsui

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// notice turns "requeue.3" into a sentence. It reads what a browser sends, so
// it knows every word that it may say.
func notice(done string) string {
	if said, ok := map[string]string{"pause": "Paused.", "resume": "Resumed.", "limit": "The limit is set."}[done]; ok {
		return said
	}
	action, count, _ := strings.Cut(done, ".")
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return ""
	}
	verb := map[string]string{
		"requeue": "requeued", "cancel": "cancelled", "delete": "deleted",
	}[action]
	switch {
	case verb == "":
		return ""
	case n == 1:
		return "1 job " + verb + "."
	}
	return number(n) + " jobs " + verb + "."
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
