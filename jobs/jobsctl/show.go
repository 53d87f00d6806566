package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
)

// What is printed has a view of its own, so that -json stays as it is when the
// library changes.
type (
	doneView struct {
		Done string `json:"done"`
		Job  string `json:"job,omitempty"`
	}
	bulkView struct {
		Found   int `json:"found"`
		Changed int `json:"changed"`
		Skipped int `json:"skipped"`
	}
	queuesView []string
	statsView  struct {
		Ready     int `json:"ready"`
		Scheduled int `json:"scheduled"`
		Parked    int `json:"parked"`
		Running   int `json:"running"`
		Dead      int `json:"dead"`
		Done      int `json:"done"`
	}
	jobView struct {
		ID       string          `json:"id"`
		State    jobs.State      `json:"state"`
		Kind     string          `json:"kind,omitempty"`
		Tenant   string          `json:"tenant,omitempty"`
		Flow     string          `json:"flow,omitempty"`
		Attempt  int             `json:"attempt"`
		Crashes  int             `json:"crashes,omitempty"`
		At       *time.Time      `json:"at,omitempty"` // when it is due, died or finished
		Error    string          `json:"error,omitempty"`
		Worker   string          `json:"worker,omitempty"`
		Started  *time.Time      `json:"started,omitempty"` // running: if it is known; done and dead: the last attempt
		TookMS   int64           `json:"took_ms,omitempty"` // done and dead
		Failures []failureView   `json:"failures,omitempty"`
		Args     json.RawMessage `json:"args,omitempty"`
		Sealed   bool            `json:"sealed,omitempty"`
		SealedBy string          `json:"sealed_by,omitempty"`
		Progress json.RawMessage `json:"progress,omitempty"`
		Result   json.RawMessage `json:"result,omitempty"`
	}
	failureView struct {
		Attempt int        `json:"attempt"`
		At      *time.Time `json:"at,omitempty"`
		TookMS  int64      `json:"took_ms,omitempty"`
		Error   string     `json:"error"`
	}
	jobsView  []jobView
	wholeView []jobView

	scheduleView struct {
		ID     string     `json:"id"`
		Spec   string     `json:"spec"`
		Zone   string     `json:"zone,omitempty"`
		Kind   string     `json:"kind,omitempty"`
		Tenant string     `json:"tenant,omitempty"`
		InCode bool       `json:"in_code"`
		Alive  bool       `json:"alive"` // in code: a process runs it
		Paused bool       `json:"paused"`
		Next   *time.Time `json:"next,omitempty"`
		Last   *time.Time `json:"last,omitempty"`
	}
	schedulesView []scheduleView

	workerView struct {
		ID          string     `json:"id"`
		Name        string     `json:"name,omitempty"`
		Build       string     `json:"build,omitempty"`
		State       string     `json:"state"` // working, idle, draining, late or, of an earlier version, unknown
		Concurrency int        `json:"concurrency"`
		Running     int        `json:"running"`
		Held        int        `json:"held"`
		Started     *time.Time `json:"started,omitempty"`
		Seen        *time.Time `json:"seen,omitempty"`
		LeaseMS     int64      `json:"lease_ms"` // left
	}
	workersView []workerView
)

// view is what can be shown as text.
type view interface{ table(w io.Writer) }

// print shows a view as a table or as JSON.
func (c *call) print(v view) error {
	if c.json {
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(c.out, 0, 8, 2, ' ', 0)
	v.table(w)
	return w.Flush()
}

// clean is a text without what a terminal would obey, or a table: jobs and their
// errors are anybody's text.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, text)
}

