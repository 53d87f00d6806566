package cron_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs/internal/cron"
)

// daemon is the main loop of ISC cron on a clock that shows each minute once,
// told in our words: it counts minutes of wall time, and when the clock has
// jumped it treats entries that begin with a star in the minute or the hour
// ("wild") other than those of fixed times. All readings are minutes since
// 1970 of a clock that knows no zone.
type daemon struct {
	spec    []string
	virtual int64 // how far the entries have been looked through
	ran     []time.Time
}

func wallMinute(at time.Time) int64 {
	_, offset := at.Zone()
	return (at.Unix() + int64(offset)) / 60
}

// tick is what the daemon does when it wakes up at a full minute.
func (d *daemon) tick(at time.Time) {
	clock := wallMinute(at)
	switch ahead := clock - d.virtual; {
	case ahead == 1:
		d.virtual = clock
		d.look(at, clock, true, true)
	case ahead > 5 && ahead < 3*60: // the clock was put forward
		d.look(at, clock, true, false)
		for d.virtual < clock {
			d.virtual++
			d.look(at, d.virtual, false, true)
		}
	case ahead <= 0 && ahead > -3*60: // it was put back: wait until it is where it was
		d.look(at, clock, true, false)
	default: // a correction of the clock
		d.virtual = clock
		d.look(at, clock, true, true)
	}
}

func (d *daemon) look(at time.Time, minute int64, wild, fixed bool) {
	starred := strings.HasPrefix(d.spec[0], "*") || strings.HasPrefix(d.spec[1], "*")
	if starred && wild || !starred && fixed {
		shown := time.Unix(minute*60, 0).UTC()
		if matches(append([]string{"0"}, d.spec...), shown) && !slices.ContainsFunc(d.ran, at.Equal) {
			d.ran = append(d.ran, at.UTC())
		}
	}
}

// vixie lists when ISC cron runs an entry in [from, to).
func vixie(spec string, loc *time.Location, from, to time.Time) []time.Time {
	from = from.In(loc)
	d := &daemon{spec: strings.Fields(spec), virtual: wallMinute(from) - 1}
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		d.tick(at.In(loc))
	}
	return d.ran
}

// changes are all the changes of a zone's clocks in the years 2000 to 2036
// that ISC cron takes for daylight saving: of less than three hours.
func changes(loc *time.Location) []time.Time {
	var list []time.Time
	at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for {
		_, end := at.In(loc).ZoneBounds()
		if end.IsZero() || end.Year() > 2036 {
			return list
		}
		by := wallMinute(end.In(loc)) - wallMinute(end.Add(-time.Second).In(loc)) - 1
		if by > 5 && by < 3*60 || by < 0 && by > -3*60 {
			list = append(list, end)
		}
		at = end
	}
}

// dayTime makes the fields of minute and hour, most of them near the night.
// It leaves out what the two read differently by design: a step without a star,
// and a star that is not first, are wild here and fixed times to ISC cron.
func dayTime(r *rand.Rand) string {
	hour := func() string { return fmt.Sprint(r.IntN(5) % 24) }
	minutes := []string{"*/30", "*/7", "0", "30", "59", "0,15,45", "10-20", fmt.Sprint(r.IntN(60))}
	hours := []string{"*", "*/2", hour(), hour(), hour() + "," + hour(), "0-3", "1-2", "22-23", "23," + hour()}
	return minutes[r.IntN(len(minutes))] + " " + hours[r.IntN(len(hours))]
}

func dayFields(r *rand.Rand, at time.Time) string {
	day, weekday := fmt.Sprint(at.Day()), fmt.Sprint(int(at.Weekday()))
	return []string{
		"* * *", "* * *", "* * *", day + " * *", "* * " + weekday, day + " * " + weekday,
		"*/2 * " + weekday, "* " + fmt.Sprint(int(at.Month())) + " *",
	}[r.IntN(8)]
}

var manyZones = strings.Fields(`America/New_York America/Sao_Paulo America/St_Johns America/Havana America/Asuncion
	Europe/London Europe/Dublin Europe/Lisbon Africa/Casablanca Africa/Cairo Asia/Beirut Asia/Tehran Asia/Gaza Asia/Amman
	Australia/Lord_Howe Australia/Adelaide Pacific/Auckland Pacific/Chatham Antarctica/Troll Atlantic/Azores`)

// entry makes what answers when an entry runs first after an instant.
type entry func(spec string, loc *time.Location) (next func(time.Time) time.Time)

func ours(spec string, loc *time.Location) func(time.Time) time.Time {
	s, err := cron.Parse(spec, loc, "")
	if err != nil {
		panic(err) // all that the tests make are good
	}
	return s.Next
}

