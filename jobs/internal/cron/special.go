package cron

import (
	"fmt"
	"math/bits"
	"strings"
	"time"
)

// special are the days of a column that depend on the month.
type special struct {
	fromEnd     uint32   // bit n: n days before the last of the month
	nearest     uint32   // bit n: the weekday nearest to the n-th
	lastWorkday bool     // LW
	last        uint8    // bit w: the last such weekday of the month
	nth         [7]uint8 // per weekday, bit k: the k-th of the month
}

// addDay reads L, L-n, nW and LW; it reports false for parts of other forms.
func (d *special) addDay(part string, b bound) (bool, error) {
	switch {
	case part == "L":
		d.fromEnd |= 1
	case part == "LW":
		d.lastWorkday = true
	case strings.HasPrefix(part, "L-"):
		n, err := number(part[2:])
		if err != nil || n < 1 || n > 30 {
			return false, fmt.Errorf("%q: want 1-30 days before the last", part)
		}
		d.fromEnd |= 1 << n
	case strings.HasSuffix(part, "W"):
		n, err := value(strings.TrimSuffix(part, "W"), b)
		if err != nil {
			return false, err
		}
		d.nearest |= 1 << n
	default:
		return false, nil
	}
	return true, nil
}

// addWeekday reads nL and n#k.
func (d *special) addWeekday(part string, b bound) (bool, error) {
	if day, ok := strings.CutSuffix(part, "L"); ok {
		n, err := value(day, b)
		if err != nil {
			return false, err
		}
		d.last |= 1 << (n % 7)
		return true, nil
	}
	day, which, ok := strings.Cut(part, "#")
	if !ok {
		return false, nil
	}
	n, err := value(day, b)
	if err != nil {
		return false, err
	}
	k, err := number(which)
	if err != nil || k < 1 || k > 5 {
		return false, fmt.Errorf("%q: want the 1st to the 5th of a month", part)
	}
	d.nth[n%7] |= 1 << k
	return true, nil
}

// matchDay tells whether a day is one of the days of the month.
func (d *special) matchDay(day time.Time) bool {
	if d.fromEnd == 0 && d.nearest == 0 && !d.lastWorkday {
		return false
	}
	end := time.Date(day.Year(), day.Month()+1, 0, 0, 0, 0, 0, time.UTC)
	if d.fromEnd&(1<<(end.Day()-day.Day())) != 0 {
		return true
	}
	if d.lastWorkday && workday(end, end.Day()) == day.Day() {
		return true
	}
	for set := d.nearest; set != 0; set &= set - 1 {
		n := bits.TrailingZeros32(set)
		if n <= end.Day() && workday(time.Date(day.Year(), day.Month(), n, 0, 0, 0, 0, time.UTC), end.Day()) == day.Day() {
			return true
		}
	}
	return false
}

// workday is the day of the month, Monday to Friday, that is nearest to a day
// and in the same month, which has so many days.
func workday(day time.Time, days int) int {
	switch n := day.Day(); {
	case day.Weekday() == time.Saturday && n > 1:
		return n - 1
	case day.Weekday() == time.Saturday:
		return n + 2
	case day.Weekday() == time.Sunday && n < days:
		return n + 1
	case day.Weekday() == time.Sunday:
		return n - 2
	default:
		return n
	}
}

// matchWeekday tells whether a day is one of the days of the week.
func (d *special) matchWeekday(day time.Time) bool {
	w := day.Weekday()
	if d.nth[w]&(1<<((day.Day()+6)/7)) != 0 {
		return true
	}
	return d.last&(1<<w) != 0 && day.AddDate(0, 0, 7).Month() != day.Month()
}
