package cron_test

import (
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
	s, err := cron.Parse(spec, loc)
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
		"question mark": {"0 0 ? * 1", "UTC", "2026-05-01 00:00", "2026-05-09 00:00", "04 00:00 +00"},
		"leap day":      {"0 0 29 2 *", "UTC", "2096-03-01 00:00", "2104-03-01 00:00", "29 00:00 +00"},
		"macro":         {"@weekly", "UTC", "2026-05-01 00:00", "2026-05-11 00:00", "03 00:00 +00|10 00:00 +00"},
		"every":         {"@every 90s", "UTC", "2026-05-01 00:00", "2026-05-01 00:05", "01 00:00 +00|01 00:01 +00|01 00:03 +00|01 00:04 +00"},

		// The clock jumps from 02:00 to 03:00 on 8 March 2026 in New York.
		"fixed time in a gap":      {"30 2 * * *", "America/New_York", "2026-03-07 00:00", "2026-03-10 00:00", "07 02:30 -05|08 03:00 -04|09 02:30 -04"},
		"two fixed times in a gap": {"0,30 2 * * *", "America/New_York", "2026-03-08 00:00", "2026-03-09 00:00", "08 03:00 -04"},
		"fixed time after a gap":   {"0 3 * * *", "America/New_York", "2026-03-08 00:00", "2026-03-09 00:00", "08 03:00 -04"},
		"star skips a gap":         {"30 * * * *", "America/New_York", "2026-03-08 00:00", "2026-03-08 05:00", "08 00:30 -05|08 01:30 -05|08 03:30 -04|08 04:30 -04"},
		"star minute in a gap":     {"*/30 2 * * *", "America/New_York", "2026-03-08 00:00", "2026-03-09 00:00", ""},
		// It falls back from 02:00 to 01:00 on 1 November.
		"fixed time repeated": {"30 1 * * *", "America/New_York", "2026-10-31 00:00", "2026-11-03 00:00", "31 01:30 -04|01 01:30 -04|02 01:30 -05"},
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

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"":                         "0 fields",
		"* * * *":                  "4 fields",
		"* * * * * *":              "6 fields",
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
		"* * L * *":                "is not a day of month",
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
			_, err := cron.Parse(spec, nil)
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
		s, err := cron.Parse(spec, nil)
		require.NoError(t, err)
		require.Equal(t, want, s.Last(time.Time{}, now), spec)
		require.True(t, s.Last(want, now).IsZero(), "%s: nothing after the last one", spec)
		require.Equal(t, want, s.Last(want.Add(-time.Second), now), spec)
	}
}

// FuzzNext compares Next with a walk through every minute.
func FuzzNext(f *testing.F) {
	for _, spec := range []string{"*/7 2,3 * * *", "30 1 * * *", "15 2 29 * 0", "0 */5 1-7 * mon", "59 23 31 12 *", "@hourly", "*/30 * * 3,10,11 *", "0-30 2-3 * * ?"} {
		for zone := range zones {
			f.Add(spec, uint8(zone), int64(1_772_000_000+zone*1_000_000))
		}
	}
	f.Fuzz(func(t *testing.T, spec string, zoneIndex uint8, from int64) {
		loc := zone(t, zones[int(zoneIndex)%len(zones)])
		s, err := cron.Parse(spec, loc)
		if err != nil || strings.Contains(spec, "@every") {
			return
		}
		if len(strings.Fields(spec)) != 5 {
			return // macros are tested by name
		}
		from %= 60 * 365 * 86400
		if from < 0 {
			from = -from
		}
		start := time.Unix(from, 0).UTC()
		got := s.Next(start)
		require.True(t, got.After(start))
		require.Equal(t, got, s.Next(got.Add(-time.Second)), "Next depends on where it starts")
		if want := walk(spec, loc, start, 3*24*60); !want.IsZero() {
			require.Equal(t, want, got, "%s in %v after %v", spec, loc, start.In(loc))
		} else {
			require.True(t, got.After(start.Add(3*24*time.Hour-time.Minute)), "%s in %v after %v: %v too early", spec, loc, start.In(loc), got.In(loc))
		}
	})
}

var zones = []string{"UTC", "America/New_York", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Kathmandu"}
