package uptime_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
)

func TestThreeFailuresBreakAndOneSuccessMends(t *testing.T) {
	m, err := uptime.NewMonitor("m1", "Shop", "https://shop.example/health", time.Minute)
	require.NoError(t, err)
	require.Equal(t, uptime.Pending, m.State)
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for i, step := range []struct {
		failure  string
		state    uptime.State
		incident string
	}{
		{"", uptime.Up, ""},
		{"HTTP 500", uptime.Failing, ""},
		{"HTTP 500", uptime.Failing, ""},
		{"", uptime.Up, ""}, // the count starts again
		{"HTTP 500", uptime.Failing, ""},
		{"HTTP 500", uptime.Failing, ""},
		{"timeout", uptime.Down, "i7"},
		{"timeout", uptime.Down, "i7"}, // one incident, not one a check
		{"", uptime.Up, ""},
		{"", uptime.Up, ""},
	} {
		at = at.Add(time.Minute)
		require.NoError(t, m.Record(uptime.Result{At: at, Failure: step.failure}, fmt.Sprintf("i%d", i+1)))
		require.Equal(t, step.state, m.State, "step %d", i)
		open := ""
		if m.Incident != nil && m.Incident.Closed == nil {
			open = m.Incident.ID
		}
		require.Equal(t, step.incident, open, "step %d", i)
	}
	before := *m
	require.ErrorIs(t, m.Record(uptime.Result{At: at, Failure: "again"}, "i11"), uptime.ErrOldResult)
	require.Equal(t, before, *m, "a repeated result changes nothing")
}

func TestMonitorSaysWhatHappenedOnce(t *testing.T) {
	m := &uptime.Monitor{ID: "m1", Name: "Shop", URL: "https://shop.example", State: uptime.Failing, Failures: uptime.Threshold - 1}
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	require.NoError(t, m.Record(uptime.Result{At: at, Failure: "HTTP 500"}, "i1"))
	require.NoError(t, m.Record(uptime.Result{At: at.Add(time.Minute), Failure: "HTTP 500"}, "i2"))
	require.NoError(t, m.Record(uptime.Result{At: at.Add(time.Hour)}, "i3"))
	require.Equal(t, []uptime.Event{
		uptime.IncidentOpened{Incident: "i1", Monitor: "m1", Name: "Shop", URL: "https://shop.example", Cause: "HTTP 500", At: at},
		uptime.IncidentClosed{Incident: "i1", Monitor: "m1", Name: "Shop", URL: "https://shop.example", Lasted: time.Hour, At: at.Add(time.Hour)},
	}, m.TakeEvents())
	require.Empty(t, m.TakeEvents())
}

func TestMonitorRefusesBadInput(t *testing.T) {
	for name, c := range map[string]struct {
		name, url string
		interval  time.Duration
		field     string
	}{
		"no name":      {" ", "https://a.example", time.Minute, "name"},
		"long name":    {strings.Repeat("n", 101), "https://a.example", time.Minute, "name"},
		"relative":     {"a", "/health", time.Minute, "url"},
		"other scheme": {"a", "file:///etc/passwd", time.Minute, "url"},
		"gopher":       {"a", "gopher://a.example", time.Minute, "url"},
		"password":     {"a", "https://me:secret@a.example", time.Minute, "url"},
		"not a URL":    {"a", "http://[::1", time.Minute, "url"},
		"too often":    {"a", "https://a.example", time.Millisecond, "interval"},
		"too seldom":   {"a", "https://a.example", 48 * time.Hour, "interval"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := uptime.NewMonitor("m", c.name, c.url, c.interval)
			var field *uptime.FieldError
			require.ErrorAs(t, err, &field)
			require.Equal(t, c.field, field.Field)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}