// besides compares with ISC cron over the two days around a random change, and
// answers how many runs there were and how many of them not at their wall time.
func besides(t *testing.T, entry entry, n int) (runs, moved int, failure string) {
	r := rand.New(rand.NewPCG(1, 0))
	for range n {
		loc := zone(t, manyZones[r.IntN(len(manyZones))])
		all := changes(loc)
		change := all[r.IntN(len(all))]
		spec := dayTime(r) + " " + dayFields(r, change.Add(-time.Second).In(loc))
		from, to := change.Add(-20*time.Hour), change.Add(28*time.Hour)
		var ours []time.Time
		next := entry(spec, loc)
		for at := next(from.Add(-time.Second)); at.Before(to); at = next(at) {
			ours = append(ours, at)
		}
		theirs := vixie(spec, loc, from, to)
		if !slices.EqualFunc(ours, theirs, time.Time.Equal) {
			return runs, moved, fmt.Sprintf("%q in %v, whose clocks change at %v:\nours   %v\ntheirs %v", spec, loc, change.In(loc), local(ours, loc), local(theirs, loc))
		}
		runs += len(ours)
		for _, at := range ours {
			if !matches(append([]string{"0"}, strings.Fields(spec)...), at.In(loc)) {
				moved++
			}
		}
	}
	return runs, moved, ""
}

func local(list []time.Time, loc *time.Location) []string {
	var texts []string
	for _, at := range list {
		texts = append(texts, at.In(loc).Format("02 15:04 -07"))
	}
	return texts
}

func TestClocksChangeAsInVixieCron(t *testing.T) {
	t.Parallel()
	n := testenv.Rounds(500, 20_000)
	runs, moved, failure := besides(t, ours, n)
	require.Empty(t, failure)
	require.Greater(t, moved, n/50, "hardly any run fell into a gap")
	t.Logf("%d entries around a change, %d runs, %d of them after a gap", n, runs, moved)
}

// What other libraries do must be seen.
func TestVixieCronFindsFaults(t *testing.T) {
	t.Parallel()
	for name, entry := range map[string]entry{
		"runs that fall into a gap are left out": func(spec string, loc *time.Location) func(time.Time) time.Time {
			next, fields := ours(spec, loc), append([]string{"0"}, strings.Fields(spec)...)
			return func(at time.Time) time.Time {
				for at = next(at); !matches(fields, at.In(loc)); at = next(at) {
				}
				return at
			}
		},
		"runs of a repeated hour are repeated": func(spec string, loc *time.Location) func(time.Time) time.Time {
			fixed, wild := ours(spec, loc), ours(followClock(spec), loc)
			return func(at time.Time) time.Time {
				if next := wild(at); next.Before(fixed(at)) {
					return next
				}
				return fixed(at)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, failure := besides(t, entry, 2000)
			require.NotEmpty(t, failure)
		})
	}
}

// followClock gives the first part of the minutes a step of one, which makes
// an entry of fixed times one that follows the wall clock.
func followClock(spec string) string {
	minute, rest, _ := strings.Cut(spec, " ")
	if strings.Contains(minute, "/") {
		return spec
	}
	first, more, listed := strings.Cut(minute, ",")
	if !strings.ContainsAny(first, "*-") {
		first += "-" + first
	}
	if minute = first + "/1"; listed {
		minute += "," + more
	}
	return minute + " " + rest
}

// FuzzParse reads anything: no expression may hang, and Next, Prev and Last
// must agree on when it fires.
func FuzzParse(f *testing.F) {
	for _, spec := range []string{"H H(1-4) * * *", "0 0 L-3,15W,LW * 5L,1#2", "@every 90s", "*/7 5,59 2 * * *", "0 0 29 2 *", "H/15 * ? * *", "0 0 31W 1-12/5 7#5"} {
		f.Add(spec, uint8(1), int64(1_772_000_000), "seed")
	}
	f.Fuzz(func(t *testing.T, spec string, zoneIndex uint8, from int64, seed string) {
		loc := zone(t, zones[int(zoneIndex)%len(zones)])
		s, err := cron.Parse(spec, loc, seed)
		if err != nil {
			return
		}
		start := time.Unix(from%(100*365*86400), 0).UTC()
		at := s.Next(start)
		if at.IsZero() {
			return // it fires in some centuries only
		}
		require.True(t, at.After(start))
		require.Equal(t, at, s.Next(at.Add(-time.Second)), "Next depends on where it starts")
		require.Equal(t, at, s.Last(start, at))
		require.True(t, s.Last(start, at.Add(-time.Second)).IsZero(), "nothing lies between")
		if before := s.Prev(at); !before.IsZero() {
			require.False(t, before.After(start), "%v lies between %v and %v", before, start, at)
			require.Equal(t, at, s.Next(before))
		}
	})
}
