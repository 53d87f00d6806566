package uptime

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Threshold is the number of failures in a row that open an incident: one or
// two are often the network's and not the site's.
const Threshold = 3

// State is what the last checks say about a monitor.
type State string

// The states of a monitor. It is down from the check that opens an incident
// to the one that closes it.
const (
	Pending State = "pending" // not checked yet
	Up      State = "up"
	Failing State = "failing" // failed fewer than Threshold times in a row
	Down    State = "down"
)

// Monitor is a URL that a team wants watched, with the incident that it is in.
// It is the aggregate of this domain: loaded, changed and stored as a whole.
type Monitor struct {
	ID       string        `json:"id"`
	Name     string        `json:"name"`
	URL      string        `json:"url"`
	Interval time.Duration `json:"-"`
	State    State         `json:"state"`
	Failures int           `json:"failures"` // in a row
	Checked  time.Time     `json:"checked"`  // zero: never
	Incident *Incident     `json:"-"`        // open while Down; otherwise nil, or the one that has just ended
	Version  int64         `json:"-"`        // of the stored monitor; 0: it is new

	events []Event
}

// FieldError says which field of an input is wrong.
type FieldError struct{ Field, Problem string }

func (e *FieldError) Error() string { return e.Field + " " + e.Problem }

// NewMonitor returns a monitor that was never checked, or a [FieldError].
func NewMonitor(id, name, target string, interval time.Duration) (*Monitor, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return nil, &FieldError{"name", "is empty"}
	case len(name) > 100:
		return nil, &FieldError{"name", "is longer than 100 bytes"}
	case len(target) > 2000:
		return nil, &FieldError{"url", "is longer than 2000 bytes"}
	case interval < time.Second || interval > 24*time.Hour:
		return nil, &FieldError{"interval", "must be from 1s to 24h"}
	}
	u, err := url.Parse(target)
	switch {
	case err != nil, u.Host == "":
		return nil, &FieldError{"url", "must be absolute: https://example.com/health"}
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, &FieldError{"url", "must start with http:// or https://"}
	case u.User != nil:
		return nil, &FieldError{"url", "must not carry a password: it would show on the status page"}
	}
	return &Monitor{ID: id, Name: name, URL: u.String(), Interval: interval, State: Pending}, nil
}

// Result is the outcome of one check.
type Result struct {
	At      time.Time
	Status  int           // of the response; 0: there was none
	Latency time.Duration // until the response's headers, or until it failed
	Failure string        // why it counts as down; empty: up
}

// ErrOldResult says that a result is not newer than the monitor's last one:
// a repeated or late check changes nothing.
var ErrOldResult = errors.New("uptime: result is not newer than the last one")

// Record counts a result. The failure that makes Threshold opens an incident,
// which gets the id; the next success closes it.
func (m *Monitor) Record(r Result, id string) error {
	if !r.At.After(m.Checked) {
		return fmt.Errorf("monitor %s: %w", m.ID, ErrOldResult)
	}
	m.Checked = r.At
	if r.Failure == "" {
		m.mend(r)
		return nil
	}
	m.Failures++
	switch {
	case m.State == Down:
	case m.Failures < Threshold:
		m.State = Failing
	default:
		m.State = Down
		m.Incident = &Incident{ID: id, Monitor: m.ID, Cause: r.Failure, Opened: r.At}
		m.events = append(m.events, IncidentOpened{
			Incident: id, Monitor: m.ID, Name: m.Name, URL: m.URL, Cause: r.Failure, At: r.At,
		})
	}
	return nil
}

func (m *Monitor) mend(r Result) {
	was := m.State
	m.State, m.Failures = Up, 0
	if was != Down || m.Incident == nil {
		return
	}
	m.Incident.Closed = &r.At
	m.events = append(m.events, IncidentClosed{
		Incident: m.Incident.ID, Monitor: m.ID, Name: m.Name, URL: m.URL, Lasted: r.At.Sub(m.Incident.Opened), At: r.At,
	})
}

// TakeEvents returns what happened since the last call.
func (m *Monitor) TakeEvents() []Event {
	events := m.events
	m.events = nil
	return events
}
