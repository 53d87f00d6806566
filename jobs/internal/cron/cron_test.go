package cron_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs/internal/cron"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}

// times lists what a schedule fires in [from, to), as wall time with offset.
func times(t testing.TB, spec, zoneName, from, to string) []string {
	t.Helper()
	loc := zone(t, zoneName)
	s, err := cron.Parse(spec, loc, "seed")
	require.NoError(t, err)
	at, err := time.ParseInLocation("2006-01-02 15:04", from, loc)
	require.NoError(t, err)
	end, err := time.ParseInLocation("2006-01-02 15:04", to, loc)
	require.NoError(t, err)
	var list []string
	for at = s.Next(at.Add(-time.Second)); at.Before(end) && !at.IsZero(); at = s.Next(at) {
		list = append(list, at.In(loc).Format("02 15:04 -07"))
	}
	return list
}

func TestNext(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spec, zone, from, to string
		want                 string
	}{
		"list and range": {"0,30 9-10 * * *", "UTC", "2026-05-01 00:00", "2026-05-02 00:00", "01 09:00 +00|01 09:30 +00|01 10:00 +00|01 10:30 +00"},
		"steps":          {"*/20 1-5/2 * * *", "UTC", "2026-05-01 00:00", "2026-05-01 04:00", "01 01:00 +00|01 01:20 +00|01 01:40 +00|01 03:00 +00|01 03:20 +00|01 03:40 +00"},
		"open step":      {"40/10 0 * * *", "UTC", "2026-05-01 00:00", "2026-05-02 00:00", "01 00:40 +00|01 00:50 +00"},
		"names":          {"0 0 * may fri", "UTC", "2026-05-01 00:00", "2026-05-09 00:00", "01 00:00 +00|08 00:00 +00"},
		"sunday as 7":    {"0 0 * * 7", "UTC", "2026-05-01 00:00", "2026-05-09 00:00", "03 00:00 +00"},
		"sunday in range": {
			"0 0 * * 6-7", "UTC", "2026-05-01 00:00", "2026-05-09 00:00",
			"02 00:00 +00|03 00:00 +00",
		},
		"either day field": {"0 0 13 * fri", "UTC", "2026-05-01 00:00", "2026-05-16 00:00", "01 00:00 +00|08 00:00 +00|13 00:00 +00|15 00:00 +00"},
		"star day and weekday": {
			"0 0 */2 * fri", "UTC", "2026-05-01 00:00", "2026-05-16 00:00",
			"01 00:00 +00|15 00:00 +00",
		},
		"question mark":   {"0 0 ? * 1", "UTC", "2026-05-01 00:00", "2026-05-09 00:00", "04 00:00 +00"},
		"leap day":        {"0 0 29 2 *", "UTC", "2096-03-01 00:00", "2104-03-01 00:00", "29 00:00 +00"},
		"seconds":         {"*/20 30 9 * * *", "UTC", "2026-05-01 00:00", "2026-05-01 09:31", "01 09:30 +00|01 09:30 +00|01 09:30 +00"},
		"last day":        {"0 0 L * *", "UTC", "2026-02-01 00:00", "2026-05-01 00:00", "28 00:00 +00|31 00:00 +00|30 00:00 +00"},
		"before the last": {"0 0 L-3 2 *", "UTC", "2026-02-01 00:00", "2028-03-01 00:00", "25 00:00 +00|25 00:00 +00|26 00:00 +00"},
		"last workday":    {"0 0 LW * *", "UTC", "2026-01-01 00:00", "2026-06-01 00:00", "30 00:00 +00|27 00:00 +00|31 00:00 +00|30 00:00 +00|29 00:00 +00"},
		"nearest workday": {
			"0 0 1W,15W * *", "UTC", "2026-08-01 00:00", "2026-12-01 00:00", // 1 August is a Saturday, 15 November a Sunday
			"03 00:00 +00|14 00:00 +00|01 00:00 +00|15 00:00 +00|01 00:00 +00|15 00:00 +00|02 00:00 +00|16 00:00 +00",
		},
		"nearest workday at the end": {"0 0 31W 5,10 *", "UTC", "2026-05-01 00:00", "2026-12-01 00:00", "29 00:00 +00|30 00:00 +00"},
		"last friday":                {"0 0 * * friL", "UTC", "2026-05-01 00:00", "2026-08-01 00:00", "29 00:00 +00|26 00:00 +00|31 00:00 +00"},
		"second and last sunday":     {"0 0 * * 7#2,0L", "UTC", "2026-05-01 00:00", "2026-06-01 00:00", "10 00:00 +00|31 00:00 +00"},
		"fifth friday of february":   {"0 0 * 2 5#5", "UTC", "2026-05-01 00:00", "2060-01-01 00:00", "29 00:00 +00"},
		"last day or monday":         {"0 0 L * mon", "UTC", "2026-05-20 00:00", "2026-06-02 00:00", "25 00:00 +00|31 00:00 +00|01 00:00 +00"},
		"macro":                      {"@weekly", "UTC", "2026-05-01 00:00", "2026-05-11 00:00", "03 00:00 +00|10 00:00 +00"},
		"every":                      {"@every 90s", "UTC", "2026-05-01 00:00", "2026-05-01 00:05", "01 00:00 +00|01 00:01 +00|01 00:03 +00|01 00:04 +00"},

		// The clock jumps from 02:00 to 03:00 on 8 March 2026 in New York.
		"fixed time in a gap":      {"30 2 * * *", "America/New_York", "2026-03-07 00:00", "2026-03-10 00:00", "07 02:30 -05|08 03:00 -04|09 02:30 -04"},
		"two fixed times in a gap": {"0,30 2 * * *", "America/New_York", "2026-03-08 00:00", "2026-03-09 00:00", "08 03:00 -04"},
		"fixed time after a gap":   {"0 3 * * *", "America/New_York", "2026-03-08 00:00", "2026-03-09 00:00", "08 03:00 -04"},
		"star skips a gap":         {"30 * * * *", "America/New_York", "2026-03-08 00:00", "2026-03-08 05:00", "08 00:30 -05|08 01:30 -05|08 03:30 -04|08 04:30 -04"},
		"star minute in a gap":     {"*/30 2 * * *", "America/New_York", "2026-03-08 00:00", "2026-03-09 00:00", ""},
		"fixed second in a gap":    {"15,45 30 2 * * *", "America/New_York", "2026-03-08 00:00", "2026-03-09 00:00", "08 03:00 -04"},
		// It falls back from 02:00 to 01:00 on 1 November.
		"fixed second repeated": {"15 30 1 * * *", "America/New_York", "2026-11-01 00:00", "2026-11-02 00:00", "01 01:30 -04"},
		"fixed time repeated":   {"30 1 * * *", "America/New_York", "2026-10-31 00:00", "2026-11-03 00:00", "31 01:30 -04|01 01:30 -04|02 01:30 -05"},
		"star repeated": {
			"*/30 * * * *", "America/New_York", "2026-11-01 00:00", "2026-11-01 03:00",
			"01 00:00 -04|01 00:30 -04|01 01:00 -04|01 01:30 -04|01 01:00 -05|01 01:30 -05|01 02:00 -05|01 02:30 -05",
		},
		// Midnight does not exist on 29 March 2026 in Beirut.
		"midnight in a gap": {"0 0 * * *", "Asia/Beirut", "2026-03-28 00:00", "2026-03-31 00:00", "28 00:00 +02|29 01:00 +03|30 00:00 +03"},
		// Lord Howe Island moves by half an hour.
		"half an hour": {"15 2 * * *", "Australia/Lord_Howe", "2026-10-03 00:00", "2026-10-06 00:00", "03 02:15 +10|04 02:30 +11|05 02:15 +11"},
		// Samoa left out 30 December 2011.
		"day that did not exist": {"0 12 * * *", "Pacific/Apia", "2011-12-29 00:00", "2012-01-01 00:00", "29 12:00 -10|31 12:00 +14"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, strings.Join(times(t, tt.spec, tt.zone, tt.from, tt.to), "|"))
		})
	}
}

