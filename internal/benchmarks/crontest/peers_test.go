package crontest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/adhocore/gronx"
	"github.com/robfig/cron/v3"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

// reader answers the first instant after one at which an expression fires. It reports false if it does not know.
type reader func(spec, zone string, from time.Time) (time.Time, bool)

func ours(spec, zone string, from time.Time) (time.Time, bool) {
	next, err := jobs.Schedule{Name: "x", Spec: spec, Options: jobs.CronOptions{Zone: zone}}.Next(from, 1)
	if err != nil || len(next) == 0 {
		return time.Time{}, false
	}
	return next[0], true
}

func robfig(spec, zone string, from time.Time) (time.Time, bool) {
	if !readByRobfig(spec) {
		return time.Time{}, false
	}
	options := cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor
	if len(strings.Fields(spec)) == 6 {
		options |= cron.Second
	}
	s, err := cron.NewParser(options).Parse(spec)
	if err != nil {
		return time.Time{}, false
	}
	next := s.Next(from.In(location(zone)))
	return next.UTC(), !next.IsZero()
}

// gron leaves out what it reads differently by design.
func gron(spec, zone string, from time.Time) (time.Time, bool) {
	if f := strings.Fields(spec); len(f) >= 5 {
		weekday := f[len(f)-1]
		if strings.Contains(weekday, "7/") || starInList(weekday) || starInList(f[len(f)-3]) {
			return time.Time{}, false
		}
	}
	next, err := gronx.NextTickAfter(spec, from.In(location(zone)), false)
	return next.UTC(), err == nil && next.After(from) // where it gives up it may answer the start
}

// starInList tells whether a field is a list that has a star in it.
func starInList(field string) bool {
	return strings.Contains(field, ",") && strings.ContainsAny(field, "*?")
}

func location(zone string) *time.Location {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		panic(err) // the machine lacks zones: nothing can be shown
	}
	return loc
}

var zones = strings.Fields(`UTC America/New_York America/Sao_Paulo America/Caracas America/St_Johns America/Los_Angeles
	Europe/Berlin Europe/London Europe/Dublin Europe/Moscow Africa/Casablanca Africa/Cairo Asia/Beirut Asia/Tehran Asia/Kolkata
	Asia/Kathmandu Asia/Tokyo Asia/Gaza Australia/Lord_Howe Australia/Adelaide Pacific/Auckland Pacific/Chatham
	Pacific/Apia Antarctica/Troll America/Havana America/Asuncion Asia/Pyongyang Pacific/Kiritimati`)

// changesNear tells whether the clocks of a zone change within a day and two hours of an instant.
func changesNear(zone string, at time.Time) bool {
	start, end := at.In(location(zone)).ZoneBounds()
	const reach = 26 * time.Hour
	return !start.IsZero() && at.Sub(start) < reach || !end.IsZero() && end.Sub(at) < reach
}

// outcome is what became of comparisons.
type outcome struct{ same, change, astray, unknown int }

func (o outcome) String() string {
	return fmt.Sprintf("%d the same, %d differ at a change of the clocks, %d where the peer contradicts itself, %d not answered by it",
		o.same, o.change, o.astray, o.unknown)
}

// compare follows a schedule for a few ticks, and asks a peer for the next one at each. It answers the first
// difference that is not by design.
func (o *outcome) compare(mine, peer reader, spec, zone string, from time.Time) error {
	at, ok := from, true
	for range 4 {
		var next time.Time
		if next, ok = mine(spec, zone, at); !ok {
			return nil // it never fires, which a search of five years cannot tell
		}
		theirs, known := peer(spec, zone, at)
		first := next
		if theirs.Before(first) {
			first = theirs
		}
		switch {
		case !known:
			o.unknown++
		case theirs.Equal(next):
			o.same++
		case changesNear(zone, first):
			o.change++
		case astray(peer, spec, zone, first, next):
			o.astray++
		default:
			loc := location(zone)
			return fmt.Errorf("%q in %s after %v: ours %v, theirs %v", spec, zone, at.In(loc), next.In(loc), theirs.In(loc))
		}
		at = next
	}
	return nil
}

