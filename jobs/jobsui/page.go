package jobsui

import (
	"bytes"
	"embed"
	"fmt"
	"hash/fnv"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"ago": ago, "number": number, "utc": utc, "span": span,
}).ParseFS(assets, "assets/*.html"))

// frame is what every page has around its content.
type frame struct {
	Title  string
	Root   template.URL // the way up to the overview: "", "../"
	Names  []string     // of the queues
	Queue  string       // of this page; empty on the overview
	Notice string       // what the button that led here did
	Now    time.Time
	Tabs   []tab
	Page   any
}

type tab struct {
	Label  string
	URL    template.URL
	Active bool
}

func (d *dashboard) frame(r *http.Request) *frame {
	depth := strings.Count(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return &frame{
		Root:   template.URL(strings.Repeat("../", depth)),
		Names:  d.names,
		Notice: notice(r.URL.Query().Get("done")),
		Now:    time.Now().UTC(),
	}
}

// show renders a page of a queue, or of all.
func (d *dashboard) show(w http.ResponseWriter, r *http.Request, f *frame, name string, status int) {
	if f.Queue != "" {
		for _, t := range []tab{{Label: "Overview", URL: "./"}, {Label: "Jobs", URL: "jobs"}, {Label: "Tenants", URL: "tenants"}} {
			t.Active = t.Label == f.Title || t.Label == "Jobs" && name == "job"
			f.Tabs = append(f.Tabs, t)
		}
	}
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, f); err != nil {
		d.opts.logger().ErrorContext(r.Context(), "jobsui: page not rendered", "page", name, "error", err)
		http.Error(w, "the page cannot be shown; see the log", http.StatusInternalServerError)
		return
	}
	reply(w, r, status, "text/html; charset=utf-8", b.Bytes())
}

// broken answers a page whose data could not be read.
func (d *dashboard) broken(w http.ResponseWriter, r *http.Request, f *frame, err error) {
	d.opts.logger().ErrorContext(r.Context(), "jobsui: queue not readable", "queue", f.Queue, "path", r.URL.Path, "error", err)
	f.Title = "Not readable"
	d.show(w, r, f, "broken", http.StatusBadGateway)
}

// reply answers with an ETag.
func reply(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	sum := fnv.New64a()
	_, _ = sum.Write(body) // never fails
	tag := fmt.Sprintf(`"%x"`, sum.Sum64())
	w.Header().Set("ETag", tag)
	if status == http.StatusOK && r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the reader may have gone
}

func asset(name, contentType string) http.HandlerFunc {
	body, err := assets.ReadFile(name)
	if err != nil {
		panic(err) // the file is embedded: it can only be missing at build time
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		reply(w, r, http.StatusOK, contentType, body)
	}
}

// see leads the browser to a page after a change, relative to this one, so
// that it works under any mount point.
func see(w http.ResponseWriter, page string) {
	w.Header().Set("Location", page)
	w.WriteHeader(http.StatusSeeOther)
}

// notice turns "requeue.3" into a sentence. It reads what a browser sends, so
// it knows every word that it may say.
func notice(done string) string {
	if said, ok := map[string]string{"pause": "Paused.", "resume": "Resumed.", "limit": "The limit is set."}[done]; ok {
		return said
	}
	action, count, _ := strings.Cut(done, ".")
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return ""
	}
	verb := map[string]string{
		"requeue": "requeued", "cancel": "cancelled", "delete": "deleted",
	}[action]
	switch {
	case verb == "":
		return ""
	case n == 1:
		return "1 job " + verb + "."
	}
	return number(n) + " jobs " + verb + "."
}

// number groups the digits of a count.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// ago says how far an instant is away, in one unit.
func ago(now, t time.Time) string {
	if d := now.Sub(t); d >= 0 {
		return span(d) + " ago"
	}
	return "in " + span(t.Sub(now))
}

// span writes a duration in the unit in which people say it.
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "<1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}
