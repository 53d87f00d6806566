package uptime

import "time"

// Incident is the time during which a monitor was down.
type Incident struct {
	ID      string     `json:"id"`
	Monitor string     `json:"monitor"` // its id
	Cause   string     `json:"cause"`   // the failure that opened it
	Opened  time.Time  `json:"opened"`
	Closed  *time.Time `json:"closed,omitempty"` // nil: still open

	events []any
}

// IncidentOpened and IncidentClosed are the events of an incident. Events of
// one incident keep their order.
type (
	IncidentOpened struct {
		Incident string    `json:"incident"`
		Monitor  string    `json:"monitor"`
		Name     string    `json:"name"`
		URL      string    `json:"url"`
		Cause    string    `json:"cause"`
		At       time.Time `json:"at"`
	}
	IncidentClosed struct {
		Incident string        `json:"incident"`
		Monitor  string        `json:"monitor"`
		Name     string        `json:"name"`
		URL      string        `json:"url"`
		Lasted   time.Duration `json:"lasted"`
		At       time.Time     `json:"at"`
	}
)

// EventType names the event in the outbox.
func (IncidentOpened) EventType() string { return "pulse.incident.opened" }

// EventKey orders the events of one incident.
func (e IncidentOpened) EventKey() string { return "incident/" + e.Incident }

// EventType names the event in the outbox.
func (IncidentClosed) EventType() string { return "pulse.incident.closed" }

// EventKey orders the events of one incident.
func (e IncidentClosed) EventKey() string { return "incident/" + e.Incident }

// Open begins an incident of a monitor that broke.
func Open(id string, m *Monitor, r Result) *Incident {
	i := &Incident{ID: id, Monitor: m.ID, Cause: r.Failure, Opened: r.At}
	i.events = append(i.events, IncidentOpened{Incident: id, Monitor: m.ID, Name: m.Name, URL: m.URL, Cause: r.Failure, At: r.At})
	return i
}

// Close ends the incident of a monitor that works again; closing a closed one
// does nothing.
func (i *Incident) Close(m *Monitor, at time.Time) {
	if i.Closed != nil {
		return
	}
	i.Closed = &at
	i.events = append(i.events, IncidentClosed{Incident: i.ID, Monitor: m.ID, Name: m.Name, URL: m.URL, Lasted: at.Sub(i.Opened), At: at})
}

// TakeEvents returns what happened since the last call.
func (i *Incident) TakeEvents() []any {
	events := i.events
	i.events = nil
	return events
}