func TestHashSpreads(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	minutes, starts := map[int]int{}, map[int]int{}
	for i := range 6000 {
		seed := "monitor " + strconv.Itoa(i)
		s, err := cron.Parse("H H(3-4) H * *", nil, seed)
		require.NoError(t, err)
		again, err := cron.Parse("H H(3-4) H * *", nil, seed)
		require.NoError(t, err)
		at := s.Next(from)
		require.Equal(t, at, again.Next(from), "every process must agree")
		require.Contains(t, []int{3, 4}, at.Hour())
		require.LessOrEqual(t, at.Day(), 28, "H is a day that every month has")
		minutes[at.Minute()]++

		steps, err := cron.Parse("H/15 * * * *", nil, seed)
		require.NoError(t, err)
		first := steps.Next(from.Add(-time.Second))
		require.Less(t, first.Minute(), 15)
		require.Equal(t, first.Add(15*time.Minute), steps.Next(first))
		starts[first.Minute()]++
	}
	require.Len(t, minutes, 60)
	require.Len(t, starts, 15)
	for minute, n := range minutes {
		require.InDelta(t, 100, n, 50, "minute %d", minute)
	}
}

func TestPrev(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 20, 10, 30, 0, 0, time.UTC)
	for spec, want := range map[string]time.Time{
		"30 10 * * *":    now.AddDate(0, 0, -1),
		"*/10 * * * * *": now.Add(-10 * time.Second),
		"@every 1h":      now.Truncate(time.Hour),
		"0 0 * 2 5#5":    time.Date(2008, 2, 29, 0, 0, 0, 0, time.UTC),
	} {
		s, err := cron.Parse(spec, nil, "")
		require.NoError(t, err)
		require.Equal(t, want, s.Prev(now), spec)
		require.True(t, s.Next(want.Add(-time.Nanosecond)).Equal(want), spec)
		require.False(t, s.Next(want).Before(now), spec)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"":                         "0 fields",
		"* * * *":                  "4 fields",
		"* * * * * * *":            "7 fields",
		"60 * * * * *":             "field 1 (second)",
		"* 60 * * * *":             "field 2 (minute)",
		"60 * * * *":               "field 1 (minute) \"60\": 60 is not within 0-59",
		"* 24 * * *":               "field 2 (hour)",
		"* * 0 * *":                "field 3 (day of month)",
		"* * * 13 *":               "field 4 (month)",
		"* * * * 8":                "field 5 (day of week)",
		"* * * foo *":              "is not a month",
		"5-1 * * * *":              "backwards",
		"*/0 * * * *":              "not a positive number",
		"*/-1 * * * *":             "not a positive number",
		"+1 * * * *":               "is not a minute",
		"1,,2 * * * *":             "is not a minute",
		"? * * * *":                "is not a minute",
		"* L * * *":                "is not a hour",
		"* * L-0 * *":              "1-30 days before",
		"* * L-31 * *":             "1-30 days before",
		"* * 32W * *":              "field 3 (day of month)",
		"* * W * *":                "is not a day of month",
		"* * * * L":                "is not a day of week",
		"* * * * 8L":               "field 5 (day of week)",
		"* * * * 1#6":              "1st to the 5th",
		"* * * * x#1":              "is not a day of week",
		"H(1 * * * *":              "H(a-b)",
		"H(1) * * * *":             "H(a-b)",
		"H(9-1) * * * *":           "backwards",
		"H5 * * * *":               "is not a minute",
		"0 0 31W 2 *":              "never fires",
		"0 0 30 2 *":               "never fires",
		"@never":                   "unknown expression",
		"@every 0s":                "at least one",
		"@every 1500ms":            "whole seconds",
		"@every x":                 "@every",
		"TZ=0":                     "1 fields",
		strings.Repeat("*", 300):   "longer than",
		"@every 9999999999999999h": "@every",
	} {
		t.Run(spec, func(t *testing.T) {
			t.Parallel()
			_, err := cron.Parse(spec, nil, "seed")
			require.ErrorContains(t, err, want)
		})
	}
}

