package app

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/tenancy"
)

// StatusTag is carried by every cached answer about a team's monitors.
const StatusTag = "status"

// Seconds is a duration that is written "30s" in JSON.
type Seconds time.Duration

// MarshalText writes "30s".
func (s Seconds) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText reads "30s" and "5m".
func (s *Seconds) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil {
		return &uptime.FieldError{Field: "interval", Problem: `must look like "30s" or "5m"`}
	}
	*s = Seconds(d)
	return nil
}

// MonitorIn asks for a monitor.
type MonitorIn struct {
	Name     string  `json:"name"`
	URL      string  `json:"url"`
	Interval Seconds `json:"interval"` // zero: a minute
}

// Monitor is a monitor as the API shows it.
type Monitor struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	URL      string     `json:"url"`
	Interval Seconds    `json:"interval"`
	State    string     `json:"state"`
	Failures int        `json:"failures"`
	Checked  *time.Time `json:"checked,omitempty"` // absent: never
}

func show(m *uptime.Monitor) Monitor {
	out := Monitor{ID: m.ID, Name: m.Name, URL: m.URL, Interval: Seconds(m.Interval), State: string(m.State), Failures: m.Failures}
	if !m.Checked.IsZero() {
		out.Checked = &m.Checked
	}
	return out
}

// AddMonitor starts to watch a URL, within what the team's plan allows. It
// runs inside the caller's unit of work.
func (a *App) AddMonitor(ctx context.Context, in MonitorIn) (Monitor, error) {
	if in.Interval == 0 {
		in.Interval = Seconds(time.Minute)
	}
	var out Monitor
	err := a.DB.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		// In here, because the unit may be run again: an aggregate belongs to one attempt.
		m, err := uptime.NewMonitor(uuid.Must(uuid.NewV7()).String(), in.Name, in.URL, time.Duration(in.Interval).Round(time.Second))
		if err != nil {
			return err
		}
		// One at a time per team, or two at once could both be the last one
		// that the plan allows.
		tx.Lock("pulse.monitors")
		if d := a.Billing.Can(ctx, featureMonitors, 1); !d.Allowed {
			return d.Err()
		}
		if d := a.Billing.Can(ctx, featureRate, int64(time.Hour/m.Interval)); !d.Allowed {
			return d.Err()
		}
		monitors{tx}.save(m)
		out = show(m)
		// The first check does not wait for the schedule's first tick.
		return errors.Join(outboxjobs.Enqueue(tx, ScheduleChecks{Check: checkOf(m)}, nil), outboxjobs.Enqueue(tx, checkOf(m), nil))
	})
	return out, err
}

// None is an input without fields.
type None struct{}

// MonitorRef names a monitor in the path.
type MonitorRef struct {
	ID string `path:"id" json:"-"`
}

// Monitors lists the team's monitors.
func (a *App) Monitors(ctx context.Context, _ None) ([]Monitor, error) {
	list, err := findMonitors(ctx, a.readOnly(), `order by m.created, m.id limit 1000`)
	out := make([]Monitor, 0, len(list))
	for _, m := range list {
		out = append(out, show(m))
	}
	return out, err
}

// Monitor returns one of the team's monitors.
func (a *App) Monitor(ctx context.Context, ref MonitorRef) (Monitor, error) {
	m, err := findMonitor(ctx, a.readOnly(), ref.ID)
	if err != nil {
		return Monitor{}, err
	}
	return show(m), nil
}

// RemoveMonitor stops watching a URL and forgets its incidents.
func (a *App) RemoveMonitor(ctx context.Context, ref MonitorRef) (struct{}, error) {
	return struct{}{}, a.DB.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		name, err := tenancy.One[string](ctx, tx, `delete from pulse.monitors
			where tenant_id = $1 and id = $2 returning name`, tx.ID(), ref.ID)
		if errors.Is(err, tenancy.ErrNotFound) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		return outboxjobs.Enqueue(tx, ScheduleChecks{Check: CheckMonitor{Monitor: ref.ID, Name: name}}, nil)
	})
}

// CheckNow checks a monitor beside its schedule. Asking often is no way to
// have it checked much more often, or twice at a time.
func (a *App) CheckNow(ctx context.Context, ref MonitorRef) (struct{}, error) {
	m, err := findMonitor(ctx, a.readOnly(), ref.ID)
	if err != nil {
		return struct{}{}, err
	}
	_, err = a.Queue.Enqueue(ctx, checkOf(m), nil)
	return struct{}{}, err
}

func (a *App) readOnly() *tenancy.DB { return a.DB.With(&tenancy.TxOptions{ReadOnly: true}) }
