package billingtest

import (
	"html/template"
	"net/http"
	"path"
)

var page = template.Must(template.New("checkout").Parse(`<!doctype html><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Test checkout</title>
<body style="font:16px/1.5 system-ui;max-width:26rem;margin:4rem auto;padding:0 1rem">
<h1>Test checkout</h1><p>Plan <b>{{.Plan}}</b>, <b>{{.Price.Money}}</b> per {{.Price.Interval}}{{if .TrialDays}},
after {{.TrialDays}} free days{{end}}. No money moves.</p>
<form method="post"><button>Pay</button> <a href="{{.CancelURL}}">Cancel</a></form>`))

// ServeHTTP serves the hosted checkout at .../checkout/{session}: GET shows it, POST completes it and
// redirects to the success URL. Mount it at ProviderOptions.URL.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dir, id := path.Split(r.URL.Path)
	p.mu.Lock()
	c := p.sessions[id]
	p.mu.Unlock()
	if c == nil || path.Base(dir) != "checkout" {
		http.NotFound(w, r)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = page.Execute(w, c.spec) // the only error is a reader that left
	case http.MethodPost:
		if _, err := p.Complete(id); err != nil {
			http.Error(w, "paid, but the program did not accept the webhook yet", http.StatusBadGateway)
			return
		}
		http.Redirect(w, r, c.spec.SuccessURL, http.StatusSeeOther)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}
