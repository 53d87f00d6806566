package jobsui

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/jobs"
)

const pageSize = 50

// selection is what a list shows, as it stands in its URL.
type selection struct {
	jobs.Filter
	ID     string
	Offset int
}

func selectionOf(v url.Values) selection {
	s := selection{
		Filter: jobs.Filter{State: jobs.State(v.Get("state")), Kind: strings.TrimSpace(v.Get("kind")), Tenant: strings.TrimSpace(v.Get("tenant")), Error: strings.TrimSpace(v.Get("error"))},
		ID:     strings.TrimSpace(v.Get("find")),
	}
	if !slices.Contains([]jobs.State{jobs.Ready, jobs.Scheduled, jobs.Parked, jobs.Running, jobs.Dead, jobs.Done}, s.State) {
		s.State = jobs.Dead // what needs a person comes first
	}
	s.Retried, s.Offset = v.Get("retried") != "", offset(v)
	return s
}

func offset(v url.Values) int {
	n, err := strconv.Atoi(v.Get("offset"))
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// ListURL is the list's address, relative to the pages of its queue.
func (s selection) ListURL() template.URL {
	v := url.Values{"state": {string(s.State)}}
	if s.Kind != "" {
		v.Set("kind", s.Kind)
	}
	if s.Tenant != "" {
		v.Set("tenant", s.Tenant)
	}
	if s.Error != "" {
		v.Set("error", s.Error)
	}
	if s.Retried {
		v.Set("retried", "1")
	}
	if s.Offset > 0 {
		v.Set("offset", strconv.Itoa(s.Offset))
	}
	return template.URL("jobs?" + v.Encode())
}

// row is a job in a list.
type row struct {
	jobs.Entry
	URL template.URL
}

func jobURL(id string) template.URL { return template.URL("job?" + url.Values{"id": {id}}.Encode()) }

// listPage is the dot of the list.
type listPage struct {
	selection
	States    []stateTab
	Rows      []row
	Actions   []action
	Previous  template.URL
	Next      template.URL
	From, To  int
	Narrow    bool // not all of the state
	All       int  // of the state
	WithTime  bool
	TimeLabel string
}

// action is a button.
type action struct{ Name, Label, Class string }

// actionsFor are the buttons for jobs of a state, as far as they are allowed.
func (d *dashboard) actionsFor(r *http.Request, state jobs.State) []action {
	all := map[jobs.State][]action{
		jobs.Ready:     {{"cancel", "Cancel", "danger"}},
		jobs.Parked:    {{"cancel", "Cancel", "danger"}},
		jobs.Running:   {{"cancel", "Cancel", "danger"}},
		jobs.Scheduled: {{"requeue", "Run now", ""}, {"cancel", "Cancel", "danger"}},
		jobs.Dead:      {{"requeue", "Requeue", ""}, {"delete", "Delete", "danger"}},
		jobs.Done:      {{"delete", "Delete", "danger"}},
	}[state]
	return slices.DeleteFunc(all, func(a action) bool { return !d.opts.allow(r, a.Name) })
}

// list shows the jobs of one state.
func (d *dashboard) list(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	s := selectionOf(r.URL.Query())
	if s.ID != "" { // the search field leads to the job
		see(w, jobURL(s.ID), "")
		return
	}
	stats, err := q.Stats(r.Context())
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	found, next, err := q.Search(r.Context(), s.Filter, s.Offset, pageSize)
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	p := listPage{
		selection: s, States: stateTabs(stats, s), Actions: d.actionsFor(r, s.State),
		Narrow: s.Filter != (jobs.Filter{State: s.State}), From: s.Offset + 1, To: s.Offset + len(found),
		WithTime:  s.State == jobs.Scheduled || s.State == jobs.Dead || s.State == jobs.Done,
		TimeLabel: map[jobs.State]string{jobs.Scheduled: "Due", jobs.Dead: "Died", jobs.Done: "Finished"}[s.State],
	}
	for _, t := range p.States {
		if t.Active {
			p.All = t.Count
		}
	}
	for _, e := range found {
		p.Rows = append(p.Rows, row{Entry: e, URL: jobURL(e.Info.ID)})
	}
	if s.Offset > 0 {
		back := s
		back.Offset = max(0, s.Offset-pageSize)
		p.Previous = back.ListURL()
	}
	if next >= 0 {
		on := s
		on.Offset = next
		p.Next = on.ListURL()
	}
	f.Title, f.Page = "Jobs", p
	d.show(w, r, f, "list", http.StatusOK)
}
