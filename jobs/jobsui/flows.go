package jobsui

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
)

// flowsScan is how many flows a filter looks at before it asks to go on.
const flowsScan = 2_000

// flowRow is a flow in the list.
type flowRow struct {
	jobs.FlowInfo
	URL               template.URL
	Total, Done, Gone int // jobs; those gone have failed
	Took              time.Duration
}

// Open reports whether the flow goes on.
func (r flowRow) Open() bool { return r.Ended.IsZero() }

// Number is that of its stage, for people.
func (r flowRow) Number() int { return r.Stage + 1 }

func newFlowRow(now time.Time, f jobs.FlowInfo) flowRow {
	row := flowRow{FlowInfo: f, URL: flowURL(f.ID, -1, 0)}
	for _, s := range f.Stages {
		row.Total, row.Done, row.Gone = row.Total+s.Total, row.Done+s.Done, row.Gone+s.Failed
	}
	end := f.Ended
	if end.IsZero() {
		end = now
	}
	row.Took = max(end.Sub(f.Started), 0)
	return row
}

// flowURL leads to a flow, or to a page of one of its stages.
func flowURL(id string, stage, offset int) template.URL {
	v := url.Values{"id": {id}}
	if stage >= 0 {
		v.Set("stage", strconv.Itoa(stage+1))
	}
	if offset > 0 {
		v.Set("offset", strconv.Itoa(offset))
	}
	return template.URL("flow?" + v.Encode())
}

// flowsPick is what the list of flows shows, as it stands in its URL.
type flowsPick struct {
	State  jobs.State // empty: all
	Text   string     // part of a name, id or tenant; in lower case
	Offset int
}

// URL is the address of the list, relative to the pages of its queue.
func (p flowsPick) URL() template.URL {
	v := url.Values{}
	if p.State != "" {
		v.Set("state", string(p.State))
	}
	if p.Text != "" {
		v.Set("text", p.Text)
	}
	if p.Offset > 0 {
		v.Set("offset", strconv.Itoa(p.Offset))
	}
	return template.URL("flows?" + v.Encode())
}

func (p flowsPick) match(f jobs.FlowInfo) bool {
	if p.State != "" && p.State != f.State {
		return false
	}
	for _, field := range []string{f.Name, f.ID, f.Tenant} {
		if strings.Contains(strings.ToLower(field), p.Text) {
			return true
		}
	}
	return false
}

// flowsView is the dot of the list of flows.
type flowsView struct {
	flowsPick
	Rows           []flowRow
	States         []flowTab
	Previous, Next template.URL
}

type flowTab struct {
	Label  string
	URL    template.URL
	Active bool
}

func flowStates() []jobs.State {
	return []jobs.State{"", jobs.Running, jobs.Waiting, jobs.Failed, jobs.Cancelled, jobs.Done}
}

// flows lists the flows, those started last first.
func (d *dashboard) flows(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	query := r.URL.Query()
	p := flowsPick{State: jobs.State(query.Get("state")), Text: strings.ToLower(strings.TrimSpace(query.Get("text"))), Offset: offset(query)}
	if !slices.Contains(flowStates(), p.State) {
		p.State = ""
	}
	v := flowsView{flowsPick: p}
	for _, state := range flowStates() {
		tab := flowTab{Label: "All", URL: flowsPick{State: state, Text: p.Text}.URL(), Active: state == p.State}
		if state != "" {
			tab.Label = title(string(state))
		}
		v.States = append(v.States, tab)
	}
	limit := pageSize + 1 // one more says whether there are more
	if p.Text != "" || p.State != "" {
		limit = 500
	}
	next := -1
	for at := p.Offset; next < 0; {
		page, err := q.Flows(r.Context(), at, limit)
		if err != nil {
			d.broken(w, r, f, err)
			return
		}
		for i, flow := range page {
			if len(v.Rows) == pageSize {
				next = at + i
				break
			}
			if p.match(flow) {
				v.Rows = append(v.Rows, newFlowRow(f.Now, flow))
			}
		}
		if at += len(page); next < 0 && at-p.Offset >= flowsScan {
			next = at
		}
		if len(page) < limit {
			break
		}
	}
	if next >= 0 {
		on := p
		on.Offset = next
		v.Next = on.URL()
	}
	if p.Offset > 0 {
		first := p
		first.Offset = 0
		v.Previous = first.URL()
	}
	f.Title, f.Page = "Flows", v
	d.show(w, r, f, "flows", http.StatusOK)
}

