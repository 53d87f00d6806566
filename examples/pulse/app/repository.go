package app

import (
	"context"
	_ "embed"
	"errors"
	"time"

	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/tenancy"
)

//go:embed sql/monitor.sql
var selectMonitor string

// monitorRow is a monitor and its open incident as one row.
type monitorRow struct {
	ID        string
	Name      string
	URL       string `db:"url"`
	IntervalS int    `db:"interval_s"`
	State     uptime.State
	Failures  int
	Checked   time.Time
	Version   int64

	Incident *string
	Cause    *string
	Opened   *time.Time
}

func (r monitorRow) aggregate() *uptime.Monitor {
	m := &uptime.Monitor{
		ID: r.ID, Name: r.Name, URL: r.URL, Interval: time.Duration(r.IntervalS) * time.Second,
		State: r.State, Failures: r.Failures, Checked: r.Checked.UTC(), Version: r.Version,
	}
	if r.Incident != nil {
		m.Incident = &uptime.Incident{ID: *r.Incident, Monitor: r.ID, Cause: *r.Cause, Opened: r.Opened.UTC()}
	}
	return m
}

// team is the tenant of ctx as an argument: told who it is about, the planner
// knows how many rows there are, which a call of a function hides from it. The
// policy compares all the same, and without a tenant nothing is sent.
func team(ctx context.Context) string {
	id, _ := tenancy.IDFrom(ctx)
	return id
}

// findMonitors loads the monitors of the team; rest is what follows its WHERE.
func findMonitors(ctx context.Context, q tenancy.Querier, rest string) ([]*uptime.Monitor, error) {
	rows, err := tenancy.All[monitorRow](ctx, q, selectMonitor+rest, team(ctx))
	list := make([]*uptime.Monitor, 0, len(rows))
	for _, r := range rows {
		list = append(list, r.aggregate())
	}
	return list, err
}

// findMonitor loads one monitor, or returns ErrNotFound.
func findMonitor(ctx context.Context, q tenancy.Querier, id string) (*uptime.Monitor, error) {
	row, err := tenancy.One[monitorRow](ctx, q, selectMonitor+`and m.id = $2`, team(ctx), id)
	if errors.Is(err, tenancy.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return row.aggregate(), nil
}

// monitors is the repository of the aggregate in a unit of work. Storing costs
// no round trip: everything leaves with COMMIT.
type monitors struct{ tx *tenancy.Tx }

// get loads a monitor to be changed. No lock is held meanwhile: save notices.
func (r monitors) get(ctx context.Context, id string) (*uptime.Monitor, error) {
	return findMonitor(ctx, r.tx, id)
}

// save stores the whole aggregate and what happened to it. The unit fails with
// tenancy.ErrStale if the monitor was changed or removed since it was loaded.
func (r monitors) save(m *uptime.Monitor) {
	if m.Version == 0 {
		r.tx.Defer(`insert into pulse.monitors (id, name, url, interval_s, state, failures, checked) values ($1, $2, $3, $4, $5, $6, $7)`,
			m.ID, m.Name, m.URL, int(m.Interval/time.Second), m.State, m.Failures, m.Checked)
	} else {
		r.tx.DeferExpect(1, "monitor", `update pulse.monitors set state = $4, failures = $5, checked = $6, version = version + 1
			where tenant_id = $1 and id = $2 and version = $3`, r.tx.ID(), m.ID, m.Version, m.State, m.Failures, m.Checked)
	}
	m.Version++
	if i := m.Incident; i != nil {
		r.tx.Defer(`insert into pulse.incidents (id, monitor_id, cause, opened, closed) values ($1, $2, $3, $4, $5)
			on conflict (tenant_id, id) do update set closed = excluded.closed`, i.ID, i.Monitor, i.Cause, i.Opened, i.Closed)
	}
	for _, e := range m.TakeEvents() {
		r.tx.Emit(e) // Follow makes the alert of it
	}
}
