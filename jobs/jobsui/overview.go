package jobsui

import (
	"errors"
	"html/template"
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

	Workers workersPage
	Manned  bool // Workers is known
}

// overview shows all queues. One that cannot be read does not hide the others.
func (d *dashboard) overview(w http.ResponseWriter, r *http.Request) {
	f := d.frame(r)
	f.Title = "Queues"
	var cards []card
	for _, name := range d.names {
		c := card{Name: name}
		err := d.figures(r, f, d.queues[name], &c)
		if err != nil {
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
	c := card{Name: f.Queue}
	err := d.figures(r, f, q, &c)
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	p := summaryPage{
		card: c, States: stateTabs(c.Stats, selection{}),
		CanPause: d.opts.allow(r, "pause"), CanResume: d.opts.allow(r, "resume"), CanLimit: d.opts.allow(r, "limit"),
	}
	if p.Control, err = q.Control(r.Context()); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		d.broken(w, r, f, err)
		return
	}
	f.Title, f.Page = "Overview", p
	d.show(w, r, f, "summary", http.StatusOK)
}

// figures fills a card.
func (d *dashboard) figures(r *http.Request, f *frame, q *jobs.Queue, c *card) (err error) {
	if c.Stats, err = q.Stats(r.Context()); err != nil {
		return err
	}
	history, err := q.History(r.Context(), f.Now.Add(-time.Hour))
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	c.Chart = newChart(f.Now, history)
	c.Workers, c.Manned, err = d.countWorkers(r, q)
	return err
}

// stateTab is the way to the jobs of a state.
type stateTab struct {
	Label   string
	URL     template.URL
	Count   int
	Counted bool // Count is known
	Active  bool
	Alarm   bool
}

// stateTabs lead to the states, in the order of a job's life. The active one is
// that of s.
func stateTabs(n jobs.Stats, s selection) []stateTab {
	tab := func(label string, state jobs.State, count int) stateTab {
		to := selection{Filter: jobs.Filter{State: state}}
		return stateTab{Label: label, URL: to.ListURL(), Count: count, Counted: true, Active: state == s.State && !s.Retried}
	}
	retries := selection{Filter: jobs.Filter{State: jobs.Scheduled, Retried: true}}
	dead := tab("Dead", jobs.Dead, n.Dead)
	dead.Alarm = n.Dead > 0
	return []stateTab{
		tab("Running", jobs.Running, n.Running), tab("Ready", jobs.Ready, n.Ready), tab("Scheduled", jobs.Scheduled, n.Scheduled),
		{Label: "Retries", URL: retries.ListURL(), Active: s.Retried && s.State == jobs.Scheduled},
		tab("Parked", jobs.Parked, n.Parked), dead, tab("Done", jobs.Done, n.Done),
	}
}
