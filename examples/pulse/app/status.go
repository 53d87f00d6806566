package app

import (
	"context"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
)

// SlugRef names a status page in the path.
type SlugRef struct {
	Slug string `path:"slug"`
}

// Status is a public status page.
type Status struct {
	Team      string          `json:"team"`
	State     string          `json:"state"` // "operational", "degraded" or "down"
	Monitors  []MonitorStatus `json:"monitors"`
	Incidents []Outage        `json:"incidents"` // of the last week, the newest first
}

// MonitorStatus is what the world may know about a monitor.
type MonitorStatus struct {
	ID           string   `json:"-"`
	Name         string   `json:"name"`
	State        string   `json:"state"`
	Availability *float64 `json:"availability,omitempty"` // share of good checks in the last day; absent: no checks
}

// Outage is what the world may know about an incident.
type Outage struct {
	Monitor string     `json:"monitor"`
	Cause   string     `json:"cause"`
	Opened  time.Time  `json:"opened"`
	Closed  *time.Time `json:"closed,omitempty"`
}

// Status returns the status page of the tenant of ctx.
func (a *App) Status(ctx context.Context, _ SlugRef) (Status, error) {
	team, err := a.Registry.Get(ctx)
	if err != nil {
		return Status{}, err
	}
	out := Status{Team: team.Name, State: "operational", Monitors: []MonitorStatus{}, Incidents: []Outage{}}
	monitors, err := a.Monitors(ctx, None{})
	if err != nil {
		return Status{}, err
	}
	names := map[string]string{}
	down := 0
	for _, m := range monitors {
		names[m.ID] = m.Name
		s := MonitorStatus{ID: m.ID, Name: m.Name, State: m.State}
		if s.Availability, err = a.availability(ctx, m.ID); err != nil {
			return Status{}, err
		}
		if m.State == string(uptime.Down) {
			down++
		}
		out.Monitors = append(out.Monitors, s)
	}
	switch {
	case down > 0 && down == len(monitors):
		out.State = "down"
	case down > 0:
		out.State = "degraded"
	}
	incidents, err := a.incidents(ctx, 20)
	for _, i := range incidents {
		if i.Closed == nil || time.Since(*i.Closed) < 7*24*time.Hour {
			out.Incidents = append(out.Incidents, Outage{Monitor: names[i.Monitor], Cause: i.Cause, Opened: i.Opened, Closed: i.Closed})
		}
	}
	return out, err
}

// availability is nil without checks, or while the analytics are away: a
// status page is needed most when something else is down.
func (a *App) availability(ctx context.Context, monitor string) (*float64, error) {
	p, err := a.Analytics.Value(ctx, checked.Avg("up").Where("monitor", monitor), analytics.Last(24*time.Hour), nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		a.Logger.WarnContext(ctx, "availability is unknown", "error", err)
		return nil, nil
	}
	if p.Events == 0 {
		return nil, nil
	}
	return &p.Value, nil
}

// UptimeOut is the history of a monitor.
type UptimeOut struct {
	Availability *float64      `json:"availability,omitempty"`
	Hours        []UptimePoint `json:"hours"`
}

// UptimePoint is one hour of a monitor's history.
type UptimePoint struct {
	Hour    time.Time `json:"hour"`
	Checks  int64     `json:"checks"`
	Up      float64   `json:"up"`      // share of good checks
	Seconds float64   `json:"seconds"` // mean time of an answer
}

// Uptime returns a monitor's last day by the hour.
func (a *App) Uptime(ctx context.Context, ref MonitorRef) (UptimeOut, error) {
	m, err := findMonitor(ctx, a.readOnly(), ref.ID)
	if err != nil {
		return UptimeOut{}, err
	}
	out := UptimeOut{Hours: []UptimePoint{}}
	if out.Availability, err = a.availability(ctx, m.ID); err != nil {
		return UptimeOut{}, err
	}
	day, by := analytics.Last(24*time.Hour), &analytics.SeriesOptions{Interval: analytics.Hour}
	up, err := a.Analytics.Series(ctx, checked.Avg("up").Where("monitor", m.ID), day, by)
	if err != nil {
		return UptimeOut{}, fmt.Errorf("history: %w", err)
	}
	took, err := a.Analytics.Series(ctx, checked.Avg("seconds").Where("monitor", m.ID), day, by)
	if err != nil {
		return UptimeOut{}, fmt.Errorf("history: %w", err)
	}
	seconds := map[int64]float64{}
	for _, p := range took {
		seconds[p.Time.Unix()] = p.Value
	}
	for _, p := range up {
		if p.Events > 0 {
			out.Hours = append(out.Hours, UptimePoint{Hour: p.Time.UTC(), Checks: p.Events, Up: p.Value, Seconds: seconds[p.Time.Unix()]})
		}
	}
	return out, nil
}