// flowView is the dot of the page of one flow.
type flowView struct {
	flowRow
	Missing        string // the id that does not exist
	Policy         string
	Graph          graph
	CulpritURL     template.URL
	Shown          int       // the stage of the table, from 0
	Links          []flowTab // to the stages
	Jobs           []flowJob
	From, To       int
	Previous, Next template.URL
	CanCancel      bool
}

// flowJob is a job in the table.
type flowJob struct {
	row
	Words string // of its state
}

// ShownNumber is the stage of the table for people.
func (v flowView) ShownNumber() int { return v.Shown + 1 }

// flow shows one flow: its graph, and the jobs of one of its stages.
func (d *dashboard) flow(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	query := r.URL.Query()
	id := query.Get("id")
	f.Title = "Flow"
	info, err := q.Flow(r.Context(), id)
	if errors.Is(err, jobs.ErrNotFound) {
		f.Page = flowView{Missing: id}
		d.show(w, r, f, "flow", http.StatusNotFound)
		return
	}
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	v := flowView{
		flowRow: newFlowRow(f.Now, info), CulpritURL: jobURL(info.Culprit), Shown: info.Stage, CanCancel: info.Ended.IsZero() && d.opts.allow(r, "cancel"),
		Policy: map[jobs.FlowPolicy]string{
			jobs.FailFast: "a failed job ends the flow at once",
			jobs.WaitAll:  "a failed job ends the flow after its stage",
			jobs.Ignore:   "goes on without failed jobs",
		}[info.Policy],
	}
	if n, err := strconv.Atoi(query.Get("stage")); err == nil && n >= 1 && n <= len(info.Stages) {
		v.Shown = n - 1
	}
	if v.Graph, err = newGraph(r.Context(), q, info, v.Shown); err != nil {
		d.broken(w, r, f, err)
		return
	}
	for i := range info.Stages {
		v.Links = append(v.Links, flowTab{Label: strconv.Itoa(i + 1), URL: flowURL(id, i, 0), Active: i == v.Shown})
	}
	at := offset(query)
	entries, err := q.FlowJobs(r.Context(), id, v.Shown, at, pageSize)
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	for _, e := range entries {
		v.Jobs = append(v.Jobs, flowJob{row{Entry: e, URL: jobURL(e.Info.ID)}, stateWords(info, e)})
	}
	v.From, v.To = at+1, at+len(entries)
	if at > 0 {
		v.Previous = flowURL(id, v.Shown, max(0, at-pageSize))
	}
	if v.To < info.Stages[v.Shown].Total {
		v.Next = flowURL(id, v.Shown, v.To)
	}
	f.Page = v
	d.show(w, r, f, "flow", http.StatusOK)
}

// endFlow cancels a flow, after it has asked whether that is meant.
func (d *dashboard) endFlow(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	form, _, ok := d.form(w, r, "cancel")
	if !ok {
		return
	}
	id, done := form.Get("id"), "endflow"
	if form.Get("sure") == "" {
		info, err := q.Flow(r.Context(), id)
		if err != nil {
			d.broken(w, r, f, err)
			return
		}
		row := newFlowRow(f.Now, info)
		f.Title, f.Page = "Flow", confirmPage{
			Heading: "Cancel this flow?", Label: "Cancel the flow", Action: "cancel", To: "flow", Back: row.URL,
			Text: fmt.Sprintf("%s of its %s finished. Those that run are told to stop, those that wait are dropped, and what it has done stays done.",
				number(row.Done), plural("1 job has", "%d jobs have", row.Total)),
			Fields: map[string]string{"id": id},
		}
		d.show(w, r, f, "confirm", http.StatusOK)
		return
	}
	switch cancelled, err := q.CancelFlow(r.Context(), id); {
	case err != nil:
		d.broken(w, r, f, err)
		return
	case !cancelled:
		done = "ended"
	default:
		d.opts.logger().InfoContext(r.Context(), "jobsui: flow cancelled", "queue", f.Queue, "flow", id)
	}
	see(w, flowURL(id, -1, 0), done)
}
