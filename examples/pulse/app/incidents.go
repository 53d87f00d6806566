package app

import (
	"context"
	"time"

	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/tenancy"
)

// incidentRow is a row of pulse.incidents.
type incidentRow struct {
	ID        string
	MonitorID string `db:"monitor_id"`
	Cause     string
	Opened    time.Time
	Closed    *time.Time
}

const selectIncident = `select id, monitor_id, cause, opened, closed from pulse.incidents where tenant_id = $1`

func (r incidentRow) aggregate() *uptime.Incident {
	i := &uptime.Incident{ID: r.ID, Monitor: r.MonitorID, Cause: r.Cause, Opened: r.Opened.UTC()}
	if r.Closed != nil {
		closed := r.Closed.UTC()
		i.Closed = &closed
	}
	return i
}

// Incidents lists the team's incidents, the newest first.
func (a *App) Incidents(ctx context.Context, _ None) ([]*uptime.Incident, error) {
	return a.incidents(ctx, 100)
}

func (a *App) incidents(ctx context.Context, limit int) ([]*uptime.Incident, error) {
	rows, err := tenancy.All[incidentRow](ctx, a.readOnly(), selectIncident+` order by opened desc limit $2`, team(ctx), limit)
	out := make([]*uptime.Incident, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.aggregate())
	}
	return out, err
}
