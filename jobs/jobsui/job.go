package jobsui

import (
	"bytes"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/driver"
)

// maxShown bounds what a page shows of arguments or a result.
const maxShown = 64 << 10

// jobPage is the dot of a job's page.
type jobPage struct {
	jobs.Entry
	FlowURL template.URL
	Args    document
	Result  document
	Actions []action
	Missing string // the id that does not exist

	WorkerName string // running: what people call it; empty if nobody knows
}

// ShowSince tells whether the job could not run as soon as it was enqueued, which
// is then not what At says already.
func (p jobPage) ShowSince() bool {
	return !p.Since.IsZero() && !p.Since.Equal(p.Enqueued) && p.Since.Sub(p.At).Abs() > time.Second
}

// document is JSON for people.
type document struct {
	Text   string
	Cut    bool // there is more
	Hidden bool // Options.Redact left nothing, or it is sealed
}

// progress is what a handler told with jobs.Progress.
type progress struct {
	Done, Total int // of a Total of zero nothing is known
	Note        string
}

// progressOf answers nil for none and for what it cannot read.
func progressOf(data []byte) *progress {
	var p progress
	if json.Unmarshal(data, &p) != nil || p.Done < 0 || p.Total < 0 {
		return nil
	}
	return &p
}

// job shows one job.
func (d *dashboard) job(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	id := r.URL.Query().Get("id")
	found, err := q.Find(r.Context(), id)
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	f.Title = "Job"
	if len(found) == 0 {
		// The flow of a job knows it before and after the queue does.
		if flow, stage, index, ok := driver.FlowOf(id); ok {
			found, err = q.FlowJobs(r.Context(), flow, stage, index, 1)
			if err != nil && !errors.Is(err, errors.ErrUnsupported) {
				d.broken(w, r, f, err)
				return
			}
		}
	}
	if len(found) == 0 || found[0].Info.ID != id {
		f.Page = jobPage{Missing: id}
		d.show(w, r, f, "job", http.StatusNotFound)
		return
	}
	e, worker := found[0], ""
	if e.Worker != "" {
		worker = d.workerName(r, q, e.Worker)
	}
	f.Page = jobPage{
		Entry: e, WorkerName: worker, FlowURL: flowURL(e.Info.Flow, -1, 0), Actions: d.actionsFor(r, e.State),
		Args: d.document(e.Info.Kind, e.Args, e.Sealed), Result: d.document(e.Info.Kind, e.Result, e.Sealed),
	}
	d.show(w, r, f, "job", http.StatusOK)
}

// document never opens what is sealed. A result can be sealed where the
// arguments are not: an outbox stores those as they are.
func (d *dashboard) document(kind string, data []byte, sealed bool) document {
	switch {
	case sealed || len(data) > 0 && !json.Valid(data):
		return document{Hidden: true}
	case len(data) == 0:
		return document{}
	}
	shown := d.opts.redact(kind, data)
	if len(shown) == 0 {
		return document{Hidden: true}
	}
	var b bytes.Buffer
	if json.Indent(&b, shown, "", "  ") == nil {
		shown = b.Bytes()
	}
	doc := document{Cut: len(shown) > maxShown}
	shown = shown[:min(len(shown), maxShown)]
	for !utf8.Valid(shown) && doc.Cut && len(shown) > maxShown-utf8.UTFMax {
		shown = shown[:len(shown)-1]
	}
	doc.Text = string(bytes.ToValidUTF8(shown, []byte("�")))
	return doc
}
