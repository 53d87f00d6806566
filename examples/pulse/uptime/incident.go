package uptime

import "time"

// Incident is the time during which a monitor was down.
type Incident struct {
	ID      string     `json:"id"`
	Monitor string     `json:"monitor"` // its id
	Cause   string     `json:"cause"`   // the failure that opened it
	Opened  time.Time  `json:"opened"`
	Closed  *time.Time `json:"closed,omitempty"` // nil: still open
}

// IncidentOpened says that a monitor went down.
type IncidentOpened struct {
	Incident string    `json:"incident"`
	Monitor  string    `json:"monitor"`
	Name     string    `json:"name"`
	URL      string    `json:"url"`
	Cause    string    `json:"cause"`
	At       time.Time `json:"at"`
}

// EventType names the event.
func (IncidentOpened) EventType() string { return "pulse.incident.opened" }

// EventKey orders the events of one monitor.
func (e IncidentOpened) EventKey() string { return "monitor/" + e.Monitor }

// IncidentClosed says that a monitor works again.
type IncidentClosed struct {
	Incident string        `json:"incident"`
	Monitor  string        `json:"monitor"`
	Name     string        `json:"name"`
	URL      string        `json:"url"`
	Lasted   time.Duration `json:"lasted"`
	At       time.Time     `json:"at"`
}

// EventType names the event.
func (IncidentClosed) EventType() string { return "pulse.incident.closed" }

// EventKey orders the events of one monitor.
func (e IncidentClosed) EventKey() string { return "monitor/" + e.Monitor }
