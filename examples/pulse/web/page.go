package web

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/httpx"
)

//go:embed html/*.html
var pages embed.FS

var parsed = template.Must(template.New("").Funcs(template.FuncMap{
	"percent": func(share float64) string { return fmt.Sprintf("%.2f %%", share*100) },
	"headline": func(state string) string {
		return map[string]string{"operational": "All systems operational", "degraded": "Some systems are down", "down": "All systems are down"}[state]
	},
	"lasted": func(o app.Outage) string { return o.Closed.Sub(o.Opened).Round(time.Second).String() },
	"day":    func(t time.Time) string { return t.UTC().Format("2 Jan 2006") },
	"when":   func(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05 MST") },
}).ParseFS(pages, "html/*.html"))

// The pages have a style sheet of their own inside and no script.
const policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// statusPage shows a status page to people. It refreshes itself.
func statusPage(a *app.App) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slug := r.PathValue("slug")
		// Cached like the JSON: anybody may ask for it as often as they like.
		html, _, _, err := a.Hub.GetOrLoad(r.Context(), "status page", statusFresh, statusStale, []string{app.StatusTag}, func(ctx context.Context) ([]byte, error) {
			status, err := a.Status(ctx, app.SlugRef{Slug: slug})
			if err != nil {
				return nil, err
			}
			return render("status.html", struct {
				app.Status
				Slug string
			}{status, slug})
		})
		show(w, r, html, err)
	})
}

// home tells a visitor what this is and how to begin.
func home(base string, o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		html, err := render("home.html", map[string]any{"Base": base, "Inbox": o.Inbox != nil, "Jobs": o.Jobs != nil, "Cache": o.Cache != nil, "Metrics": o.Metrics != nil, "Demo": o.Demo})
		show(w, r, html, err)
	})
}

func render(name string, data any) ([]byte, error) {
	var page bytes.Buffer
	err := parsed.ExecuteTemplate(&page, name, data)
	return page.Bytes(), err
}

func show(w http.ResponseWriter, r *http.Request, html []byte, err error) {
	showAs(w, r, http.StatusOK, html, err)
}

// showAs writes a whole page or a problem, never half a page.
func showAs(w http.ResponseWriter, r *http.Request, status int, html []byte, err error) {
	if err != nil {
		httpx.WriteError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", policy)
	w.WriteHeader(status)
	_, _ = w.Write(html) // the only error is a reader that left
}
