package cacheui

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/cache"
)

//go:embed assets
var assets embed.FS

var page = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"number": number, "size": size, "span": span, "percent": percent,
	"columns": func() []column { return columns },
}).ParseFS(assets, "assets/page.html"))

// Options configure the page. The zero value, like nil, is ready for use.
type Options struct {
	// Title is shown at the top, the name of the process for example. Empty means "Cache".
	Title string
}

func (o *Options) title() string {
	if o == nil || o.Title == "" {
		return "Cache"
	}
	return o.Title
}

// New returns the page of hub. It is to be mounted with http.StripPrefix, or at the root. A nil
// hub is an error.
func New(hub *cache.Hub, opts *Options) (http.Handler, error) {
	if hub == nil {
		return nil, errors.New("cacheui: New: hub is nil")
	}
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		return nil, fmt.Errorf("cacheui: New: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /style.css", http.FileServerFS(files))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		show(w, view{Title: opts.title(), Now: time.Now().UTC(), Live: r.URL.Query().Has("live"), Stats: hub.Stats()})
	})
	return handler{mux}, nil
}

const policy = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

type handler struct{ mux *http.ServeMux }

// ServeHTTP implements http.Handler.
func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cache-Control", "no-store")
	if r.URL.Path == "" { // the mount point itself: relative links need the final slash
		u, err := url.ParseRequestURI(r.RequestURI)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		head.Set("Location", "/"+strings.Trim(u.EscapedPath(), "/")+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	h.mux.ServeHTTP(w, r)
}

// view is what the page shows.
type view struct {
	Title string
	Now   time.Time
	Live  bool // the browser asks again every few seconds
	cache.Stats
}

func show(w http.ResponseWriter, v view) {
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		http.Error(w, "the page cannot be shown: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // the reader may have gone
}

// Rows are the caches with what the page says of them.
func (v view) Rows() []row {
	rows := make([]row, len(v.Caches))
	for i, c := range v.Caches {
		rows[i] = row{c}
	}
	return rows
}

// All are the caches together.
func (v view) All() row {
	var sum cache.CacheStats
	for _, c := range v.Caches {
		sum.LocalHits += c.LocalHits
		sum.StoreHits += c.StoreHits
		sum.Stale += c.Stale
		sum.Loads += c.Loads
		sum.Collapsed += c.Collapsed
		sum.Bypasses += c.Bypasses
		sum.LoadErrors += c.LoadErrors
		sum.Shed += c.Shed
	}
	return row{sum}
}

type row struct{ cache.CacheStats }

// Answers are all that was answered, from anywhere. Loads in the background are among them.
func (r row) Answers() int64 {
	return r.LocalHits + r.StoreHits + r.Stale + r.Loads + r.Bypasses + r.Collapsed
}

// Hits are those that nobody loaded for.
func (r row) Hits() int64 { return r.LocalHits + r.StoreHits + r.Stale }

// column is a figure of each row, in the order of the page.
type column struct {
	Name, Words string
	of          func(row) int64
	bad         bool // more than 0 is for somebody to look at
}

var columns = []column{
	{"Memory", "Fresh values from this process.", func(r row) int64 { return r.LocalHits }, false},
	{"Store", "Fresh values from the store that all processes share.", func(r row) int64 { return r.StoreHits }, false},
	{"Stale", "Old values, served while a newer one was loaded or could not be.", func(r row) int64 { return r.Stale }, false},
	{"Loads", "Loads under a lease, for callers and in the background.", func(r row) int64 { return r.Loads }, false},
	{"Shared", "Callers who got the value of another caller's load.", func(r row) int64 { return r.Collapsed }, false},
	{"Around", "Loads past the store, because it failed, a writer held the entry, or it belongs to an open unit of work. " +
		"Their values are not kept.", func(r row) int64 { return r.Bypasses }, false},
	{"Early", "Reads shortly before a value's end that asked for a newer one in the background.", func(r row) int64 { return r.Early }, false},
	{"Rejected", "Loads whose value was not kept, most often because it was invalidated meanwhile.", func(r row) int64 { return r.Rejected }, false},
	{"Failed", "Loads that ended in an error.", func(r row) int64 { return r.LoadErrors }, true},
	{"Shed", "Loads that found no turn under Policy.MaxLoads.", func(r row) int64 { return r.Shed }, true},
}

// figure is one cell.
type figure struct {
	Name string
	N    int64
	Bad  bool
}

// Figures are the cells of the columns.
func (r row) Figures() []figure {
	figures := make([]figure, len(columns))
	for i, c := range columns {
		figures[i] = figure{c.Name, c.of(r), c.bad}
	}
	return figures
}

// part is a piece of a row's bar, in percent of its width.
type part struct {
	Class   string
	X, Wide float64
}

// Bar shows where the answers came from.
func (r row) Bar() []part {
	all := r.Answers()
	if all == 0 {
		return nil
	}
	var parts []part
	x := 0.0
	for _, p := range []struct {
		class string
		n     int64
	}{{"local", r.LocalHits}, {"store", r.StoreHits}, {"stale", r.Stale}, {"load", r.Loads + r.Collapsed}, {"bypass", r.Bypasses}} {
		if p.n > 0 {
			wide := 100 * float64(p.n) / float64(all)
			parts = append(parts, part{p.class, x, wide})
			x += wide
		}
	}
	return parts
}

// number groups the digits of n.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func size(n int64) string {
	switch {
	case n < 1<<10:
		return number(n) + " B"
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// percent never rounds to all or nothing what is not.
func percent(part, all int64) string {
	if all == 0 {
		return "–"
	}
	p := 100 * float64(part) / float64(all)
	switch {
	case part > 0 && p < 0.1:
		return "< 0.1 %"
	case part < all && p > 99.9:
		return "> 99.9 %"
	}
	return strconv.FormatFloat(p, 'f', 1, 64) + " %"
}