// row writes the fields of a table, and cuts long ones.
func row(w io.Writer, fields ...any) {
	line := make([]string, len(fields))
	for i, f := range fields {
		line[i] = clean(fmt.Sprint(f))
		if len(line[i]) > 120 {
			line[i] = strings.ToValidUTF8(line[i][:117], "") + "…"
		}
		if line[i] == "" {
			line[i] = "-"
		}
	}
	_, _ = fmt.Fprintln(w, strings.Join(line, "\t")) // Flush tells
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func clock(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format("2006-01-02 15:04:05Z07:00")
}

func (v doneView) table(w io.Writer) { row(w, strings.TrimSpace(v.Done+" "+v.Job)) }

func (v bulkView) table(w io.Writer) {
	row(w, fmt.Sprintf("%d found, %d changed, %d skipped", v.Found, v.Changed, v.Skipped))
}

func (v queuesView) table(w io.Writer) {
	for _, name := range v {
		row(w, name)
	}
}

func (v statsView) table(w io.Writer) {
	row(w, "READY", "SCHEDULED", "PARKED", "RUNNING", "DEAD", "DONE")
	row(w, v.Ready, v.Scheduled, v.Parked, v.Running, v.Dead, v.Done)
}

func (v jobsView) table(w io.Writer) {
	row(w, "ID", "KIND", "TENANT", "ATTEMPT", "AT", "ERROR")
	for _, j := range v {
		row(w, j.ID, j.Kind, j.Tenant, j.Attempt, clock(j.At), j.Error)
	}
}

// table shows one field a line; what is empty is left out.
func (v wholeView) table(w io.Writer) {
	for i, j := range v {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		sealed := ""
		if j.Sealed {
			sealed = strings.TrimSpace("yes " + j.SealedBy)
		}
		for _, f := range [][2]string{
			{"id", j.ID}, {"state", string(j.State)}, {"kind", j.Kind}, {"tenant", j.Tenant}, {"flow", j.Flow},
			{"attempt", fmt.Sprint(j.Attempt)}, {"started", clock(j.Started)}, {"at", clock(j.At)}, {"took", took(j.TookMS)},
			{"worker", j.Worker}, {"sealed", sealed},
		} {
			if f[1] != "" {
				_, _ = fmt.Fprintln(w, f[0]+"\t"+clean(f[1]))
			}
		}
		for _, f := range slices.Concat(errorsOf(j), [][2]string{{"args", string(j.Args)}, {"progress", string(j.Progress)}, {"result", string(j.Result)}}) {
			if f[1] != "" { // the whole of it, on lines of their own
				row(w, f[0])
				for line := range strings.Lines(f[1]) {
					text := []rune(clean(strings.TrimRight(line, "\r\n")))
					for ; len(text) > 100; text = text[100:] {
						_, _ = fmt.Fprintln(w, "  "+string(text[:100]))
					}
					_, _ = fmt.Fprintln(w, "  "+string(text))
				}
			}
		}
	}
}

// errorsOf are the failures of a job under a heading each, or its one error.
func errorsOf(j jobView) (list [][2]string) {
	for _, f := range j.Failures {
		head := fmt.Sprintf("error of attempt %d", f.Attempt)
		for _, part := range []string{clock(f.At), took(f.TookMS)} {
			if part != "" {
				head += ", " + part
			}
		}
		list = append(list, [2]string{head, f.Error})
	}
	if list == nil {
		list = [][2]string{{"error", j.Error}}
	}
	return list
}

func took(ms int64) string {
	if ms == 0 {
		return ""
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

func (v workersView) table(w io.Writer) {
	row(w, "NAME", "ID", "STATE", "RUNNING", "HELD", "STARTED", "SEEN", "LEASE", "BUILD")
	for _, k := range v {
		running := ""
		if k.Name != "" {
			running = fmt.Sprintf("%d of %d", k.Running, k.Concurrency)
		}
		left := (time.Duration(k.LeaseMS) * time.Millisecond).Round(100 * time.Millisecond)
		row(w, k.Name, k.ID, k.State, running, k.Held, clock(k.Started), clock(k.Seen), left, k.Build)
	}
}

func (v schedulesView) table(w io.Writer) {
	row(w, "ID", "SPEC", "ZONE", "KIND", "STATE", "NEXT", "LAST")
	for _, s := range v {
		state := "stored"
		switch {
		case s.Paused:
			state = "paused"
		case s.Alive:
			state = "in code"
		case s.InCode:
			state = "in no code"
		}
		row(w, fmt.Sprintf("%q", s.ID), s.Spec, s.Zone, s.Kind, state, clock(s.Next), clock(s.Last))
	}
}

func viewOf(e jobs.Entry) jobView {
	return jobView{
		ID: e.Info.ID, State: e.State, Kind: e.Info.Kind, Tenant: e.Info.Tenant, Flow: e.Info.Flow,
		Attempt: e.Info.Attempt, Crashes: e.Info.Crashes, At: instant(e.At), Error: e.Error, Worker: e.Worker,
		Started: instant(e.Started), TookMS: e.Took.Milliseconds(), Failures: failuresOf(e),
		Args: document(e.Args), Sealed: e.Sealed, SealedBy: e.SealedBy, Progress: document(e.Progress), Result: document(e.Result),
	}
}

func failuresOf(e jobs.Entry) (list []failureView) {
	for _, f := range e.Failures {
		list = append(list, failureView{f.Attempt, instant(f.At), f.Took.Milliseconds(), f.Error})
	}
	return list
}

// document leaves out what is no JSON, such as a sealed result.
func document(data []byte) json.RawMessage {
	if !json.Valid(data) {
		return nil
	}
	return bytes.TrimSpace(data)
}

// said is the rest of a filter in words.
func said(f jobs.Filter) string {
	text := ""
	if f.Retried {
		text += " and ran before"
	}
	for _, part := range [][2]string{{"of kind", f.Kind}, {"of tenant", f.Tenant}, {"with an error that has", f.Error}} {
		if part[1] != "" {
			text += fmt.Sprintf(", %s %q", part[0], part[1])
		}
	}
	return text
}

func showQueues(ctx context.Context, c *call) error {
	names, err := redisjobs.Queues(ctx, c.rdb, c.prefix)
	if err != nil {
		return err
	}
	return c.print(queuesView(append([]string{}, names...)))
}

func showStats(ctx context.Context, c *call) error {
	stats, err := c.q.Stats(ctx)
	if err != nil {
		return err
	}
	return c.print(statsView(stats))
}

func showJobs(ctx context.Context, c *call) error {
	if c.filter.State == "" {
		c.filter.State = jobs.Dead // what needs a person
	}
	found := jobsView{}
	for offset := 0; offset >= 0 && len(found) < c.limit; {
		page, next, err := c.q.Search(ctx, c.filter, offset, c.limit-len(found))
		if err != nil {
			return err
		}
		for _, e := range page {
			found = append(found, viewOf(e))
		}
		offset = next
	}
	return c.print(found)
}

func showJob(ctx context.Context, c *call) error {
	entries, err := c.q.Find(ctx, c.ids...)
	if err != nil {
		return err
	}
	found := wholeView{}
	for _, e := range entries {
		found = append(found, viewOf(e))
	}
	if missing := len(c.ids) - len(found); missing > 0 {
		err = fmt.Errorf("%d of %d jobs do not exist; a finished one is gone unless it is kept", missing, len(c.ids))
	}
	return errors.Join(c.print(found), err)
}

func showWorkers(ctx context.Context, c *call) error {
	list, err := c.q.Workers(ctx)
	if err != nil {
		return err
	}
	found := workersView{}
	for _, k := range list {
		state := "idle"
		switch {
		case k.Late:
			state = "late"
		case k.Name == "":
			state = "unknown"
		case k.Draining:
			state = "draining"
		case k.Running > 0:
			state = "working"
		}
		found = append(found, workerView{
			k.ID, k.Name, k.Build, state, k.Concurrency, k.Running, k.Held, instant(k.Started), instant(k.Seen), k.Left.Milliseconds(),
		})
	}
	return c.print(found)
}

func showSchedules(ctx context.Context, c *call) error {
	found, now := schedulesView{}, time.Now()
	for cursor := ""; ; {
		page, next, err := c.q.Schedules(ctx, cursor, 500)
		if err != nil {
			return err
		}
		for _, s := range page {
			if c.filter.Tenant != "" && s.Tenant != c.filter.Tenant || len(found) == c.limit {
				continue
			}
			v := scheduleView{
				ID: s.ID, Spec: s.Spec, Zone: s.Options.Zone, Kind: s.Kind, Tenant: s.Tenant, InCode: s.InCode,
				Alive: s.Alive(now), Paused: s.Paused, Next: instant(s.Due), Last: instant(s.Last),
			}
			if next, err := s.Next(now, 1); v.Next == nil && !s.Paused && err == nil && len(next) > 0 {
				v.Next = &next[0]
			}
			found = append(found, v)
		}
		if cursor = next; cursor == "" || len(found) == c.limit {
			return c.print(found)
		}
	}
}