// astray tells whether a peer that missed a tick, or invented one, takes it back when it is asked a second before: a
// change of the clocks on the way there led it astray.
func astray(peer reader, spec, zone string, first, next time.Time) bool {
	if theirs, known := peer(spec, zone, first.Add(-time.Second)); known && theirs.Equal(next) {
		return true
	}
	// gronx looks from the first of the month before, which may be in a gap itself.
	due, err := gronx.New().IsDue(spec, next.In(location(zone)))
	return err == nil && due && first.Equal(next)
}

// someday is an instant of 2000 to 2040, half of them at a full minute.
func someday(r *rand.Rand) time.Time {
	at := time.Unix(946_684_800+r.Int64N(40*365*86400), 0).UTC()
	if r.IntN(2) == 0 {
		at = at.Truncate(time.Minute)
	}
	return at
}

// agree makes random comparisons, of which the same seed makes the same.
func agree(mine, peer reader, n int, seed uint64) (outcome, error) {
	r, o := rand.New(rand.NewPCG(seed, 0)), outcome{}
	for range n {
		if err := o.compare(mine, peer, expression(r), zones[r.IntN(len(zones))], someday(r)); err != nil {
			return o, err
		}
	}
	return o, nil
}

func TestPeersAgree(t *testing.T) {
	t.Parallel()
	for name, peer := range map[string]reader{"robfig": robfig, "gronx": gron} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 5000
			if os.Getenv("ASHLAR_SOAK") != "" {
				n = 500_000
			}
			o, err := agree(ours, peer, n, 1)
			require.NoError(t, err)
			t.Logf("%d expressions: %s", n, o)
			require.Greater(t, o.same, 2*n, "hardly anything was compared")
			require.Less(t, o.change+o.astray, o.same/50, "more differences than the clocks change")
		})
	}
}

// The comparison is worth as much as the faults that it finds.
func TestPeersFindFaults(t *testing.T) {
	t.Parallel()
	for name, faulty := range map[string]reader{
		"the zone is not looked at": func(spec, _ string, from time.Time) (time.Time, bool) { return ours(spec, "UTC", from) },
		"no 31st": func(spec, zone string, from time.Time) (time.Time, bool) {
			next, ok := ours(spec, zone, from)
			for range 100 { // some fire on no other day
				if !ok || next.In(location(zone)).Day() != 31 {
					break
				}
				next, ok = ours(spec, zone, next)
			}
			return next, ok
		},
		"seconds are left out": func(spec, zone string, from time.Time) (time.Time, bool) {
			if f := strings.Fields(spec); len(f) == 6 {
				spec = "0 " + strings.Join(f[1:], " ")
			}
			return ours(spec, zone, from)
		},
		"one day field is enough, whatever the other": func(spec, zone string, from time.Time) (time.Time, bool) {
			if f := strings.Fields(spec); len(f) == 5 && f[2] != "*" && f[4] != "*" {
				spec = strings.Join(f[:4], " ") + " *"
			}
			return ours(spec, zone, from)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, peer := range []reader{robfig, gron} {
				_, err := agree(faulty, peer, 5000, 1)
				require.Error(t, err)
			}
		})
	}
}

// FuzzPeers compares what both sides accept, whatever it looks like.
func FuzzPeers(f *testing.F) {
	r := rand.New(rand.NewPCG(2, 0))
	for range 200 {
		f.Add(expression(r), uint8(r.IntN(256)), someday(r).Unix())
	}
	f.Fuzz(func(t *testing.T, spec string, zone uint8, from int64) {
		if strings.HasPrefix(strings.TrimSpace(spec), "@every") || strings.ContainsAny(spec, "Hh") || from < 946_684_800 || from > 2_208_988_800 {
			return // H is a random value, @every counts from the start of a process in peers
		}
		if n := len(strings.Fields(spec)); n != 5 && n != 6 && !strings.HasPrefix(spec, "@") {
			return
		}
		var o outcome
		for _, peer := range []reader{robfig, gron} {
			require.NoError(t, o.compare(ours, peer, spec, zones[int(zone)%len(zones)], time.Unix(from, 0)))
		}
	})
}