func TestLast(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 20, 10, 30, 15, 0, time.UTC)
	for spec, want := range map[string]time.Time{
		"* * * * *":    now.Truncate(time.Minute),
		"0 6 1 * *":    time.Date(2026, 5, 1, 6, 0, 0, 0, time.UTC),
		"0 0 1 1 *":    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		"0 0 29 2 *":   time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
		"@every 10s":   now.Truncate(10 * time.Second),
		"30 10 20 5 *": now.Truncate(time.Minute),
	} {
		s, err := cron.Parse(spec, nil, "seed")
		require.NoError(t, err)
		require.Equal(t, want, s.Last(time.Time{}, now), spec)
		require.True(t, s.Last(want, now).IsZero(), "%s: nothing after the last one", spec)
		require.Equal(t, want, s.Last(want.Add(-time.Second), now), spec)
	}
}

// FuzzNext compares Next with a walk through every minute.
func FuzzNext(f *testing.F) {
	for _, spec := range []string{"*/7 2,3 * * *", "30 1 * * *", "15 2 29 * 0", "0 */5 1-7 * mon", "59 23 31 12 *", "@hourly", "*/30 * * 3,10,11 *", "0-30 2-3 * * ?", "*/7 5,59 2 * * *", "15 30 1,2 * * *", "59 */30 * * * 0"} {
		for zone := range zones {
			f.Add(spec, uint8(zone), int64(1_772_000_000+zone*1_000_000))
		}
	}
	f.Fuzz(func(t *testing.T, spec string, zoneIndex uint8, from int64) {
		loc := zone(t, zones[int(zoneIndex)%len(zones)])
		s, err := cron.Parse(spec, loc, "seed")
		if err != nil || strings.Contains(spec, "@every") {
			return
		}
		if n := len(strings.Fields(spec)); n != 5 && n != 6 || strings.ContainsAny(spec, "LWH#") {
			return // these have tests of their own, and peers to compare with
		}
		from %= 60 * 365 * 86400
		if from < 0 {
			from = -from
		}
		start := time.Unix(from, 0).UTC()
		got := s.Next(start)
		require.True(t, got.After(start))
		require.Equal(t, got, s.Next(got.Add(-time.Second)), "Next depends on where it starts")
		reach := 3 * 24 * time.Hour
		if len(strings.Fields(spec)) == 6 {
			reach = 3 * time.Hour
		}
		if want := walk(spec, loc, start, reach); !want.IsZero() {
			require.Equal(t, want, got, "%s in %v after %v", spec, loc, start.In(loc))
		} else {
			require.True(t, got.After(start.Add(reach-time.Minute)), "%s in %v after %v: %v too early", spec, loc, start.In(loc), got.In(loc))
		}
	})
}

var zones = []string{"UTC", "America/New_York", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Kathmandu"}
