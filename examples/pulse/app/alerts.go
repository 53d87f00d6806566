package app

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"time"

	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

//go:embed templates
var templates embed.FS

//go:embed sql/alert.sql
var alertSQL string

// Alert tells the team about an incident.
type Alert struct {
	Incident string `json:"incident"`
	Closed   bool   `json:"closed"` // false: it was opened
}

// Kind is the name of the job.
func (Alert) Kind() string { return "pulse.alert" }

// Follow turns the domain's events into what has to happen because of them,
// see outboxjobs.Options.Map. It runs after the commit, once per event.
func Follow(e outbox.Event) ([]jobs.Item, error) {
	var id struct {
		Incident string `json:"incident"`
	}
	switch e.Type {
	case uptime.IncidentOpened{}.EventType(), uptime.IncidentClosed{}.EventType():
		if err := json.Unmarshal(e.Payload, &id); err != nil {
			return nil, nil // it will not decode later either, and others must go on
		}
		return []jobs.Item{{Args: Alert{Incident: id.Incident, Closed: e.Type == uptime.IncidentClosed{}.EventType()}}}, nil
	}
	return nil, nil
}

// incidentMail is the notification: what the templates see.
type incidentMail struct {
	To       []notify.Recipient
	Closed   bool
	Incident string
	Monitor  string
	URL      string
	Cause    string
	Opened   time.Time
	Lasted   time.Duration
	Page     string
}

// Kind names the folder of templates.
func (m incidentMail) Kind() string {
	if m.Closed {
		return "incident.closed"
	}
	return "incident.opened"
}

// Recipients are the team's contacts.
func (m incidentMail) Recipients() []notify.Recipient { return m.To }

// IdempotencyKey names the fact: a job that is run again sends nothing twice
// where the provider can tell.
func (m incidentMail) IdempotencyKey() string { return m.Kind() + ":" + m.Incident }

func newNotifier(d Deps) (*notify.Notifier, error) {
	files, err := fs.Sub(templates, "templates")
	if err != nil {
		return nil, err
	}
	to := notify.Recipient{Email: "sample@example.com", Phone: "+4930123456"}
	sample := incidentMail{To: []notify.Recipient{to}, Monitor: "Shop", Opened: time.Unix(0, 0)}
	closed := sample
	closed.Closed = true
	return notify.New(&notify.Options{
		Email: d.Mail, SMS: d.SMS, Templates: files, Samples: []notify.Notification{sample, closed},
		Tenant: tenancy.IDFrom, WithTenant: tenancy.WithID, Logger: d.Logger,
	})
}

// alertRow is what an alert says.
type alertRow struct {
	Monitor string
	URL     string `db:"url"`
	Cause   string
	Opened  time.Time
	Closed  *time.Time
}

func (a *App) alert(ctx context.Context, job Alert) error {
	row, err := tenancy.One[alertRow](ctx, a.readOnly(), alertSQL, team(ctx), job.Incident)
	if errors.Is(err, tenancy.ErrNotFound) {
		return nil // its monitor was removed meanwhile
	}
	if err != nil {
		return err
	}
	to, err := contacts.List(ctx, a.readOnly(), record.Query{Order: "id", Limit: maxContacts})
	if err != nil || len(to) == 0 {
		return err // nobody wants to know
	}
	tenant, err := a.Registry.Get(ctx)
	if err != nil {
		return err
	}
	m := incidentMail{
		Closed: job.Closed, Incident: job.Incident, Monitor: row.Monitor, URL: row.URL, Cause: row.Cause,
		Opened: row.Opened.UTC(), Page: a.Base + "/status/" + tenant.Slug + "/page",
	}
	for _, c := range to {
		m.To = append(m.To, notify.Recipient{Name: c.Name, Email: c.Email, Phone: c.Phone})
	}
	if job.Closed && row.Closed != nil {
		m.Lasted = row.Closed.Sub(row.Opened).Round(time.Second)
	}
	return a.notifier.Send(ctx, m)
}
