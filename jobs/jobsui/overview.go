package jobsui

import (
	"errors"
	"net/http"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
)

// card is a queue on the overview.
type card struct {
	Name  string
	Stats jobs.Stats
	Chart chart
	Error bool
}

// overview shows all queues. One that cannot be read does not hide the others.
func (d *dashboard) overview(w http.ResponseWriter, r *http.Request) {
	f := d.frame(r)
	f.Title = "Queues"
	var cards []card
	for _, name := range d.names {
		c := card{Name: name}
		var err error
		if c.Stats, c.Chart, err = d.figures(r, f, d.queues[name]); err != nil {
			d.opts.logger().ErrorContext(r.Context(), "jobsui: queue not readable", "queue", name, "error", err)
			c.Error = true
		}
		cards = append(cards, c)
	}
	f.Page = cards
	d.show(w, r, f, "overview", http.StatusOK)
}

// summaryPage is the dot of a queue's page.
type summaryPage struct {
	card
	States                        []stateTab
	Control                       jobs.Control
	CanPause, CanResume, CanLimit bool
}

// summary is the page of one queue.
func (d *dashboard) summary(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	stats, chart, err := d.figures(r, f, q)
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	p := summaryPage{
		card: card{Name: f.Queue, Stats: stats, Chart: chart}, States: stateTabs(stats, ""),
		CanPause: d.opts.allow(r, "pause"), CanResume: d.opts.allow(r, "resume"), CanLimit: d.opts.allow(r, "limit"),
	}
	if p.Control, err = q.Control(r.Context()); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		d.broken(w, r, f, err)
		return
	}
	f.Title, f.Page = "Overview", p
	d.show(w, r, f, "summary", http.StatusOK)
}

func (d *dashboard) figures(r *http.Request, f *frame, q *jobs.Queue) (jobs.Stats, chart, error) {
	stats, err := q.Stats(r.Context())
	if err != nil {
		return stats, chart{}, err
	}
	history, err := q.History(r.Context(), f.Now.Add(-time.Hour))
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return stats, chart{}, err
	}
	return stats, newChart(f.Now, history), nil
}

// stateTab is the way to the jobs of a state.
type stateTab struct {
	State  jobs.State
	Label  string
	Count  int
	Active bool
	Alarm  bool
}

func stateTabs(s jobs.Stats, active jobs.State) []stateTab {
	tabs := []stateTab{
		{State: jobs.Running, Label: "Running", Count: s.Running},
		{State: jobs.Ready, Label: "Ready", Count: s.Ready},
		{State: jobs.Scheduled, Label: "Scheduled", Count: s.Scheduled},
		{State: jobs.Parked, Label: "Parked", Count: s.Parked},
		{State: jobs.Dead, Label: "Dead", Count: s.Dead, Alarm: s.Dead > 0},
		{State: jobs.Done, Label: "Done", Count: s.Done},
	}
	for i := range tabs {
		tabs[i].Active = tabs[i].State == active
	}
	return tabs
}
